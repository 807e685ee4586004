#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""W3: what is written through one name of an inode is sent for all of them, and no event tells of the others."""
import ctypes, os, signal, sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from spate import World, check, main

libc = ctypes.CDLL(None, use_errno=True)


def write(path, data, mode="w"):
    with open(path, mode) as f:
        f.write(data)


def pairs(t, n):
    """n files with two names each, in different directories."""
    for side in ("left", "right"):
        os.makedirs(f"{t}/{side}")
    for i in range(n):
        write(f"{t}/left/f{i}", f"{i} " * 100)
        os.link(f"{t}/left/f{i}", f"{t}/right/f{i}")


def read(w):
    return w.status()["counters"]["files_read"]


def names_known_before_a_restart_are_sent():
    for sig in (signal.SIGTERM, signal.SIGKILL):
        with World() as w:
            pairs(w.tree, 20)
            w.hub()
            watch = w.watch()
            w.flush()
            watch.stop() if sig == signal.SIGTERM else watch.kill()
            w.watch()
            w.flush()
            before = read(w)
            for i in range(20):
                write(f"{w.tree}/{('left', 'right')[i % 2]}/f{i}", "after", "r+")
            w.exact(f"after signal {sig}")
            check(read(w) - before == 40, f"{read(w) - before} reads for 20 files with two names")


def a_name_that_had_no_other_is_known():
    """link(2) makes no event for the name that was there."""
    with World() as w:
        write(f"{w.tree}/one", "one")
        w.hub()
        w.watch()
        w.flush()
        os.mkdir(f"{w.tree}/d")
        os.link(f"{w.tree}/one", f"{w.tree}/d/two")
        w.flush()
        write(f"{w.tree}/d/two", "through two", "r+")
        w.exact("written through the new name")
        os.chmod(f"{w.tree}/one", 0o600)
        w.exact("mode")
        os.truncate(f"{w.tree}/d/two", 3)
        w.exact("truncated")
        os.utime(f"{w.tree}/one", ns=(1, 1_000_000_001))
        w.exact("times")


def a_large_file_has_two_names():
    with World() as w:
        write(f"{w.tree}/a", os.urandom(3 << 20), "wb")
        os.link(f"{w.tree}/a", f"{w.tree}/b")
        w.hub()
        w.watch()
        w.flush()
        for i in range(3):
            write(f"{w.tree}/a", os.urandom(1000), "ab")
            w.exact(f"appended {i}")
        write(f"{w.tree}/b", "x" * 100, "r+")
        w.exact("overwritten")


def a_copy_made_of_links_reads_each_file_once():
    with World() as w:
        pairs(w.tree, 200)
        w.hub()
        watch = w.watch()
        w.flush()
        before = read(w)
        os.mkdir(f"{w.tree}/copy")
        for i in range(200):
            os.link(f"{w.tree}/left/f{i}", f"{w.tree}/copy/f{i}")
        w.exact("linked")
        first = read(w) - before
        # A name whose event comes after a listing has led to it is read once more; what must not be read is the other one.
        check(200 <= first < 300, f"{first} reads for 200 new names")
        w.flush()
        check(read(w) - before == first, "the names go on reading each other")
        watch.stop()
        w.watch()
        w.flush()
        check(read(w) == 0, f"{read(w)} reads after a restart: the other names' times were not remembered")


def written_and_removed_under_one_name():
    """Nothing is left to read under the name that the event names."""
    with World() as w:
        pairs(w.tree, 10)
        w.hub()
        watch = w.watch()
        w.flush()
        watch.p.send_signal(signal.SIGSTOP)
        for i in range(4):
            write(f"{w.tree}/left/f{i}", "last words", "r+")
        os.unlink(f"{w.tree}/left/f0")
        os.rename(f"{w.tree}/left/f1", f"{w.dir}/away")
        write(f"{w.tree}/tmp", "another inode")
        os.rename(f"{w.tree}/tmp", f"{w.tree}/left/f2")
        os.rename(f"{w.tree}/left/f3", f"{w.tree}/f3")
        write(f"{w.tree}/right/f4", "in a directory that goes", "r+")
        os.rename(f"{w.tree}/right", f"{w.dir}/gone")
        os.makedirs(f"{w.tree}/right")
        os.link(f"{w.dir}/gone/f0", f"{w.tree}/right/f0")
        watch.p.send_signal(signal.SIGCONT)
        w.exact("removed, moved, replaced")


