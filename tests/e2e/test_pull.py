#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""test_pull.py - pull, verify and log against a real hub: exact, careful with edits, safe from symlinks."""
import hashlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time

SPATE = os.environ.get("SPATE", "build/spate")
TOP = tempfile.mkdtemp(prefix="spate-pull.")
ENV = dict(os.environ, XDG_STATE_HOME=TOP + "/state", HOME=TOP)
for name in [n for n in ENV if n.startswith("SPATE_")]:
    del ENV[name]
ENV["SPATE_TOKEN_FILE"] = TOP + "/hub/admin.token"


def run(*args, rc=0, env=None, before=None):
    p = subprocess.run([SPATE, *args], env=env or ENV, capture_output=True, timeout=120,
                       preexec_fn=before)
    out, err = p.stdout.decode(), p.stderr.decode("utf-8", "replace")
    assert p.returncode == rc, (args, "exit", p.returncode, "not", rc, out, err)
    return out, err


def run_json(*args, rc=0):
    return run_said(*args, rc=rc)[0]


def run_said(*args, rc=0):
    """The result, and what was logged beside it."""
    out, err = run(*args, "--json", rc=rc)
    return json.loads(out), err


class Hub:
    def __init__(self):
        self.listen = "127.0.0.1:0"
        self.start()

    def start(self):
        self.p = subprocess.Popen([SPATE, "serve", "--data", TOP + "/hub", "--listen", self.listen],
                                  env=ENV, stdout=subprocess.PIPE)
        line = self.p.stdout.readline().decode().split()
        assert line and line[0] == "ready", line
        self.url = line[1]
        self.listen = self.url[len("http://"):]

    def stop(self):
        self.p.send_signal(signal.SIGTERM)
        assert self.p.wait(30) == 0
        self.p.stdout.close()


def path(*parts):
    return os.path.join(TOP, *parts)


def write(name, data=b"x", mode=None):
    os.makedirs(os.path.dirname(name), exist_ok=True)
    with open(name, "wb") as f:
        f.write(data)
    if mode is not None:
        os.chmod(name, mode)


def tree(root):
    """What "exact" compares: paths, types, bytes, targets, modes, nanosecond mtimes."""
    found = {}
    root = os.fsencode(root)
    for top, dirs, files in os.walk(root):
        for n in dirs + files:
            full = os.path.join(top, n)
            st = os.lstat(full)
            if stat.S_ISLNK(st.st_mode):
                what = ("link", os.readlink(full), st.st_mtime_ns)
            elif stat.S_ISDIR(st.st_mode):
                what = ("dir", stat.S_IMODE(st.st_mode))
            else:
                with open(full, "rb") as f:
                    sum_ = hashlib.sha256(f.read()).hexdigest()
                what = ("file", stat.S_IMODE(st.st_mode), st.st_mtime_ns, sum_)
            found[os.path.relpath(full, root)] = what
    return found


def same(a, b):
    x, y = tree(a), tree(b)
    wrong = {k: (x.get(k), y.get(k)) for k in set(x) | set(y) if x.get(k) != y.get(k)}
    assert not wrong, wrong


def reasons(result):
    return {f["path"] if isinstance(f["path"], str) else str(f["path"]): f["reason"]
            for f in result["failed"]}


def fill(src):
    write(src + "/a/f", b"hello\n", 0o4755)
    os.utime(src + "/a/f", ns=(1, -123456789))
    write(src + "/a/b/c/deep", b"deep")
    write(src + "/empty", b"", 0o000)
    write(src + "/big", os.urandom(3 * 1024 * 1024 + 17))
    write(src + "/edge", os.urandom(1024 * 1024))
    write(src + "/ro/x", b"in a read-only directory")
    os.chmod(src + "/ro", 0o555)
    os.mkdir(src + "/none")
    os.symlink("/etc/passwd", src + "/abs")
    os.symlink("a/f", src + "/rel")
    for n in (b" lead", b"-dash", b"new\nline", b"\xff\xfe", b"n" * 255, b"a.b", b"quo'te\""):
        write(os.fsencode(src) + b"/names/" + n, n)
    for i in range(1500):
        write(f"{src}/many/{i % 7}/{i}", b"%d" % i)


