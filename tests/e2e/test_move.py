#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""W3, W5, DESIGN 2.3: directories that move, in every pattern, are exact afterwards and without conflicts."""
import os, random, shutil, sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from mutations import EXCHANGE, renameat2
from spate import World, check, main, option, rounds

SEED = option("--seed", None)
SEEDS = [int(SEED)] if SEED else range(1, 1 + rounds(4, 2, 20))
FILES = 300


def write(path, data):
    with open(path, "w") as f:
        f.write(data)


def fill(d, n=FILES, text=""):
    for sub in ("", "/s", "/s/t"):
        os.makedirs(f"{d}{sub}", exist_ok=True)
        for i in range(n // 3):
            write(f"{d}{sub}/f{i}", f"{text} {d[-20:]} {sub} {i}")


def edit(root):
    """Every file and every directory below: a stale watch or place shows itself."""
    for d, _, names in os.walk(root):
        for name in names:
            with open(f"{d}/{name}", "a") as f:
                f.write(" edited")
        write(f"{d}/edited", d)


def no_conflicts(w, what):
    counters = w.status()["counters"]
    check(counters["conflicts"] == 0, f"{what}: {counters['conflicts']} false conflicts")


def pattern(move, *before):
    """@before is there and acknowledged; after move(tree) it is exact, and again after all was edited."""
    with World() as w:
        for d in before:
            fill(f"{w.tree}/{d}", text=d)
        w.hub()
        w.watch()
        w.flush()
        move(w.tree)
        w.exact("moved")
        edit(w.tree)
        w.exact("edited in the new place")
        no_conflicts(w, move.__name__)


def W3_chains_of_directories():
    def chain(t):
        os.rename(f"{t}/a", f"{t}/x")
        os.rename(f"{t}/x", f"{t}/y")
        os.rename(f"{t}/y", f"{t}/b/z")
        os.rename(f"{t}/d", f"{t}/a")
        os.rename(f"{t}/c", f"{t}/d")

    pattern(chain, "a", "b", "c", "d")


def W3_swaps_of_directories():
    def swap(t):
        os.rename(f"{t}/a", f"{t}/tmp")
        os.rename(f"{t}/b", f"{t}/a")
        os.rename(f"{t}/tmp", f"{t}/b")

    pattern(swap, "a", "b")


def W3_swaps_of_nested_directories():
    def inside_out(t):
        os.rename(f"{t}/a/s", f"{t}/s")
        os.rename(f"{t}/a", f"{t}/s/a")
        os.rename(f"{t}/s/t", f"{t}/s/a/t")

    pattern(inside_out, "a")


def W3_exchanges_of_directories():
    def exchange(t):
        renameat2(f"{t}/a", f"{t}/b", EXCHANGE)
        renameat2(f"{t}/a/s", f"{t}/c", EXCHANGE)
        renameat2(f"{t}/b/f0", f"{t}/b/s", EXCHANGE)

    pattern(exchange, "a", "b", "c")


def W3_moves_into_new_directories():
    def into(t):
        os.makedirs(f"{t}/n1/n2/n3")
        os.rename(f"{t}/a", f"{t}/n1/n2/n3/a")
        os.rename(f"{t}/b", f"{t}/n1/n2/n3/a/s/b")
        write(f"{t}/n1/n2/n3/a/s/b/new", "at once")

    pattern(into, "a", "b")


def W3_moves_out_of_moved_directories_which_then_go():
    def out(t):
        os.rename(f"{t}/a", f"{t}/b/a2")
        os.rename(f"{t}/b/a2/s", f"{t}/c/s2")
        os.rename(f"{t}/c/s2/t", f"{t}/t2")
        os.rename(f"{t}/c/s2/f1", f"{t}/f1")
        shutil.rmtree(f"{t}/b")

    pattern(out, "a", "b", "c")


def W3_a_move_and_edits_below_in_the_same_instant():
    def both(t):
        write(f"{t}/a/f1", "before the move")
        os.rename(f"{t}/a", f"{t}/m")
        write(f"{t}/m/f2", "after the move")
        os.unlink(f"{t}/m/s/f3")
        os.rename(f"{t}/m/s/t", f"{t}/m/t")
        write(f"{t}/m/t/new", "in the directory that moved twice")
        shutil.rmtree(f"{t}/m/s")

    pattern(both, "a")


def W3_a_move_and_the_old_name_with_other_contents():
    def again(t):
        os.rename(f"{t}/a", f"{t}/m")
        fill(f"{t}/a", 30, "another")
        os.rename(f"{t}/m/s", f"{t}/a/s2")

    pattern(again, "a")


def W3_moved_over_removed_and_empty_directories():
    def over(t):
        shutil.rmtree(f"{t}/b/s")
        os.rename(f"{t}/a", f"{t}/b/s")
        os.mkdir(f"{t}/e")
        os.rename(f"{t}/c/s", f"{t}/e")

    pattern(over, "a", "b", "c")


def W3_moved_out_and_back_in_elsewhere():
    def away(t):
        out = t + ".out"
        os.rename(f"{t}/a", out)
        edit(out)
        os.rename(out, f"{t}/b/back")

    pattern(away, "a", "b")


def storm(root, r, rounds):
    """Renames among 200 directories, edits, and new ones under old names."""
    places = [f"{root}/{i}" for i in range(200)]
    for _ in range(rounds):
        a, b, k = r.choice(places), r.choice(places), r.random()
        below = r.choice(["", "/s", "/s/t", "/x"])
        try:
            if k < .45:
                os.rename(a + below, b + r.choice(["", "/s", "/x", "/s/y"]))
            elif k < .55:
                renameat2(a + below, b + below, EXCHANGE)
            elif k < .80:
                write(f"{a}{below}/f{r.randrange(4)}", str(r.random()))
            elif k < .90:
                os.makedirs(f"{a}{below}", exist_ok=True)
            elif k < .95:
                os.unlink(f"{a}{below}/f{r.randrange(4)}")
            else:
                shutil.rmtree(a + below)
        except OSError:
            pass


def same(w, what):
    done = w.flush()
    check(done["durable"], f"{what}: {done}")
    r = w.run("verify", w.tree, "--to", w.url, code=None)
    check(r.returncode == 0, f"{what}: {r.stdout[-1500:]}")


def stormy(w, seed):
    r, root = random.Random(seed), f"{w.tree}/{seed}"
    for i in range(200):
        os.makedirs(f"{root}/{i}/s/t")
        for d in ("", "/s"):
            write(f"{root}/{i}{d}/f0", f"{i} {d}")
    same(w, f"seed {seed}")
    for round_ in range(2):
        storm(root, r, 500)
        same(w, f"seed {seed} round {round_} (repeat with --seed {seed})")
    edit(root)
    same(w, f"seed {seed}, edited (repeat with --seed {seed})")
    no_conflicts(w, f"seed {seed}")


def W3_a_storm_of_renames():
    for io in ("uring", "threads"):
        with World(io=io) as w:
            w.hub()
            w.watch()
            for seed in SEEDS:
                if SEED or (seed % 2) == (io == "uring"):
                    stormy(w, seed)
                    os.rename(f"{w.tree}/{seed}", f"{w.dir}/{seed}")
            w.exact("all seeds")


main([W3_chains_of_directories, W3_swaps_of_directories, W3_swaps_of_nested_directories, W3_exchanges_of_directories,
      W3_moves_into_new_directories, W3_moves_out_of_moved_directories_which_then_go,
      W3_a_move_and_edits_below_in_the_same_instant, W3_a_move_and_the_old_name_with_other_contents,
      W3_moved_over_removed_and_empty_directories, W3_moved_out_and_back_in_elsewhere,
      W3_a_storm_of_renames])
