// SPDX-License-Identifier: MIT
// squeeze.c - whether bodies are worth compressing. Pure.
#include "uploader/squeeze.h"

#define ON_BELOW 0.6
#define OFF_ABOVE 0.8
#define LINKS_SURE 4u
#define PROBE_EVERY 32u
#define FRESH 0.3  /* weight of a new measurement */
#define SLOWER 0.1 /* the same of a speed that is less than before */

static void learn(double *value, double fresh, double weight)
{
	if (*value <= 0 || (weight < FRESH && fresh > *value))
		*value = fresh;
	else
		*value += weight * (fresh - *value);
}

static void decide(struct squeeze *s)
{
	double cost;

	if (!s->offered || s->links < LINKS_SURE || s->codec <= 0) {
		s->on = false;
		return;
	}
	cost = 2 * s->link / s->codec + s->ratio;
	s->on = cost < (s->on ? OFF_ABOVE : ON_BELOW);
}

void squeeze_offer(struct squeeze *s, bool offered)
{
	s->offered = offered;
	decide(s);
}

void squeeze_sent(struct squeeze *s, size_t bytes, uint64_t ns)
{
	if (bytes < SQUEEZE_MIN || !ns)
		return;
	s->last[s->links++ % SQUEEZE_LINKS] = (double)bytes * 1e9 / (double)ns;
	s->link = 0;
	for (unsigned i = 0; i < SQUEEZE_LINKS; i++)
		if (s->last[i] > s->link)
			s->link = s->last[i];
	decide(s);
}

void squeeze_coded(struct squeeze *s, size_t bytes, size_t packed, uint64_t ns)
{
	if (!bytes || !ns)
		return;
	learn(&s->codec, (double)bytes * 1e9 / (double)ns, SLOWER);
	learn(&s->ratio, packed < bytes ? (double)packed / (double)bytes : 1, FRESH);
	decide(s);
}

enum squeeze_do squeeze_ask(struct squeeze *s, size_t bytes)
{
	if (!s->offered || bytes < SQUEEZE_MIN || s->links < LINKS_SURE)
		return SQUEEZE_NOT;
	if (s->codec > 0 && ++s->since_probe < PROBE_EVERY)
		return s->on ? SQUEEZE_ALL : SQUEEZE_NOT;
	s->since_probe = 0;
	return s->on ? SQUEEZE_NOT : SQUEEZE_TRY;
}
