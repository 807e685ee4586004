/* SPDX-License-Identifier: MIT */
/*
 * show.h - what the hub is asked and answers, in words: for looking at a run.
 */
#ifndef SPATE_SIM_SHOW_H
#define SPATE_SIM_SHOW_H

#include "tests/sim/hub.h"

/** show_requests() - from now on each is printed on stderr. */
void show_requests(void);

#endif