def test_exact(hub):
    src, dst = path("src"), path("dst")
    fill(src)
    run("push", src, "--to", hub.url + "/ws")
    old = os.umask(0o077)
    r = run_json("pull", hub.url + "/ws", dst)
    os.umask(old)
    assert not r["failed"] and r["files"] == 1513 and r["symlinks"] == 2, r
    same(src, dst)
    assert os.stat(src + "/a").st_mtime_ns == os.stat(dst + "/a").st_mtime_ns
    v = run_json("verify", dst, "--to", hub.url + "/ws")
    assert v["equal"] and not v["differences"], v
    r, err = run_said("pull", hub.url + "/ws", dst)
    assert r["files"] == 0 and r["same"] > 1500 and r["removed"] == 0, (r, err)
    r, err = run_said("push", dst, "--to", hub.url + "/ws")
    assert r["uploadedFiles"] == 0, (r, err, run("push", dst, "--to", hub.url + "/ws"))


def test_sigchld_ignored(hub):
    """The index is believed also where whoever starts spate ignores SIGCHLD, which is inherited."""
    def ignore():
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)

    out, err = run("push", path("dst"), "--to", hub.url + "/ws", "--json", before=ignore)
    assert json.loads(out)["uploadedFiles"] == 0 and "discarded" not in err, (out, err)


def test_edits_are_kept(hub):
    src, dst = path("src"), path("dst")
    write(dst + "/many/1/1", b"edited here")
    write(dst + "/local", b"new here")
    write(src + "/many/1/1", b"new version")
    write(src + "/many/2/2", b"new version, too")
    os.unlink(src + "/many/3/3")
    shutil.rmtree(src + "/many/4")
    shutil.rmtree(src + "/a/b")
    write(src + "/a/b", b"a file now")
    os.unlink(src + "/rel")
    os.mkdir(src + "/rel")
    write(src + "/rel/in", b"a directory now")
    os.chmod(src + "/edge", 0o600)
    run("push", src, "--to", hub.url + "/ws")
    r = run_json("pull", hub.url + "/ws", dst, rc=3)
    assert set(reasons(r)) == {"many/1/1", "local"}, r
    with open(dst + "/many/1/1", "rb") as f:
        assert f.read() == b"edited here"
    v = run_json("verify", dst, "--to", hub.url + "/ws", rc=4)
    what = {(d["path"], d["what"]) for d in v["differences"]}
    assert ("local", "extra") in what and ("many/1/1", "content") in what, what
    assert {p for p, _ in what} == {"local", "many/1/1"}, what
    os.unlink(dst + "/local")
    r = run_json("pull", hub.url + "/ws", dst, "--overwrite")
    same(src, dst)


def test_special_files(hub):
    """What is never kept is no difference; what the version has at its place is."""
    dst = path("dst")
    os.mkfifo(dst + "/a/fifo")
    s = socket.socket(socket.AF_UNIX)
    s.bind(dst + "/sock")
    s.close()
    v = run_json("verify", dst, "--to", hub.url + "/ws")
    assert v["equal"] and not v["differences"] and v["n_skipped"] == 2, v
    assert [(d["path"], d["reason"]) for d in v["skipped"]] == [("a/fifo", "a FIFO"), ("sock", "a socket")], v
    out, _ = run("verify", dst, "--to", hub.url + "/ws")
    assert "skipped  \"a/fifo\": a FIFO\n" in out and "is exactly" in out, out
    os.rename(dst + "/edge", dst + ".edge")
    os.mkfifo(dst + "/edge")
    v = run_json("verify", dst, "--to", hub.url + "/ws", rc=4)
    assert [(d["path"], d["what"]) for d in v["differences"]] == [("edge", "type")], v
    os.rename(dst + ".edge", dst + "/edge")
    os.unlink(dst + "/a/fifo")
    os.unlink(dst + "/sock")


