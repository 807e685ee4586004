# SPDX-License-Identifier: MIT
"""Mistakes in the core that the simulation must find: the number behind each is the seed that does.

It is tried first, so that the same code gives the same run. If it says nothing any more, the code around has
changed: all from 1 on are tried, up to four times as many (at least 200), and the one to be written here is printed.
Some need several things at certain moments, and no seed is known that meets them: the name there is that of a list of
moves in tests/sim/traces, made for it. With SEARCH seeds are tried before.
A seed that fails without the mistake as well, and one that only took too long, is no evidence. With SEARCH=1 it begins
at 1 in any case, which shows how many seeds it takes; SEEDS says how many are tried then (500 or more), FROM where they begin,
OPS how much happens in each, IGNORE (an expression) which failures are no evidence either.
"""
import os, re, signal, subprocess
from collections import namedtuple

Mutant = namedtuple("Mutant", "name seed file old new also by", defaults=[[], "sim"])
FROM = int(os.environ.get("FROM", "1"))
TRACES = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "tests/sim/traces")
SEARCH = any(name in os.environ for name in ("SEARCH", "SEEDS", "FROM", "OPS", "IGNORE"))
IGNORE = re.compile("Alarm|" + os.environ["IGNORE"] if "IGNORE" in os.environ else "Alarm")
OPS = ["--ops", os.environ["OPS"]] if "OPS" in os.environ else []


