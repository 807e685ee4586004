// SPDX-License-Identifier: MIT
/*
 * metrics.c - /metrics, /livez and /readyz of a watching daemon.
 *
 * The control thread publishes a rendered text now and then; libmicrohttpd's thread only copies it
 * out, so a scrape never waits for the sync and the sync never for a scrape.
 */
#include "daemon/metrics.h"

#include "base/clock.h"
#include "base/err.h"
#include "hub/listen.h"

#include <errno.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define METRICS_BYTES_MAX 65536u
#define METRICS_EVERY_NS (50 * NSEC_PER_MSEC)

struct metrics {
	struct MHD_Daemon *mhd;
	pthread_mutex_t lock; /* of the fields below */
	struct buf text;
	bool ready;
	uint64_t last_ns; /* control thread only */
};

static const struct counter_desc descs[] = {
	{ "spate_events_total", COUNTER_TOTAL, "inotify events taken in" },
	{ "spate_overflows_total", COUNTER_TOTAL, "overflows of the kernel's event queue" },
	{ "spate_rescans_total", COUNTER_TOTAL, "walks of the whole tree begun" },
	{ "spate_ring_bytes", COUNTER_GAUGE, "bytes of events waiting in the ring" },
	{ "spate_dirty_paths", COUNTER_GAUGE, "paths that may differ from the remote" },
	{ "spate_cycles_total", COUNTER_TOTAL, "batches taken from the dirty set" },
	{ "spate_commits_total", COUNTER_TOTAL, "cycles acknowledged by the hub" },
	{ "spate_files_read_total", COUNTER_TOTAL, "files read and hashed" },
	{ "spate_read_bytes_total", COUNTER_TOTAL, "bytes read and hashed" },
	{ "spate_files_sent_total", COUNTER_TOTAL, "files whose content was sent" },
	{ "spate_deletes_sent_total", COUNTER_TOTAL, "deletions acknowledged" },
	{ "spate_moves_sent_total", COUNTER_TOTAL, "moves of directories acknowledged" },
	{ "spate_sent_bytes_total", COUNTER_TOTAL, "bytes of request bodies sent" },
	{ "spate_requests_total", COUNTER_TOTAL, "HTTP requests to the hub, retries included" },
	{ "spate_bulk_requests_total", COUNTER_TOTAL, "bulk requests to the hub" },
	{ "spate_retries_total", COUNTER_TOTAL, "requests tried again" },
	{ "spate_conflicts_total", COUNTER_TOTAL, "paths another writer had changed" },
	{ "spate_torn_reads_total", COUNTER_TOTAL, "files that changed while they were read" },
	{ "spate_skipped_paths", COUNTER_GAUGE, "paths that are special, unreadable or refused" },
	{ "spate_watches", COUNTER_GAUGE, "directories watched" },
	{ "spate_watches_needed", COUNTER_GAUGE, "directories known, one watch each" },
	{ "spate_polled_directories", COUNTER_GAUGE, "directories that are polled, not watched" },
	{ "spate_audit_passes_total", COUNTER_TOTAL,
	  "passes of the audit over all that is watched" },
	{ "spate_audit_found_total", COUNTER_TOTAL, "differences no event had told of" },
	{ "spate_watches_limit", COUNTER_GAUGE, "inotify watches this user may have" },
	{ "spate_version", COUNTER_GAUGE, "newest version acknowledged" },
	{ "spate_ready", COUNTER_GAUGE, "1 when armed, scanned and pushed" },
	{ "spate_remote_down", COUNTER_GAUGE, "1 while the hub cannot be reached" },
};

static int metrics_render(struct buf *out, const struct sync_health *h,
			  const struct histogram *commit_seconds)
{
	_Atomic uint64_t values[] = {
		h->counters.events,
		h->counters.overflows,
		h->counters.rescans,
		h->counters.ring_depth,
		h->dirty,
		h->counters.cycles,
		h->counters.commits,
		h->counters.files_read,
		h->counters.hashed_bytes,
		h->counters.files_sent,
		h->counters.deletes_sent,
		h->counters.moves_sent,
		h->counters.bytes_sent,
		h->counters.requests,
		h->counters.bulk_requests,
		h->counters.retries,
		h->counters.conflicts,
		h->counters.torn,
		h->counters.skipped,
		h->watches,
		h->watches_needed,
		h->poll.directories,
		h->audit.passes,
		h->counters.audit_found,
		h->watches_limit,
		h->version,
		h->ready,
		h->remote_down,
	};
	int err = counter_render(out, descs, values, sizeof(descs) / sizeof(descs[0]));

	_Static_assert(sizeof(values) / sizeof(values[0]) == sizeof(descs) / sizeof(descs[0]),
		       "one value for each description");
	if (!err)
		err = buf_printf(out,
				 "# HELP spate_unsynced_age_seconds age of the oldest change "
				 "that is not durable\n# TYPE spate_unsynced_age_seconds gauge\n"
				 "spate_unsynced_age_seconds %.6f\n",
				 h->unsynced_age_s);
	if (!err)
		err = histogram_render(out, "spate_commit_duration_seconds",
				       "from sending a commit to its acknowledgement",
				       commit_seconds);
	if (!err)
		err = buf_printf(out,
				 "# HELP spate_io_engine the engine that reads files\n"
				 "# TYPE spate_io_engine gauge\nspate_io_engine{engine=\"%s\"} 1\n"
				 "# HELP spate_build_info this build\n# TYPE spate_build_info "
				 "gauge\n"
				 "spate_build_info{version=\"" SPATE_VERSION "\"} 1\n",
				 h->io);
	return err;
}

