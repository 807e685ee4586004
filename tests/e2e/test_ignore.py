#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""W13: what is not kept is what git ignores; it costs no watches; changed rules count at once."""
import ctypes, json, os, random, shutil, signal, subprocess, sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from spate import World, check, main, wait_for, walk

NAMES = [b"a", b"b", b"ab", b"abc", b"x.o", b"a b", b"[a]", b"!a", b"#a", b"-x", b"a\\", b"*", b"\xff", b"B", b"a-b",
         b"a\nb", b".o", b"build", b"src"]
PARTS = [b"a", b"b", b"ab", b"o", b"x", b"*", b"*", b"**", b"?", b"/", b"/", b"**/", b"/**", b"[ab]", b"[!a]",
         b"[a-c]", b"[[:alpha:]]", b"\\*", b"\\a", b" ", b"\\ ", b"#", b".o", b"\xff", b"[\\]]", b"build", b"src"]


def write(path, data=b"x", mode="wb"):
    with open(path, mode) as f:
        f.write(data)


def rules(rng):
    lines = []
    for _ in range(rng.randint(1, 4)):
        line = b"".join(rng.choice(PARTS if rng.random() < 0.6 else NAMES) for _ in range(rng.randint(1, 3)))
        line = line.replace(b"\n", b"?")
        line = (b"!" if rng.random() < 0.3 else b"") + (b"/" if rng.random() < 0.2 else b"") + line
        lines.append(line + (b"/" if rng.random() < 0.25 else b""))
    return b"\n".join(lines) + (b"\n" if rng.random() < 0.8 else b"")


def directories(tree):
    out = [tree]
    for top, dirs, _ in os.walk(tree):
        if b".git" in dirs:
            dirs.remove(b".git")
        out += [os.path.join(top, d) for d in dirs]
    return [d for d in out if len(d) < 300]


def step(rng, tree):
    """One random change of the tree or of its rules."""
    dirs = directories(tree)
    at, kind = rng.choice(dirs), rng.random()
    path = at + b"/" + rng.choice(NAMES)
    if kind < 0.2:
        write(at + b"/.gitignore", rules(rng))
    elif kind < 0.25 and os.path.exists(at + b"/.gitignore"):
        os.unlink(at + b"/.gitignore")
    elif kind < 0.5 and not os.path.lexists(path):
        os.mkdir(path)
    elif kind < 0.75 and not os.path.isdir(path):
        write(path, b"%d" % rng.getrandbits(30))
    elif kind < 0.85 and os.path.isdir(path):
        shutil.rmtree(path)
    elif kind < 0.95 and os.path.isdir(path):
        to = rng.choice(dirs) + b"/" + rng.choice(NAMES)
        if not os.path.lexists(to) and not to.startswith(path + b"/"):
            os.rename(path, to)
    elif os.path.isfile(path):
        os.unlink(path)


def is_git(path):
    """Git says nothing of itself."""
    return path == b".git" or path.startswith(b".git/")


def kept_by_git(w):
    paths = [p for p in walk(w.tree) if not is_git(p)]
    r = subprocess.run(["git", "-c", f"core.excludesFile={w.dir}/exclude", "check-ignore", "--no-index", "--stdin", "-z",
                        "-v", "-n"], input=b"".join(p + b"\0" for p in paths), cwd=w.tree, capture_output=True)
    check(r.returncode in (0, 1), f"git: {r.stderr}")
    fields = r.stdout.split(b"\0")
    return {fields[i + 3] for i in range(0, len(fields) - 1, 4) if not fields[i + 2] or fields[i + 2][:1] == b"!"}


def kept_by_us(w):
    # Where nothing was ever kept there is no workspace.
    if w.run("log", w.url, code=None).returncode:
        return set()
    out = w.pull()
    paths = {p for p in walk(out) if not is_git(p)}
    subprocess.run(["rm", "-rf", out])
    return paths


def the_same(w, what):
    done = w.flush()
    check(done["durable"], f"{what}: not durable: {done}")
    theirs, ours = kept_by_git(w), kept_by_us(w)
    check(ours == theirs, f"{what}: too many {sorted(ours - theirs)[:5]}, too few {sorted(theirs - ours)[:5]}")
    return len(theirs)


