#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""S6, O3: marks of writers that no event shows; the state of one path."""
import json, os, signal, subprocess, sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from spate import SPATE, World, check, main, wait_for


def mark(w, *paths, code=0, env=None):
    return w.run("mark", w.tree, "--state", w.state, "--", *paths, code=code, env=env)


def write(path, data):
    with open(path, "wb") as f:
        f.write(data)


def files_read(w):
    return w.status()["counters"]["files_read"]


def S6_a_mark_makes_files_and_directories_dirty_and_flush_covers_it():
    with World() as w:
        w.hub()
        os.makedirs(f"{w.tree}/d/sub")
        for name in (b"a", b"d/b", b"d/sub/c", b"new\nline", b"\xff"):
            write(os.fsencode(w.tree) + b"/" + name, name)
        for i in range(20):
            write(f"{w.tree}/other{i}", b"x")
        w.watch()
        w.exact("before")
        before = files_read(w)
        for name in (b"a", b"new\nline", b"\xff"):
            subprocess.run([SPATE, "mark", w.tree, "--state", w.state, name], check=True)
        w.flush()
        # A mark that came while others were on their way is taken more than once.
        check(3 <= files_read(w) - before < 15, f"{files_read(w) - before} files were read, not the 3 marked ones")
        mark(w, "d", "gone", "d/sub/deep/er", "a/below/a/file")
        rescans = w.status()["counters"]["rescans"]
        mark(w)
        w.flush()
        check(w.status()["counters"]["rescans"] > rescans, "a mark of the whole tree is a walk of it")
        check(not os.path.exists(f"{w.state}/marks.taken"), "marks that are durable are still there")
        w.exact("after")


def S6_marks_made_while_no_daemon_runs_are_taken_at_the_next_start():
    with World() as w:
        w.hub()
        write(f"{w.tree}/a", b"a")
        write(f"{w.tree}/b", b"b")
        watch = w.watch()
        w.exact("before")
        watch.stop()
        mark(w, "a")
        watch = w.watch()
        w.flush()
        check(files_read(w) == 1, f"{files_read(w)} files were read, not the marked one")
        # Killed before what was taken is durable: taken again.
        watch.kill()
        mark(w, "b")
        os.rename(f"{w.state}/marks.log", f"{w.state}/marks.taken")
        mark(w, "a")
        w.watch()
        w.flush()
        check(2 <= files_read(w) <= 3, f"{files_read(w)} files were read, not the two marked ones")
        w.exact("after")


def S6_a_stopped_daemon_holds_up_nobody():
    with World() as w:
        w.hub()
        write(f"{w.tree}/a", b"a")
        watch = w.watch()
        w.flush()
        before = files_read(w)
        watch.p.send_signal(signal.SIGSTOP)
        for i in range(20):
            mark(w, "a", f"name{i}")
        watch.p.send_signal(signal.SIGCONT)
        w.flush()
        check(files_read(w) == before + 1, "the mark was lost")


def S6_outside_paths_are_refused_and_a_mark_never_fails_a_writer():
    with World() as w:
        for path in ("..", "../x", "/etc/passwd", "a/../../b"):
            r = mark(w, path, code=2)
            check(r.stderr.count("\n") == 1 and "not in DIR" in r.stderr, r.stderr)
        r = mark(w, "a")
        check("never watched" in r.stderr, r.stderr)
        w.hub()
        watch = w.watch()
        mark(w, f"{w.tree}/a")
        w.flush()
        watch.stop()
        os.mkdir(f"{w.state}/marks.log")
        r = mark(w, "a")
        check("not marked" in r.stderr, r.stderr)


def S6_many_marks_beside_a_flushing_daemon_are_all_taken():
    with World() as w:
        w.hub()
        for i in range(60):
            write(f"{w.tree}/f{i}", b"x")
        w.watch()
        w.flush()
        before = files_read(w)
        marks = [subprocess.Popen([SPATE, "mark", w.tree, "--state", w.state, f"f{i}"]) for i in range(60)]
        for p in marks:
            check(p.wait() == 0, "exit code")
        w.flush()
        check(files_read(w) >= before + 60, f"only {files_read(w) - before} of 60 marked files were read")