void metrics_publish(struct metrics *m, const struct sync_health *h,
		     const struct histogram *commit_seconds)
{
	uint64_t now = clock_ns();
	struct buf text;

	/* Often in a storm is not better; but the last state before a rest must be shown. */
	if (!m || (now - m->last_ns < METRICS_EVERY_NS && !h->idle))
		return;
	m->last_ns = now;
	buf_init(&text, METRICS_BYTES_MAX);
	if (metrics_render(&text, h, commit_seconds)) {
		buf_free(&text);
		return;
	}
	pthread_mutex_lock(&m->lock);
	buf_free(&m->text);
	m->text = text;
	m->ready = h->ready;
	pthread_mutex_unlock(&m->lock);
}

static enum MHD_Result metrics_reply(struct MHD_Connection *conn, unsigned status, const char *type,
				     const void *data, size_t n)
{
	/* The const is lost in the API; with MUST_COPY nothing is written. */
	struct MHD_Response *r =
		MHD_create_response_from_buffer(n, (void *)(uintptr_t)data, MHD_RESPMEM_MUST_COPY);
	enum MHD_Result ret;

	if (!r)
		return MHD_NO;
	MHD_add_response_header(r, "Content-Type", type);
	ret = MHD_queue_response(conn, status, r);
	MHD_destroy_response(r);
	return ret;
}

static enum MHD_Result metrics_handle(void *cls, struct MHD_Connection *conn, const char *url,
				      const char *method, const char *version, const char *data,
				      size_t *data_size, void **con_cls)
{
	struct metrics *m = cls;
	enum MHD_Result ret;

	(void)version;
	(void)data;
	(void)con_cls;
	*data_size = 0;
	if (strcmp(method, "GET"))
		return metrics_reply(conn, 405, "text/plain", "GET only\n", 9);
	if (!strcmp(url, "/livez"))
		return metrics_reply(conn, 200, "text/plain", "ok\n", 3);
	pthread_mutex_lock(&m->lock);
	if (!strcmp(url, "/metrics"))
		ret = metrics_reply(conn, 200, "text/plain; version=0.0.4", m->text.data,
				    m->text.len);
	else if (!strcmp(url, "/readyz"))
		ret = m->ready ? metrics_reply(conn, 200, "text/plain", "ready\n", 6) :
				 metrics_reply(conn, 503, "text/plain", "not ready\n", 10);
	else
		ret = metrics_reply(conn, 404, "text/plain", "/metrics /livez /readyz\n", 24);
	pthread_mutex_unlock(&m->lock);
	return ret;
}

int metrics_start(const char *addr, struct metrics **ret, char why[256])
{
	struct metrics *m;
	struct listen_addr where;
	char url[80];
	int fd;

	if (listen_parse(addr, &where)) {
		snprintf(why, 256, "--http %.100s: an address like 127.0.0.1:9107 is wanted", addr);
		return -EINVAL;
	}
	fd = listen_open(&where, url);
	if (fd < 0) {
		snprintf(why, 256, "--http %.100s: %s", addr, err_str(fd));
		return fd;
	}
	m = calloc(1, sizeof(*m));
	if (m) {
		pthread_mutex_init(&m->lock, NULL);
		m->mhd = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL,
					  metrics_handle, m, MHD_OPTION_LISTEN_SOCKET, fd,
					  MHD_OPTION_CONNECTION_LIMIT, 32u,
					  MHD_OPTION_CONNECTION_TIMEOUT, 10u, MHD_OPTION_END);
	}
	if (!m || !m->mhd) {
		close(fd);
		free(m);
		snprintf(why, 256, "--http %.100s: the server could not be started", addr);
		return -ENOMEM;
	}
	*ret = m;
	return 0;
}

void metrics_stop(struct metrics *m)
{
	if (!m)
		return;
	MHD_stop_daemon(m->mhd);
	pthread_mutex_destroy(&m->lock);
	buf_free(&m->text);
	free(m);
}