def test_old_version(hub):
    r = run_json("pull", hub.url + "/ws", path("old"), "--at", "1")
    assert r["version"] == 1 and os.path.exists(path("old/many/3/3")), r
    run("verify", path("old"), "--to", hub.url + "/ws", "--at", "1")
    run("verify", path("old"), "--to", hub.url + "/ws", rc=4)
    r = run_json("pull", hub.url + "/ws", path("old"))
    same(path("src"), path("old"))
    assert run_json("log", hub.url + "/ws", "--limit", "1")["versions"][0]["version"] == r["version"]


def test_symlink_in_the_way(hub):
    dst, outside = path("trap"), path("outside")
    run("pull", hub.url + "/ws", dst, "--at", "1")
    os.mkdir(outside)
    shutil.rmtree(dst + "/many")
    os.symlink(outside, dst + "/many")
    r = run_json("pull", hub.url + "/ws", dst, rc=3)
    assert "many" in reasons(r), r
    assert os.listdir(outside) == [] and os.path.islink(dst + "/many")


def test_not_empty(hub):
    write(path("mine/precious"), b"mine")
    _, err = run("pull", hub.url + "/ws", path("mine"), rc=1)
    assert "not empty" in err, err
    assert os.listdir(path("mine")) == ["precious"]


def test_interrupted(hub):
    """Killed at any moment, at one version; the next pull, of another one, finishes it."""
    for i in range(12):
        dst = path("cut%d" % i)
        at = ["--at", "1"] if i % 2 else []
        p = subprocess.Popen([SPATE, "pull", hub.url + "/ws", dst, *at], env=ENV,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.004 * i + 0.005)
        p.kill()
        p.wait()
        if i % 3 == 0:
            shutil.rmtree(TOP + "/state", ignore_errors=True) if not os.path.exists(dst) else None
        r = run_json("pull", hub.url + "/ws", dst)
        assert not r["failed"], (i, r["failed"][:5])
        same(path("src"), dst)


def pulled_tag(dst):
    """What unfinished files of pulls into @dst have in their names."""
    for top, _, files in os.walk(TOP + "/state"):
        if "pulled" in files and open(top + "/root").read().strip() == os.path.realpath(dst):
            return open(top + "/pulled").read().split()[2]
    raise AssertionError("no pull has been at " + dst)


def test_leftovers(hub):
    """What a pull was writing when it died goes, in every state; what only looks like it stays."""
    dst = path("left")
    run("pull", hub.url + "/ws", dst)
    ours, theirs = ".spate-tmp-" + pulled_tag(dst), ".spate-tmp-" + "0" * 16
    for top in (dst, dst + "/many/1", dst + "/ro"):
        mode = os.stat(top).st_mode
        os.chmod(top, 0o755)
        write(f"{top}/{ours}00000000")
        write(f"{top}/{ours}00000001", b"", 0o000)
        os.symlink("a/f", f"{top}/{ours}0000000a")
        os.chmod(top, mode)
    write(f"{dst}/{theirs}00000000", b"mine")
    write(f"{dst}/{ours}0000000b.txt", b"mine")
    os.symlink("mine", f"{dst}/{theirs}0000000a")
    os.mkdir(f"{dst}/{ours}0000000c")
    kept = {theirs + "00000000", ours + "0000000b.txt", theirs + "0000000a", ours + "0000000c"}
    r = run_json("pull", hub.url + "/ws", dst, rc=3)
    assert set(reasons(r)) == kept, r
    for name in kept:
        full = dst + "/" + name
        os.rmdir(full) if os.path.isdir(full) else os.unlink(full)
    run("pull", hub.url + "/ws", dst)
    same(path("src"), dst)