def a_directory_of_other_names_goes():
    with World() as w:
        pairs(w.tree, 10)
        w.hub()
        watch = w.watch()
        w.flush()
        watch.p.send_signal(signal.SIGSTOP)
        for i in range(10):
            write(f"{w.tree}/left/f{i}", "last words", "r+")
            os.unlink(f"{w.tree}/left/f{i}")
        os.rmdir(f"{w.tree}/left")
        watch.p.send_signal(signal.SIGCONT)
        w.exact("removed with its directory")


def written_through_a_name_that_was_removed_before():
    """The events say the name it was opened by, whatever has that name now."""
    with World() as w:
        pairs(w.tree, 6)
        w.hub()
        w.watch()
        w.flush()
        files = [os.open(f"{w.tree}/left/f{i}", os.O_RDWR) for i in range(6)]
        write(f"{w.tree}/other", "other")
        for i in range(4):
            os.unlink(f"{w.tree}/left/f{i}")
        os.rename(f"{w.tree}/other", f"{w.tree}/left/f4")
        write(f"{w.tree}/left/f1", "has its name now")
        os.mkdir(f"{w.tree}/left/f2")
        os.rename(f"{w.tree}/left/f5", f"{w.tree}/f5")
        w.exact("removed, replaced, moved")
        for fd in files:
            os.write(fd, b"written through the name that was")
        w.exact("written to")
        os.truncate(files[0], 7)
        os.fchmod(files[3], 0o600)
        w.exact("truncated, mode")
        write(f"{w.tree}/left/f1", "once more")
        w.exact("what has its name now")
        for fd in files:
            os.close(fd)
        w.exact("closed")


def inode_numbers_that_are_used_again_are_no_links():
    with World() as w:
        for i in range(100):
            write(f"{w.tree}/f{i}", f"{i}")
        w.hub()
        watch = w.watch()
        w.flush()
        before = read(w)
        watch.p.send_signal(signal.SIGSTOP)
        for i in range(100):
            os.unlink(f"{w.tree}/f{i}")
        for i in range(100):
            write(f"{w.tree}/g{i}", f"g{i}")
        watch.p.send_signal(signal.SIGCONT)
        w.exact("made anew")
        check(read(w) - before <= 100, f"{read(w) - before} reads for 100 files")


def tmpfile(where):
    return os.open(where, os.O_TMPFILE | os.O_WRONLY, 0o644)


def linkat(fd, path):
    if libc.linkat(-100, b"/proc/self/fd/%d" % fd, -100, os.fsencode(path), 0x400):
        raise OSError(ctypes.get_errno(), "linkat", path)


def a_file_that_had_no_name_is_followed_when_it_has_one():
    with World() as w:
        for d in "ab":
            os.mkdir(f"{w.tree}/{d}")
        w.hub()
        w.watch()
        w.flush()
        for name in ("a/here", "b/elsewhere"):
            fd = tmpfile(f"{w.tree}/a")
            os.write(fd, b"before")
            w.exact("no name")
            linkat(fd, f"{w.tree}/{name}")
            w.exact("named")
            for i in range(3):
                os.write(fd, b" and after")
                w.exact(f"{name}: written {i}")
            os.fchmod(fd, 0o600)
            w.exact("mode")
            os.close(fd)


def files_that_are_named_like_one_without_a_name_are_files():
    with World() as w:
        w.hub()
        w.watch()
        w.flush()
        for name in ("#123", "#", "#12x", "#99999999999999999999999999"):
            write(f"{w.tree}/{name}", name)
        w.exact("made")
        for name in ("#123", "#99999999999999999999999999"):
            os.unlink(f"{w.tree}/{name}")
        w.exact("removed")
        before = w.status()["counters"]
        w.flush()
        w.flush()
        after = w.status()["counters"]
        check(after["cycles"] == before["cycles"], f"it goes on: {before} {after}")


main([names_known_before_a_restart_are_sent, a_name_that_had_no_other_is_known, a_large_file_has_two_names,
      a_copy_made_of_links_reads_each_file_once, written_and_removed_under_one_name, a_directory_of_other_names_goes,
      written_through_a_name_that_was_removed_before, inode_numbers_that_are_used_again_are_no_links,
      a_file_that_had_no_name_is_followed_when_it_has_one,
      files_that_are_named_like_one_without_a_name_are_files])
