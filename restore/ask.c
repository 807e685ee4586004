// SPDX-License-Identifier: MIT
// ask.c - the first question: is the workspace there, and which one is it?
#include "restore/ask.h"

#include "base/err.h"
#include "proto/url.h"
#include "restore/fetch.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

void ask_closest(const struct request *rq, char closest[256])
{
	json_t *body = request_json(rq), *name;
	size_t i, n = 0;

	closest[0] = '\0';
	json_array_foreach(json_object_get(body, "closest"), i, name) {
		const char *text = json_string_value(name);

		/* A foreign server's words go to a terminal only if they can be a name. */
		if (!text || !workspace_name_ok(text, strlen(text)) || n + strlen(text) + 3 > 256)
			continue;
		n += (size_t)snprintf(closest + n, 256 - n, "%s%s", n ? ", " : "", text);
	}
	json_decref(body);
}

static int ask(struct pool *pool, struct remote *r, struct request *rq, struct remote_state *ret)
{
	int err = r->ops->state_request(r, rq);

	if (!err)
		err = fetch_call(pool, rq);
	if (err && err != -SP_ENOWORKSPACE)
		return err;
	err = r->ops->state_reply(r, rq, ret);
	return err ? err : ret->exists ? 0 : -SP_ENOWORKSPACE;
}

int ask_state(struct pool *pool, const char *workspace, struct remote_state *ret, char closest[256],
	      char why[256])
{
	struct remote *r;
	struct request rq;
	int err = remote_hub_open(workspace, &r);

	closest[0] = '\0';
	if (err) {
		snprintf(why, 256, "workspace: %s", err_str(err));
		return err;
	}
	request_init(&rq, "GET", &retry_default, 0);
	err = ask(pool, r, &rq, ret);
	if (err == -SP_ENOWORKSPACE)
		ask_closest(&rq, closest);
	if (err)
		snprintf(why, 256, "%s", rq.error[0] ? rq.error : err_str(err));
	request_free(&rq);
	remote_close(r);
	return err;
}
