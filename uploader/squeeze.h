/* SPDX-License-Identifier: MIT */
/*
 * squeeze.h - whether bodies are worth compressing: link and codec compared as measured. Pure.
 *
 * A byte takes 1/link as it is, and 2/codec + ratio/link compressed, since a body is compressed before it is
 * sent, and inflated before it is read, which takes no longer. What is compared is the one by the other:
 * 2 * link/codec + ratio. On once that is clearly below 1, off again near it. While off, a piece of a body is
 * tried now and then; while on, every body is a measurement, so contents that do not get smaller turn it off,
 * and now and then one goes as it is.
 *
 * The link is as fast as the fastest of the last bodies, and the codec hardly slower than it ever was: whatever
 * else took time made the others slower only (as BBR estimates a bottleneck; Cardwell et al., 2016).
 */
#ifndef SPATE_UPLOADER_SQUEEZE_H
#define SPATE_UPLOADER_SQUEEZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SQUEEZE_MIN (64u << 10)    /* smaller bodies measure the way there and back, not the link */
#define SQUEEZE_PROBE (256u << 10) /* of a body that is tried */
#define SQUEEZE_LINKS 8u
#define SQUEEZE_RATIO_MAX 1024u /* a hub takes nothing that grows by more */

/** struct squeeze - what was measured, in bytes a second; zeroed at first. */
struct squeeze {
	bool offered; /* the hub can read it */
	bool on;
	unsigned links;       /* measurements of the link */
	unsigned since_probe; /* bodies */
	double last[SQUEEZE_LINKS];
	double link, codec; /* of the body as it is, 0: not yet */
	double ratio;       /* compressed to as it is */
};

enum squeeze_do { SQUEEZE_NOT, SQUEEZE_TRY, SQUEEZE_ALL };

/** squeeze_offer() - whether the newest reply said that the hub can read it. */
void squeeze_offer(struct squeeze *s, bool offered);
/** squeeze_sent() - @bytes were on the wire for @ns. */
void squeeze_sent(struct squeeze *s, size_t bytes, uint64_t ns);
/** squeeze_coded() - @bytes became @packed in @ns; one that did not get smaller counts as it was. */
void squeeze_coded(struct squeeze *s, size_t bytes, size_t packed, uint64_t ns);
/** squeeze_ask() - what to do with a body of @bytes. */
enum squeeze_do squeeze_ask(struct squeeze *s, size_t bytes);

#endif
