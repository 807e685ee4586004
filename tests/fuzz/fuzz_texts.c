// SPDX-License-Identifier: MIT
/*
 * fuzz_texts.c - short files and headers: what a pull has noted, tokens, what a client says it is.
 *
 *   1 byte: which     the text
 */
#include "hub/auth.h"
#include "restore/target.c" /* for parse_pulled() */
#include "tests/fuzz/fuzz.h"

/* What is read of the note is what a note says that is made of it. */
static void check_pulled(struct fuzz_in in)
{
	static struct target t, again;
	char text[PULLED_BYTES_MAX + 1], hex[2 * sizeof(t.uid) + 1], note[2 * PULLED_BYTES_MAX];
	size_t n;

	t = again = (struct target){ .remote = "http://h/w" };
	if (!parse_pulled(&t, fuzz_text(in, text, sizeof(text)))) {
		must(t.n_versions <= TARGET_VERSIONS_MAX);
		return;
	}
	must(t.tagged && strlen(t.tag) == PLACE_TAG_LEN);
	must(t.n_versions && t.n_versions <= TARGET_VERSIONS_MAX);
	hex_encode(t.uid, sizeof(t.uid), hex);
	n = (size_t)snprintf(note, sizeof(note), PULLED_HEAD "%s %s", t.tag, hex);
	for (unsigned i = 0; i < t.n_versions; i++)
		n += (size_t)snprintf(note + n, sizeof(note) - n, " %llu",
				      (unsigned long long)t.versions[i]);
	snprintf(note + n, sizeof(note) - n, " %s\n", t.remote);
	must(parse_pulled(&again, note) && again.n_versions == t.n_versions);
	must(!memcmp(again.versions, t.versions, sizeof(t.versions)) &&
	     !memcmp(again.uid, t.uid, sizeof(t.uid)) && !strcmp(again.tag, t.tag));
}

/* A token that is taken opens the door, and nothing shorter does. */
static void check_token(struct fuzz_in in)
{
	char text[AUTH_TOKEN_MAX + 32], header[AUTH_TOKEN_MAX + 64];
	struct auth a;
	size_t n;

	if (auth_open(&a, -1, false, fuzz_text(in, text, sizeof(text))))
		return;
	n = strlen(a.token);
	must(n >= AUTH_TOKEN_MIN && n <= AUTH_TOKEN_MAX && !strpbrk(a.token, " \r\n"));
	snprintf(header, sizeof(header), "Bearer %s", a.token);
	must(auth_check(&a, header));
	header[strlen(header) - 1] = '\0';
	must(!auth_check(&a, header) && !auth_check(&a, "Bearer ") && !auth_check(&a, NULL));
}

/* Only the token itself is let in, however the header around it looks. */
static void check_header(struct fuzz_in in)
{
	static const char token[] = "0123456789abcdef";
	char header[256];
	struct auth a;

	must(!auth_open(&a, -1, false, token));
	if (auth_check(&a, fuzz_text(in, header, sizeof(header))))
		must(strlen(header) >= strlen("Bearer ") + strlen(token) &&
		     !strcmp(header + strlen(header) - strlen(token), token));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct fuzz_in in = { data, n };
	unsigned kind = (unsigned)fuzz_number(&in, 1);

	if (kind % 3 == 0)
		check_pulled(in);
	else if (kind % 3 == 1)
		check_token(in);
	else
		check_header(in);
	return 0;
}