def git_world(w, rng):
    subprocess.run(["git", "init", "-q", w.tree], check=True)
    patterns = rules(rng).split(b"\n")
    write(f"{w.dir}/exclude", b"\n".join(patterns) + b"\n/.git\n")
    options = ["--gitignore"]
    for p in patterns:
        options += ["--exclude", os.fsdecode(p)]
    return options + ["--exclude", "/.git"]


def W13_what_is_kept_is_what_git_keeps_while_trees_and_rules_change():
    seed = int(os.environ.get("SPATE_SEED", random.SystemRandom().getrandbits(32)))
    print(f"SPATE_SEED={seed}", flush=True)
    rng = random.Random(seed)
    kept = 0
    for world in range(20):  # there are rules that leave nothing: two must leave something
        with World() as w:
            w.hub()
            options = git_world(w, rng)
            tree = os.fsencode(w.tree)
            for _ in range(60):
                step(rng, tree)
            watch = w.watch(*options)
            n = the_same(w, f"world {world}, start")
            for i in range(12):
                for _ in range(rng.choice([1, 3, 10, 30])):
                    step(rng, tree)
                n += the_same(w, f"world {world}, round {i}")
            if n:
                w.run("verify", w.tree, "--to", w.url, *options)
                kept += 1
            check(watch.stop() == 0, "drain")
        if kept == 2:
            break
    check(kept == 2, "next to nothing was kept")


def W13_push_keeps_what_git_keeps():
    seed = int(os.environ.get("SPATE_SEED", random.SystemRandom().getrandbits(32)))
    print(f"SPATE_SEED={seed}", flush=True)
    rng = random.Random(seed)
    with World() as w:
        w.hub()
        options = git_world(w, rng)
        for i in range(5):
            for _ in range(50):
                step(rng, os.fsencode(w.tree))
            w.run("push", w.tree, "--to", w.url, "--state", w.state, *options)
            theirs, ours = kept_by_git(w), kept_by_us(w)
            check(ours == theirs, f"round {i}: too many {sorted(ours - theirs)[:5]}, too few {sorted(theirs - ours)[:5]}")


def W13_by_default_nothing_is_ignored():
    with World() as w:
        w.hub()
        subprocess.run(["git", "init", "-q", w.tree], check=True)
        write(f"{w.tree}/.gitignore", b"*\n")
        write(f"{w.tree}/a")
        w.watch()
        w.exact("with .git and all")


def W13_an_ignored_tree_costs_no_watches():
    with World() as w:
        w.hub()
        for i in range(200):
            os.makedirs(f"{w.tree}/node_modules/m{i}/lib")
        os.makedirs(f"{w.tree}/src/deep")
        write(f"{w.tree}/node_modules/m1/lib/f")
        write(f"{w.tree}/src/f")
        write(f"{w.tree}/.spateignore", b"node_modules/\n")
        os.mkfifo(f"{w.tree}/node_modules/m2/fifo")
        w.watch()
        w.flush()
        check(w.status()["special"] == [], "a FIFO that is ignored is listed")
        check(w.status()["watches"] == 3, f"watches: {w.status()['watches']}")
        before = w.status()["counters"]["events"]
        for i in range(200):
            write(f"{w.tree}/node_modules/m{i}/lib/more")
        w.flush()
        check(w.status()["counters"]["events"] - before < 20, "events of what is ignored")
        check(kept_by_us(w) == {b".spateignore", b"src", b"src/f", b"src/deep"}, "what is kept")
        os.unlink(f"{w.tree}/.spateignore")
        w.exact("nothing is ignored any more")
        check([s["path"] for s in w.status()["special"]] == ["node_modules/m2/fifo"], "the FIFO")
        check(w.status()["watches"] == 404, f"watches: {w.status()['watches']}")
        write(f"{w.tree}/.spateignore", b"/node_modules\n")
        w.flush()
        check(b"node_modules" not in kept_by_us(w), "what is ignored now is still at the remote")
        wait_for(lambda: w.status()["watches"] == 3, "the watches are given back")
        check(w.status()["special"] == [], "a FIFO that became ignored is listed")
        write(f"{w.tree}/src/.spateignore", b"f\n")
        w.flush()
        check(kept_by_us(w) == {b".spateignore", b"src", b"src/.spateignore", b"src/deep"}, "a nested rule")


