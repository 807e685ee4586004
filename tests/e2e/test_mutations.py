#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""W1-W4, W10-W12: every kind of change is exact after flush and pull, on both engines."""
import mmap, os, shutil, socket, subprocess, sys, threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from spate import World, check, main, rounds


def write(path, data="x", mode="w"):
    with open(path, mode) as f:
        f.write(data)


def seed(t):
    os.makedirs(f"{t}/a/b/c")
    os.makedirs(f"{t}/p/q")
    for i in range(10):
        write(f"{t}/a/f{i}", f"a{i}")
        write(f"{t}/a/b/g{i}", f"b{i}" * 1000)
        write(f"{t}/p/q/h{i}", f"q{i}")
    write(f"{t}/a/b/c/deep", "deep")
    os.symlink("a/f0", f"{t}/link")


def with_mmap(t):
    write(f"{t}/m", "m" * 8192)
    with open(f"{t}/m", "r+b") as f, mmap.mmap(f.fileno(), 0) as m:
        m[100:105] = b"STORE"


def replaced(t):
    os.mkdir(f"{t}/r1")
    write(f"{t}/r1/old")
    os.rename(f"{t}/r1", f"{t}/r2")
    os.mkdir(f"{t}/r1")
    write(f"{t}/r1/new")
    write(f"{t}/r2/more")


def fifo_and_socket(t):
    os.mkfifo(f"{t}/fifo")
    s = socket.socket(socket.AF_UNIX)
    s.bind(f"{t}/sock")
    s.close()


def chain(t):
    os.rename(f"{t}/a", f"{t}/a1")
    os.rename(f"{t}/a1", f"{t}/a2")
    os.rename(f"{t}/a2", f"{t}/p/a3")
    os.mkdir(f"{t}/a")
    write(f"{t}/a/again")


def out_and_in(t):
    out = t + ".out"
    os.rename(f"{t}/p", out)
    write(f"{out}/while-away")
    os.rename(out, f"{t}/p")


def names(t):
    for name in (b"-dash", b"sp ace", b"new\nline", b"quo'te\"", b"\xff\xfe\x80", b"a" * 255, b"*?[", b"\\", b"%41"):
        with open(os.fsencode(t) + b"/" + name, "wb") as f:
            f.write(name)
    deep = os.fsencode(t)
    while len(deep) - len(t) < 3500:
        deep += b"/" + b"d" * 200
        os.mkdir(deep)
    with open(deep + b"/leaf", "wb") as f:
        f.write(b"leaf")


def sizes(t):
    for n in (0, 1, 32767, 32768, 32769, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 5 << 20):
        with open(f"{t}/size{n}", "wb") as f:
            f.write(os.urandom(n))


MUTATIONS = {
    "create": lambda t: write(f"{t}/new"),
    "overwrite": lambda t: write(f"{t}/a/f0", "other"),
    "same_size_overwrite": lambda t: write(f"{t}/a/f1", "b1"),
    "append": lambda t: write(f"{t}/a/f2", "more", "a"),
    "truncate": lambda t: os.truncate(f"{t}/a/b/g0", 10),
    "chmod": lambda t: os.chmod(f"{t}/a/f3", 0o755),
    "chmod_to_nothing": lambda t: os.chmod(f"{t}/a/f3", 0o4711),
    "chmod_of_a_directory": lambda t: os.chmod(f"{t}/p/q", 0o700),
    "touch": lambda t: os.utime(f"{t}/a/f4", ns=(1, 1234567890123456789)),
    "unlink": lambda t: os.unlink(f"{t}/a/f5"),
    "rename_within": lambda t: os.rename(f"{t}/a/f6", f"{t}/a/renamed"),
    "rename_over": lambda t: os.rename(f"{t}/a/f7", f"{t}/a/f8"),
    "rename_to_another_directory": lambda t: os.rename(f"{t}/a/f9", f"{t}/p/q/moved"),
    "symlink": lambda t: os.symlink("nowhere", f"{t}/dangling"),
    "retarget": lambda t: (os.unlink(f"{t}/link"), os.symlink("a/f1", f"{t}/link")),
    "symlink_to_file": lambda t: (os.unlink(f"{t}/link"), write(f"{t}/link", "now a file")),
    "file_to_directory": lambda t: (os.unlink(f"{t}/link"), os.mkdir(f"{t}/link"), write(f"{t}/link/in")),
    "directory_to_file": lambda t: (shutil.rmtree(f"{t}/link"), write(f"{t}/link")),
    "directory_to_symlink": lambda t: (shutil.rmtree(f"{t}/a/b/c"), os.symlink("..", f"{t}/a/b/c")),
    "empty_directory": lambda t: os.mkdir(f"{t}/empty"),
    "deep_directories": lambda t: (os.makedirs(f"{t}/x/y/z/u/v"), write(f"{t}/x/y/z/u/v/f")),
    "rename_directory": lambda t: os.rename(f"{t}/x", f"{t}/x2"),
    "rename_directory_and_write_in_it": lambda t: (os.rename(f"{t}/x2", f"{t}/x3"), write(f"{t}/x3/y/now")),
    "directory_replaced": replaced,
    "rename_chain": chain,
    "directory_over_empty_directory": lambda t: (os.mkdir(f"{t}/target"), os.rename(f"{t}/p/a3/b", f"{t}/target")),
    "out_and_in": out_and_in,
    "moved_in": lambda t: (os.makedirs(t + ".in/i/j"), write(t + ".in/i/j/f"), os.rename(t + ".in", f"{t}/in")),
    "moved_out": lambda t: (os.rename(f"{t}/in", t + ".gone"), shutil.rmtree(t + ".gone")),
    "mmap": with_mmap,
    "special_files": fifo_and_socket,
    "names": names,
    "sizes": sizes,
    "large_file_changed_in_the_middle": lambda t: subprocess.run(
        ["dd", "if=/dev/urandom", f"of={t}/size{5 << 20}", "bs=4096", "seek=700", "count=1", "conv=notrunc", "status=none"]),
    "large_file_shrunk": lambda t: os.truncate(f"{t}/size{5 << 20}", 1000),
    "copy_of_a_tree": lambda t: shutil.copytree(f"{t}/p", f"{t}/p-copy", symlinks=True, ignore=shutil.ignore_patterns("a3")),
    "remove_tree": lambda t: shutil.rmtree(f"{t}/p-copy"),
    "remove_and_make_again": lambda t: (shutil.rmtree(f"{t}/p"), os.makedirs(f"{t}/p/q"), write(f"{t}/p/q/back")),
    "remove_everything": lambda t: [shutil.rmtree(e.path) if e.is_dir(follow_symlinks=False) else os.unlink(e.path)
                                    for e in os.scandir(t)],
}


