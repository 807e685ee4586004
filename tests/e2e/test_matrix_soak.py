#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Random sequences of the mutations, mixed with each other in the same directories, until the time is up.

usage: test_matrix_soak.py [--budget SECONDS] [--seed N] [--fs NAME]
"""
import inspect, json, os, random, sys, time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from matrix import Bench, Run, ready
from mutations import MUTATIONS, UNSEEN, a_tree_of_many_levels, seed as seeded
from places import NAMES
from spate import World, check, main, option

BUDGET = float(option("--budget", 120))
SEED = option("--seed", None)
FS = option("--fs", None)
PLACES = 6
# What makes walks slow is in the matrix; what removes all ends the sequence too soon; a FIFO in the place of a file holds
# up who opens it.
LEFT_OUT = {"a_tree_as_deep_as_paths_go", "a_tree_of_four_hundred_levels", "many_hard_links", "everything_below_goes",
            "fifo_and_socket_are_left_out"}


def step(running, t, name):
    """One step of a mutation on what others left there. Return: whether it could be done."""
    mutate = running.pop((t, name), MUTATIONS[name])
    try:
        if inspect.isgeneratorfunction(mutate):
            mutate = mutate(t)
        if inspect.isgenerator(mutate):
            next(mutate)
            running[t, name] = mutate
        else:
            mutate(t)
    except StopIteration:
        pass
    except Exception:  # a name that is gone or taken; what was done until then counts as well
        return False
    return True


def same(w, what):
    done = w.flush()
    check(done["durable"], f"{what}: {done}")
    r = w.run("verify", w.tree, "--to", w.url, "--json", code=None)
    check(r.returncode in (0, 4), f"{what}: verify: exit {r.returncode} {r.stderr[-300:]}")
    differences = json.loads(r.stdout)["differences"] if r.returncode else []
    check(not differences, f"{what}: {differences[:5]}")


def sequence(number, kind):
    """A sequence is its number: what is done, in which order, where, and when it is compared."""
    r = random.Random(number)
    names = [n for n in MUTATIONS if n not in LEFT_OUT and UNSEEN.get(n, ("-",))[0] not in ("", kind)]
    done, running, again = [], {}, f"repeat with --fs {kind} --seed {number}"
    with Bench(kind, [str(i) for i in range(PLACES)]) as bench:
        with World(io=r.choice(["uring", "threads"]), tree=bench.tree) as w:
            w.hub()
            watch = w.watch()
            for _ in range(60):
                t = f"{w.tree}/m/{r.randrange(PLACES)}"
                name = r.choice([n for at, n in running if at == t] or names) if r.random() < .4 else r.choice(names)
                if step(running, t, name):
                    done.append(f"{os.path.basename(t)}:{name}")
                if r.random() < .1:
                    a, b = (f"{w.tree}/m/{i}" for i in r.sample(range(PLACES), 2))
                    os.rename(a, a + "x")
                    os.rename(b, a)
                    os.rename(a + "x", b)
                    done.append(f"swap:{os.path.basename(a)},{os.path.basename(b)}")
                if r.random() < .05:
                    try:
                        seeded(t)
                    except OSError:
                        pass
                if r.random() < .25:
                    same(w, f"{again}: after {done}")
            w.exact(f"{again}: after {done}")
            conflicts = w.status()["counters"]["conflicts"]
            check(conflicts == 0, f"{again}: {conflicts} false conflicts after {done}")
            check(watch.stop() == 0, f"{again}: drain")
    running.clear()


def W3_random_sequences_of_mutations():
    ready()
    end, number, count = time.monotonic() + BUDGET, int(SEED or random.randrange(1 << 30)), 0
    print(f"  from seed {number}", flush=True)
    while True:
        sequence(number, FS or NAMES[number % len(NAMES)])
        count += 1
        number += 1
        if SEED or time.monotonic() > end:
            break
    print(f"  {count} sequences, the last with seed {number - 1}")


def W3_the_matrix_with_other_seeds():
    ready()
    end, number, count = time.monotonic() + BUDGET, random.randrange(1 << 30), 0
    while True:
        number += 1
        count += 1
        Run(NAMES[number % len(NAMES)], random.Random(number).sample(list(MUTATIONS), len(MUTATIONS)), True, "auto",
            number).run()
        if time.monotonic() > end:
            break
    print(f"  {count} runs, the last with seed {number}")


def W12_two_thousand_levels():
    with World() as w:
        w.hub()
        w.watch()
        os.makedirs(f"{w.tree}/m/x")
        for _ in a_tree_of_many_levels(f"{w.tree}/m/x", 3900):
            w.exact("deep")
        w.exact("changed at its end")


main([W12_two_thousand_levels] + ([] if SEED else [W3_the_matrix_with_other_seeds]) + [W3_random_sequences_of_mutations])