def exchange(a, b):
    """renameat2 with RENAME_EXCHANGE."""
    libc = ctypes.CDLL(None, use_errno=True)
    check(libc.renameat2(-100, os.fsencode(a), -100, os.fsencode(b), 2) == 0, "renameat2")


def W13_directories_move_into_and_out_of_ignored_places():
    with World() as w:
        w.hub()
        t = w.tree
        write(f"{t}/.spateignore", b"build/\n*.log\n/top/*\n!/top/keep\n")
        os.makedirs(f"{t}/src/sub")
        write(f"{t}/src/sub/f")
        write(f"{t}/src/a.log")
        w.watch()

        def kept(*names):
            w.flush()
            have = kept_by_us(w)
            check(have == {b".spateignore", *names}, f"{sorted(have)} instead of {names}")

        kept(b"src", b"src/sub", b"src/sub/f")
        os.rename(f"{t}/src", f"{t}/build")
        kept()
        write(f"{t}/build/sub/g")
        os.rename(f"{t}/build", f"{t}/out")
        kept(b"out", b"out/sub", b"out/sub/f", b"out/sub/g")
        os.rename(f"{t}/out/sub", f"{t}/out/build")
        kept(b"out")
        os.rename(f"{t}/out/build", f"{t}/sub")
        kept(b"out", b"sub", b"sub/f", b"sub/g")
        os.mkdir(f"{t}/build")
        write(f"{t}/build/other")
        exchange(f"{t}/sub", f"{t}/build")
        kept(b"out", b"sub", b"sub/other")
        os.makedirs(f"{t}/top/keep")
        os.rename(f"{t}/sub", f"{t}/top/sub")
        kept(b"out", b"top", b"top/keep")
        os.rename(f"{t}/top/sub", f"{t}/top/keep/sub")
        kept(b"out", b"top", b"top/keep", b"top/keep/sub", b"top/keep/sub/other")
        write(f"{t}/top/keep/.spateignore", b"other\n")
        kept(b"out", b"top", b"top/keep", b"top/keep/.spateignore", b"top/keep/sub")
        os.rename(f"{t}/top/keep/sub", f"{t}/sub")
        kept(b"out", b"sub", b"sub/other", b"top", b"top/keep", b"top/keep/.spateignore")
        os.rename(f"{t}/a.log" if os.path.exists(f"{t}/a.log") else f"{t}/out/a.log", f"{t}/a.txt")
        kept(b"a.txt", b"out", b"sub", b"sub/other", b"top", b"top/keep", b"top/keep/.spateignore")
        os.rename(f"{t}/a.txt", f"{t}/b.log")
        kept(b"out", b"sub", b"sub/other", b"top", b"top/keep", b"top/keep/.spateignore")


def W13_a_rule_counts_for_what_is_written_after_it():
    with World() as w:
        w.hub()
        write(f"{w.tree}/.spateignore", b"")
        w.watch()
        for i in range(30):
            write(f"{w.tree}/.spateignore", b"secret%d\n" % i, "ab")
            write(f"{w.tree}/secret{i}", b"secret")
        last = w.flush()["version"]
        for version in range(1, last + 1):
            out = w.pull("--at", str(version))
            check(not [n for n in os.listdir(out) if n.startswith("secret")], f"a secret in version {version}")


def W13_rules_that_leave_nothing_are_said_and_survived():
    with World() as w:
        w.hub()
        for i in range(300):
            write(f"{w.tree}/f{i}")
        w.watch()
        w.exact("before")
        write(f"{w.tree}/.spateignore", b"*\n")
        w.flush()
        check(kept_by_us(w) == set(), "something is kept")
        write(f"{w.tree}/f1", b"other")
        w.flush()
        check(open(w.log).read().count("exclude everything") == 1, "not said once")
        os.unlink(f"{w.tree}/.spateignore")
        w.exact("after")