def mutations(io):
    with World(io=io) as w:
        seed(w.tree)
        w.hub()
        watch = w.watch()
        check(w.status()["io"] == io, "the engine asked for")
        w.exact("seed")
        for name, mutate in MUTATIONS.items():
            mutate(w.tree)
            w.exact(name)
        check(w.status()["counters"]["conflicts"] == 0, "false conflicts")
        check(watch.stop() == 0, "drain")


def W3_every_mutation_is_exact_with_io_uring():
    mutations("uring")


def W3_every_mutation_is_exact_with_threads():
    mutations("threads")


def W2_files_in_directories_made_at_the_same_moment_are_never_lost():
    with World() as w:
        w.hub()
        w.watch()
        for i in range(rounds(3000, 500, 3000)):
            os.makedirs(f"{w.tree}/{i % 50}/{i}/a/b/c")
            write(f"{w.tree}/{i % 50}/{i}/a/b/c/f", str(i))
        w.exact("mkdir -p loop")


def W1_writes_during_start_up_are_synced():
    for _ in range(rounds(2, 1, 5)):
        with World() as w:
            w.hub()
            stop = threading.Event()

            def writer():
                i = 0
                while not stop.is_set():
                    os.makedirs(f"{w.tree}/{i % 7}/{i}", exist_ok=True)
                    write(f"{w.tree}/{i % 7}/{i}/f", str(i))
                    i += 1

            t = threading.Thread(target=writer)
            t.start()
            try:
                w.watch()
            finally:
                stop.set()
                t.join()
            w.exact("start-up under writes")


def W10_nothing_of_ours_is_created_in_the_tree():
    with World() as w:
        w.hub()
        watch = w.watch()
        seed(w.tree)
        before = sorted(os.listdir(w.tree))
        w.exact("")
        check(sorted(os.listdir(w.tree)) == before, "something appeared in the tree")
        watch.stop()
        check(sorted(os.listdir(w.tree)) == before, "something appeared in the tree")


def W7_an_overflow_costs_a_walk_and_loses_nothing():
    import signal
    with World() as w:
        seed(w.tree)
        w.hub()
        watch = w.watch()
        w.exact("before")
        watch.p.send_signal(signal.SIGSTOP)
        for d in range(20):
            os.mkdir(f"{w.tree}/o{d}")
        for i in range(20000):
            write(f"{w.tree}/a/o{i}")
        for i in range(200):
            write(f"{w.tree}/o{i % 20}/f{i}")
        os.unlink(f"{w.tree}/a/f0")
        watch.p.send_signal(signal.SIGCONT)
        w.exact("after the overflow")
        counters = w.status()["counters"]
        check(counters["overflows"] >= 1, f"no overflow: {counters}")
        check(counters["rescans"] >= 2, f"no walk: {counters}")


def R3_unreadable_files_are_named_and_their_old_version_stays():
    if os.geteuid() != 0:
        return
    with World() as w:
        write(f"{w.tree}/secret", "old")
        write(f"{w.tree}/open", "x")
        os.chmod(w.dir, 0o755)
        os.chown(w.tree, 12345, 12345)
        for name in ("secret", "open"):
            os.chown(f"{w.tree}/{name}", 12345, 12345)
        w.hub()
        os.mkdir(w.state)
        os.chown(w.state, 12345, 12345)
        log = open(w.log, "a")
        from spate import SPATE
        p = subprocess.Popen(["setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups", SPATE, "watch",
                              w.tree, "--to", w.url, "--state", w.state], stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            check(p.stdout.readline().startswith("ready"), "ready as another user")
            w.flush()
            os.chown(f"{w.tree}/secret", 0, 0)
            os.chmod(f"{w.tree}/secret", 0o600)
            write(f"{w.tree}/secret", "new")
            done = w.flush(code=3)
            check(not done["durable"], "durable though unreadable")
            check([s["path"] for s in done["skipped"]] == ["secret"], f"not named: {done}")
            out = w.pull()
            check(open(f"{out}/secret").read() == "old", "the previous version is gone")
            os.chmod(f"{w.tree}/secret", 0o644)
            from spate import wait_for
            wait_for(lambda: w.flush(code=None)["durable"], "readable again")
        finally:
            p.terminate()
            p.wait()


main([W3_every_mutation_is_exact_with_io_uring, W3_every_mutation_is_exact_with_threads,
      W2_files_in_directories_made_at_the_same_moment_are_never_lost, W1_writes_during_start_up_are_synced,
      W10_nothing_of_ours_is_created_in_the_tree, R3_unreadable_files_are_named_and_their_old_version_stays] +
     [W7_an_overflow_costs_a_walk_and_loses_nothing] * rounds(0, 0, 1))  # as in test_overflow.py, with small files