def test_half_set(hub):
    """Killed between setting a mtime and setting a mode: neither version has both, yet no edit."""
    src, dst = path("half-src"), path("half")
    write(src + "/f", b"same bytes", 0o644)
    run("push", src, "--to", hub.url + "/half", "--create")
    run("pull", hub.url + "/half", dst)
    os.chmod(src + "/f", 0o600)
    os.utime(src + "/f", ns=(1, 10**18))
    run("push", src, "--to", hub.url + "/half")
    for at in ([], ["--at", "1"]):
        run("pull", hub.url + "/half", dst, "--at", "1", "--overwrite")
        os.utime(dst + "/f", ns=(1, 10**18))
        state = [t for t, _, fs in os.walk(TOP + "/state") if "pulled" in fs
                 and open(t + "/root").read().strip() == os.path.realpath(dst)][0]
        with open(state + "/pulled") as f:
            words = f.read().split()
        words[4:5] = ["2", "1"]
        with open(state + "/pulled", "w") as f:
            f.write(" ".join(words) + "\n")
        run("pull", hub.url + "/half", dst, *at)
        assert at or tree(src) == tree(dst)
    os.chmod(dst + "/f", 0o640)
    run("pull", hub.url + "/half", dst, rc=3)


def test_flipped_byte(hub):
    dst = path("flip")
    run("pull", hub.url + "/ws", dst, "--at", "1")
    needle, newer = b"in a read-only directory", b"new version, too"
    hub.stop()
    hits = 0
    for top, _, files in os.walk(TOP + "/hub"):
        for n in files:
            with open(os.path.join(top, n), "r+b") as f:
                data = f.read()
                at = data.find(newer)
                while at >= 0:
                    f.seek(at)
                    f.write(b"N")
                    hits += 1
                    at = data.find(newer, at + 1)
    assert hits and needle
    hub.start()
    r = run_json("pull", hub.url + "/ws", dst, rc=7)
    assert set(reasons(r)) == {"many/2/2"}, r
    with open(dst + "/many/2/2", "rb") as f:
        assert f.read() == b"2"
    assert not [n for _, _, fs in os.walk(dst) for n in fs if n.startswith(".spate-tmp-")]


def test_refusals(hub):
    _, err = run("pull", hub.url + "/wz", path("no"), rc=1)
    assert "ws" in err and not os.path.exists(path("no")) and err.count("\n") == 1, err
    run("pull", hub.url + "/ws", path("no"), "--at", "99999", rc=1)
    run("pull", hub.url + "/ws", path("no"), env=dict(ENV, SPATE_TOKEN_FILE="", SPATE_TOKEN="wrong"),
        rc=1)
    env = {k: v for k, v in ENV.items() if k != "SPATE_TOKEN_FILE"}
    run("pull", hub.url + "/ws", path("no"), env=dict(env, SPATE_TOKEN="wrong"), rc=6)
    for bad in (["pull"], ["pull", "x"], ["pull", "ftp://x/y", "d"], ["pull", hub.url, "d"],
                ["pull", hub.url + "/ws", "d", "--at", "0x1"], ["pull", hub.url + "/ws", "d", "--nope"],
                ["pull", hub.url + "/ws", "d", "--jobs", "0"], ["verify", "d"], ["log"],
                ["log", hub.url + "/ws", "--limit", "-1"]):
        _, err = run(*bad, rc=2)
        assert err.count("\n") == 1, err


def test_hub_down(hub):
    hub.stop()
    run("pull", hub.url + "/ws", path("down"), rc=5)
    assert not os.path.exists(path("down"))
    hub.start()


TESTS = [test_exact, test_sigchld_ignored, test_edits_are_kept, test_special_files, test_old_version,
         test_symlink_in_the_way, test_not_empty, test_interrupted, test_leftovers, test_half_set, test_refusals,
         test_hub_down, test_flipped_byte]


def main():
    failed = 0
    hub = Hub()
    try:
        for test in TESTS:
            begun = time.monotonic()
            try:
                test(hub)
                print("[PASS] %s (%.1f s)" % (test.__name__, time.monotonic() - begun), flush=True)
            except Exception as e:
                failed += 1
                print("[FAIL] %s: %s: %s" % (test.__name__, type(e).__name__, e), flush=True)
        hub.stop()
    finally:
        hub.p.kill()
    subprocess.run(["chmod", "-R", "u+rwx", TOP], check=False)
    shutil.rmtree(TOP)
    print("%d passed, %d failed" % (len(TESTS) - failed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