def W13_files_of_rules_that_are_none_change_nothing():
    with World() as w:
        w.hub()
        os.makedirs(f"{w.tree}/d/.spateignore")
        os.makedirs(f"{w.tree}/e")
        os.makedirs(f"{w.tree}/long")
        write(f"{w.dir}/outside", b"*\n")
        os.symlink(f"{w.dir}/outside", f"{w.tree}/e/.spateignore")
        os.mkfifo(f"{w.tree}/.spateignore")
        write(f"{w.tree}/long/.spateignore", b"*\n" + b"#" * (1 << 20))
        for d in ("d", "e", "long"):
            write(f"{w.tree}/{d}/f")
        w.watch()
        w.exact("directory, symlink, FIFO, too long")
        check("long/.spateignore: longer than 1 MiB" in open(w.log).read(), "not named")
        r = w.run("push", w.tree, "--to", w.url, "--state", w.state + "2",
                  *[a for _ in range(257) for a in ("--exclude", "x")], code=2)
        check("at most 256 times" in r.stderr, r.stderr)


def W13_verify_names_what_should_not_be_there():
    with World() as w:
        w.hub()
        os.makedirs(f"{w.tree}/build/x")
        write(f"{w.tree}/a.o")
        write(f"{w.tree}/a.c")
        w.run("push", w.tree, "--to", w.url, "--state", w.state)
        r = w.run("verify", w.tree, "--to", w.url, "--json", "--exclude", "*.o", "--exclude=build/", code=4)
        found = sorted((d["path"], d["what"]) for d in json.loads(r.stdout)["differences"])
        check(found == [("a.o", "ignored"), ("build", "ignored")], found)
        w.run("push", w.tree, "--to", w.url, "--state", w.state, "--exclude", "*.o", "--exclude=build/")
        w.run("verify", w.tree, "--to", w.url, "--exclude", "*.o", "--exclude=build/")
        w.run("verify", w.tree, "--to", w.url, code=4)
        check(kept_by_us(w) == {b"a.c"}, "what is kept")


def W13_info_exclude_counts_again_after_sighup_and_when_it_is_watched():
    for hidden in (True, False):
        with World() as w:
            w.hub()
            subprocess.run(["git", "init", "-q", w.tree], check=True)
            for name in ("a.o", "a.c"):
                write(f"{w.tree}/{name}")
            watch = w.watch("--gitignore", *(["--exclude", "/.git"] if hidden else []))
            write(f"{w.tree}/.git/info/exclude", b"*.o\n")
            if hidden:
                watch.p.send_signal(signal.SIGHUP)
                wait_for(lambda: w.flush() and b"a.o" not in kept_by_us(w), "the new rule")
            w.flush()
            check(kept_by_us(w) == {b"a.c"}, f"{kept_by_us(w)}")


def W13_rules_that_leave_nothing_of_many_paths_wait_for_confirm():
    with World() as w:
        for i in range(1500):
            os.makedirs(f"{w.tree}/d{i % 20}", exist_ok=True)
            write(f"{w.tree}/d{i % 20}/f{i}")
        w.hub()
        w.watch()
        w.exact("before")
        write(f"{w.tree}/.spateignore", b"*\n")
        wait_for(lambda: w.flush(code=None)["held"] == 1520, "what the rule leaves out is not held")
        check(len(walk(w.pull())) == 1520, "the remote lost something")
        os.unlink(f"{w.tree}/.spateignore")
        wait_for(lambda: w.flush(code=None)["held"] == 0, "still held without the rule")
        w.exact("without the rule")
        write(f"{w.tree}/.spateignore", b"*\n")
        wait_for(lambda: w.flush(code=None)["held"] == 1520, "the second time")
        w.run("confirm", w.tree, "--state", w.state)
        w.flush()
        check(not walk(w.pull()), "confirmed, and something is left")


main([W13_what_is_kept_is_what_git_keeps_while_trees_and_rules_change, W13_push_keeps_what_git_keeps,
      W13_by_default_nothing_is_ignored, W13_an_ignored_tree_costs_no_watches,
      W13_directories_move_into_and_out_of_ignored_places, W13_a_rule_counts_for_what_is_written_after_it,
      W13_rules_that_leave_nothing_are_said_and_survived,
      W13_rules_that_leave_nothing_of_many_paths_wait_for_confirm, W13_files_of_rules_that_are_none_change_nothing,
      W13_verify_names_what_should_not_be_there, W13_info_exclude_counts_again_after_sighup_and_when_it_is_watched])