def explain(w, path, code=0):
    r = w.run("explain", w.tree, path, "--state", w.state, "--json", code=code)
    return json.loads(r.stdout) if not code else r.stderr


def O3_explain_says_what_is_known_of_a_path():
    with World() as w:
        w.hub()
        os.mkdir(f"{w.tree}/d")
        write(f"{w.tree}/d/synced", b"x")
        os.mkfifo(f"{w.tree}/pipe")
        write(f"{w.tree}/d/left.out", b"x")
        os.mkdir(f"{w.tree}/out")
        write(f"{w.tree}/out/file", b"x")
        w.watch("--max-delay", "300000", "--exclude", "*.out", "--exclude", "/out/")
        version = w.flush()["version"]
        e = explain(w, "d/synced")
        check(e["state"] == "synced" and e["version"] == version, e)
        check(e["index"]["rev"] == version and e["index"]["size"] == 1, e)
        check(e["index"]["hash"] == "2d711642b726b044", e)  # sha256 of "x"
        check(e["directory"]["watched"], e)
        text = w.run("explain", w.tree, "d/synced", "--state", w.state).stdout
        check("synced" in text and "2d711642b726b044" in text, text)
        with open(f"{w.tree}/d/open", "w") as f:
            f.write("half")
            f.flush()
            wait_for(lambda: explain(w, "d/open")["state"] == "held back", "the hold-back to be explained")
            e = explain(w, "d/open")
            check("written" in e["dirty"]["why"] and e["dirty"]["due_in_seconds"] > 0, e)
            check(e["directory"]["last_event"]["event"] == "modify", e)
        check(explain(w, "pipe")["state"] == "special", "a FIFO")
        for path in ("d/left.out", "out", "out/file"):
            check(explain(w, path)["state"] == "ignored", explain(w, path))
        check(explain(w, "no/such/file")["state"] == "unknown", "a path in no directory")
        check(explain(w, ".")["state"] in ("synced", "dirty"), "the tree")
        check("not in DIR" in explain(w, "../x", code=2), "a path outside")
        write(os.fsencode(w.tree) + b"/\xff", b"y")
        w.flush()
        r = subprocess.run([SPATE, "explain", w.tree, b"\xff", "--state", w.state, "--json"], capture_output=True)
        check(json.loads(r.stdout)["state"] == "synced", r)


def O3_explain_names_the_owner_of_what_cannot_be_read():
    if os.geteuid():
        return
    with World() as w:
        w.hub()
        os.chmod(w.dir, 0o777)
        os.chown(w.tree, 65534, 65534)
        write(f"{w.tree}/secret", b"x")
        os.chmod(f"{w.tree}/secret", 0)
        os.mkdir(w.state, 0o700)
        os.chown(w.state, 65534, 65534)
        p = subprocess.Popen(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", SPATE, "watch", w.tree,
                              "--to", w.url, "--state", w.state], stdout=subprocess.PIPE, text=True)
        try:
            check(p.stdout.readline().startswith("ready"), "the watch did not start")
            e = explain(w, "secret")
            check(e["state"] == "unreadable" and "denied" in e["text"] and e["on_disk"]["uid"] == 0, e)
        finally:
            p.kill()
            p.wait()


def O3_explain_without_a_daemon_says_so():
    with World() as w:
        check("no daemon" in explain(w, "x", code=1), "no daemon")


main([S6_a_mark_makes_files_and_directories_dirty_and_flush_covers_it,
      S6_marks_made_while_no_daemon_runs_are_taken_at_the_next_start, S6_a_stopped_daemon_holds_up_nobody,
      S6_outside_paths_are_refused_and_a_mark_never_fails_a_writer,
      S6_many_marks_beside_a_flushing_daemon_are_all_taken, O3_explain_says_what_is_known_of_a_path,
      O3_explain_names_the_owner_of_what_cannot_be_read, O3_explain_without_a_daemon_says_so])