def sim(program, *args):
    """Return: seed -> what was wrong."""
    p = subprocess.Popen([program, *OPS, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         text=True, errors="replace", start_new_session=True)
    try:
        out = p.communicate(timeout=3600)[0]
    except BaseException:
        os.killpg(p.pid, signal.SIGKILL)
        raise
    failed = {int(seed): why for seed, why in re.findall(r"^seed (\d+) failed: (.*)", out, re.M)}
    if p.returncode and not failed:
        raise SystemExit(f"sim: {out[-1000:]}")
    return failed


def replay(program, name):
    """Return: what was wrong with the trace @name, or None."""
    return next(iter(sim(program, "--replay", f"{TRACES}/{name}.trace").values()), None)


class Sim:
    program, build, options = "tests/sim/sim", "build-test", ["-Dfault=true"]
    right = None

    def evidence(self, found):
        """Return: (seed, what was wrong) of the first that fails for the mistake, or None."""
        for seed in sorted(found):
            if not IGNORE.search(found[seed]) and not sim(self.right, "--seed", str(seed)):
                return seed, found[seed]
        return None

    def search(self, program, end):
        at = FROM
        while at < end:
            found = sim(program, "--from", str(at), "--seeds", str(min(20, end - at)), "--stop-at-first")
            first = self.evidence(found)
            if first:
                return first
            at = max(found) + 1 if found else at + 20
        return None

    def find_by_trace(self, program, name):
        found = SEARCH and self.search(program, FROM + int(os.environ.get("SEEDS", "500")))
        if found:
            return f"seed {found[0]} (not a trace): {found[1]}"
        why = replay(program, name)
        return f"trace {name}: {why}" if why and not replay(self.right, name) else None

    def find(self, program, mutant):
        if not mutant:
            self.right = program
            return None
        if isinstance(mutant.seed, str):
            return self.find_by_trace(program, mutant.seed)
        if not SEARCH:
            known = self.evidence(sim(program, "--seed", str(mutant.seed)))
            if known:
                return f"seed {known[0]}: {known[1]}"
        tries = int(os.environ.get("SEEDS", max(500, mutant.seed))) if SEARCH else max(200, 4 * mutant.seed)
        found = self.search(program, FROM + tries)
        if not found:
            return None
        changed = "" if found[0] == mutant.seed else f" (not {mutant.seed})"
        return f"seed {found[0]}{changed}, the {found[0] - FROM + 1}. tried: {found[1]}"


FINDERS = {"sim": Sim()}

COALESCE, BARRIER, PLAN = "pipeline/coalesce.c", "pipeline/barrier.c", "pipeline/plan.c"
READER, LADDER, INTAKE = "pipeline/reader.c", "watcher/ladder.c", "daemon/intake.c"
FLIGHT, EXPAND, ACK = "daemon/flight.c", "daemon/expand.c", "daemon/ack.c"
SYNC, LINKS, RETRY = "daemon/sync.c", "daemon/links.c", "uploader/retry.c"

# Two that change nothing that could be seen. Without the events of a directory that has no place: it is listed when it
# has one again, and when it has none any more nothing of it is kept. A number that is used again, taken for a rename:
# what is in it is compared, so it costs a detour only.
MUTANTS = [
    # --- the dirty set
    Mutant("what_is_dirtied_in_flight_is_forgotten", 2, COALESCE,
           "\tif (next)\n\t\tset_waiting(c, next, next->due_ns, next->wait);",
           "\tif (next)\n\t\trecord_free(c, next);"),
    Mutant("what_does_not_fit_is_dropped", 59, INTAKE,
           "\tif (rested < 0)\n\t\tintake_degrade(s, serial);\n", ""),
    Mutant("an_older_epoch_is_not_taken_over", 979, COALESCE,
           "\tif (r) {\n\t\ttake_epoch(c, r, epoch);\n\t} else {", "\tif (!r) {"),
    Mutant("older_epochs_are_not_awaited", 5, BARRIER, "(epoch == b->first && !b->pending", "(!b->pending"),
    Mutant("a_barrier_closes_when_it_is_asked_for", 5, SYNC,
           "\tif (s->poll.nothing) {\n\t\tc->seen = true;", "\tif (true) {\n\t\tc->seen = true;"),
    # --- events
    Mutant("moved_from_is_not_dirty", 5, LADDER,
           "\tdirty_now(l, d, ev->name, ev->name_len);\n\tif (ev->mask & IN_ISDIR)",
           "\tif (!(ev->mask & IN_MOVED_FROM))\n\t\tdirty_now(l, d, ev->name, ev->name_len);\n"
           "\tif (ev->mask & IN_ISDIR)"),
    Mutant("an_overflow_makes_no_walk", 360, LADDER,
           "\t\trename_doubt_all(l);\n\t\tladder_walk(l);\n", "\t\trename_doubt_all(l);\n"),
    Mutant("a_move_that_was_overtaken_is_believed", 2603, LADDER,
           "\t\tif (r->from == d->serial || r->to == d->serial)\n\t\t\trename_doubt(l, i);\n", ""),
    Mutant("a_move_of_another_place_is_believed",
           "a_directory_that_was_seen_elsewhere_is_not_moved_by_an_old_event", LADDER,
           "\tif (!rename_is_of(r, d)) {", "\tif (false) {"),
    # --- directories
    Mutant("a_new_directory_is_watched_and_not_listed", 5, LADDER,
           "\tc->flags |= DIR_TO_LIST;\n\tif (d == tree_root(l->tree)", "\tif (d == tree_root(l->tree)"),
    Mutant("a_directory_that_came_back_is_not_listed", 5535, LADDER,
           "\tif (was_lost || x->flags & DIR_OWED) {", "\tif (false) {"),
    Mutant("a_directory_that_turned_up_is_not_listed", 911, LADDER,
           "\tc->flags |= DIR_TO_LIST | DIR_RECURSE | (x->flags & DIR_OWED);\n", ""),
    Mutant("watches_are_removed_before_the_walk_has_ended", 38, LADDER,
           "\t\tif (ladder_busy(l))\n\t\t\treturn now_ns + LADDER_LIMBO_NS;\n", ""),
    Mutant("what_is_absent_from_a_listing_is_not_missed", 2, INTAKE,
           "\t\t\tintake_dirty(s, dir->serial, name, (size_t)len, epoch);\n", ""),
    Mutant("a_listing_ignores_what_was_read_and_not_sent", 1357, INTAKE,
           "\tintake_absent_read(s, dir, page, epoch);\n", ""),
    Mutant("a_directory_that_moved_under_the_reader_is_read_as_gone", 882, READER,
           "err == -SP_EMOVED ? READ_MOVED : READ_FAILED", "err == -SP_EMOVED ? READ_GONE : READ_FAILED"),
    Mutant("the_reader_takes_any_directory_at_the_path", "a_file_in_a_directory_that_is_exchanged_while_it_is_read_is_sent", READER,
           "\tif (!err && !path_ident_same(&ident, &dir->ident))", "\tif (false)"),
    # --- the plan
    Mutant("a_plan_may_be_older_than_the_last_answer", 175, EXPAND,
           "\treturn has != item->has_known || (has && !index_row_same(&row, &item->known));", "\treturn false;"),
    Mutant("a_directory_moved_since_it_was_read_keeps_its_path", 49, EXPAND,
           "tree_path(d, path) < 0 ||\n\t    strcmp(path, fd->path))", "tree_path(d, path) < 0)"),
    Mutant("coarse_stamps_are_believed_at_once", 366, PLAN,
           "\treturn row->type != ENTRY_DIR && proof < row->ctime_ns + tick;", "\treturn false;"),
    Mutant("everything_is_settled_while_work_is_left", "what_is_not_sent_is_not_settled", SYNC, "idle && sync_at_rest(s)", "idle"),
    Mutant("a_torn_file_is_believed", 2, PLAN,
           "\tret->row.hash = item->hash;\n\tif (item->unstable)\n\t\tset_unstable(ret);\n",
           "\tret->row.hash = item->hash;\n"),
    # --- the commit
    Mutant("nothing_is_in_doubt_when_it_is_sent", 2, EXPAND,
           "\texpand_doubt(f);\n\tif (f->writing && !f->index_err)", "\tif (f->writing && !f->index_err)"),
    Mutant("a_commit_id_is_used_again", 1, EXPAND, "\thead.seq = ++s->seq;", "\thead.seq = s->seq + 1;"),
    # --- the answer
    Mutant("a_failed_cycle_is_forgotten", 55, ACK,
           "\tdefault:\n\t\tack_later(f);\n\t}\n\tack_all_back(f, 0);", "\tdefault:\n\t\tack_later(f);\n\t}"),
    Mutant("an_answer_that_cannot_be_read_is_success", 295, ACK,
           "\t} else if (f->push.err) {\n\t\tack_failure(f);",
           "\t} else if (f->push.err == -SP_EINTEGRITY) {\n\t\tack_success(f);\n"
           "\t} else if (f->push.err) {\n\t\tack_failure(f);"),
    Mutant("a_server_error_is_success", 12, RETRY,
           "a->status == 429 || a->status >= 500;", "a->status == 429;",
           [(ACK, "\tstruct sync *s = f->sync;\n\n\tif (f->push.err == -ECANCELED) {",
             "\tstruct sync *s = f->sync;\n\n\tif (f->push.err == -SP_EUNAVAIL) {\n\t\tf->push.err = 0;\n"
             "\t\tf->push.version = s->version + 1;\n\t}\n\tif (f->push.err == -ECANCELED) {")]),
    Mutant("what_was_refused_is_applied", 8, ACK,
           "\t\tf->sent[f->push.outcomes[i].index].outcome = &f->push.outcomes[i];", "\t\t;"),
    Mutant("an_unstable_file_is_not_dirty_again", 5, ACK,
           "\tif (coalesce_later(s->dirty, serial, sent->name, sent->name_len, epoch, now,\n"
           "\t\t\t   now + s->conf.max_delay_ns))\n"
           "\t\tintake_dirty(s, serial, sent->name, sent->name_len, epoch);\n", "\t(void)epoch;\n\t(void)now;\n"),
    Mutant("an_older_hub_is_not_noticed_by_its_answers", 759, ACK,
           "f->push.version + !ack_made_version(f) <= f->sent_version && f->sent_version", "false"),
    Mutant("an_older_hub_is_not_noticed_by_its_state", 27, SYNC,
           "s->older |= state->exists && sync_is_older(s, state);",
           "s->older |= false && sync_is_older(s, state);"),
    Mutant("other_names_of_an_inode_are_not_dirty", 5, LINKS, "\t\telse\n\t\t\tlinks_dirty(s, &at);\n", ""),
    Mutant("a_name_that_left_its_inode_says_nothing", 696, LINKS,
           "\t\tlinks_dirty(l->f->sync, &at);\n\t\treturn true;\n", "\t\treturn true;\n"),
]
