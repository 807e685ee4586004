/* SPDX-License-Identifier: MIT */
/*
 * load.h - the storms' own functions: rows of the table in workload.c, which says what they are.
 */
#ifndef SPATE_BENCH_LOAD_H
#define SPATE_BENCH_LOAD_H

#include "bench/workload.h"

/* load_small.c */
int load_burst(struct load *l, unsigned w);
int load_fanout(struct load *l, unsigned w);
int load_hot_prepare(struct load *l);
int load_hot_rename(struct load *l, unsigned w);
int load_hot_in_place(struct load *l, unsigned w);
int load_fanout_prepare(struct load *l);
int load_remove(struct load *l, unsigned w);
int load_nothing(struct load *l, unsigned w);
/* load_append.c */
int load_append(struct load *l, unsigned w);
int load_append_slowly(struct load *l, unsigned w);
int load_log_prepare(struct load *l);
int load_log(struct load *l, unsigned w);
/* load_tree.c */
int load_packages(struct load *l, unsigned w);
int load_shuffle_prepare(struct load *l);
int load_shuffle(struct load *l, unsigned w);
/* load_saves.c */
int load_saves_prepare(struct load *l);
int load_saves(struct load *l, unsigned w);
int load_saves_and_log(struct load *l, unsigned w);
/* load_database.c */
int load_database(struct load *l, unsigned w);
/* load_tools.c */
bool load_tools_possible(char why[256]);
int load_tools_prepare(struct load *l);
int load_tools(struct load *l, unsigned w);

#endif
