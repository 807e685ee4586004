// SPDX-License-Identifier: MIT
/*
 * trace.c - what happened in a run, as a list.
 */
#include "tests/sim/trace.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define LINE_BYTES (OP_LINE_MAX + 64u)

static const char *const kinds[MOVE_KINDS] = {
	[MOVE_OP] = "op",           [MOVE_RUN] = "run",       [MOVE_NET] = "net",
	[MOVE_TIME] = "time",       [MOVE_FLUSH] = "flush",   [MOVE_CONFIRM] = "confirm",
	[MOVE_NUDGE] = "nudge",     [MOVE_START] = "start",   [MOVE_STOP] = "stop",
	[MOVE_CRASH] = "crash",     [MOVE_WALL] = "wall",     [MOVE_QUEUE] = "queue",
	[MOVE_WATCHES] = "watches", [MOVE_FAULTS] = "faults", [MOVE_DOWN] = "down",
	[MOVE_MARK] = "mark",       [MOVE_BACKUP] = "backup", [MOVE_RESTORE] = "restore",
	[MOVE_OTHER] = "other",     [MOVE_DISK] = "disk",
};

void trace_move_text(const struct move *m, char *out, size_t size)
{
	char op[OP_LINE_MAX];

	if (m->kind == MOVE_OP) {
		op_print(&m->op, op);
		snprintf(out, size, "op %s", op);
	} else if (m->kind == MOVE_MARK) {
		snprintf(out, size, "mark %s", m->op.path);
	} else {
		snprintf(out, size, "%s %u %u %" PRIu64, kinds[m->kind], m->who, m->n, m->x);
	}
}

void trace_print(const struct trace *t, FILE *out)
{
	char line[LINE_BYTES];

	fprintf(out, "seed %" PRIu64 "\n", t->seed);
	profile_print(&t->profile, out);
	for (size_t i = 0; i < t->n; i++) {
		trace_move_text(&t->moves[i], line, sizeof(line));
		fprintf(out, "%s\n", line);
	}
}

static int move_read(struct move *m, const char *line)
{
	char kind[16];
	unsigned who = 0;
	int at = 0;

	memset(m, 0, sizeof(*m));
	if (sscanf(line, "%15s%n", kind, &at) != 1)
		return -EINVAL;
	while (m->kind < MOVE_KINDS && strcmp(kind, kinds[m->kind]))
		m->kind++;
	if (m->kind == MOVE_KINDS)
		return -EINVAL;
	if (m->kind == MOVE_OP)
		return op_parse(line + at + 1, &m->op);
	if (m->kind == MOVE_MARK)
		return sscanf(line + at, " %111s", m->op.path) == 1 ? 0 : -EINVAL;
	if (sscanf(line + at, "%u %" SCNu32 " %" SCNu64, &who, &m->n, &m->x) != 3)
		return -EINVAL;
	m->who = (uint8_t)who;
	return 0;
}

int trace_read(struct trace *t, FILE *in, unsigned *ret_line)
{
	char line[LINE_BYTES];

	*ret_line = 1;
	t->n = 0;
	if (!fgets(line, sizeof(line), in) || sscanf(line, "seed %" SCNu64, &t->seed) != 1)
		return -EINVAL;
	profile_make(&t->profile, t->seed);
	while (fgets(line, sizeof(line), in)) {
		++*ret_line;
		line[strcspn(line, "\n")] = '\0';
		if (!line[0] || line[0] == '#' || !profile_parse(line, &t->profile))
			continue;
		if (t->n == TRACE_MOVES_MAX || move_read(&t->moves[t->n], line))
			return -EINVAL;
		t->n++;
	}
	return 0;
}
