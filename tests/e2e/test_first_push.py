#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A first push is one version, whatever it is cut into on its way, and is seen when it is complete."""
import json, os, shutil, signal, subprocess, sys, threading, urllib.error, urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from spate import SPATE, World, check, check_log, compare, main, rounds, wait_for

MIB = 1 << 20
KILLED = ["batch_taken", "intent_before", "intent_written", "commit_sent", "commit_queued", "reply_received",
          "ack_written", "commit_acked", "index_updated", "file_read"]
HUB_KILLED = ["hub_body_read", "hub_job_queued", "hub_pack_written", "hub_before_commit", "hub_after_commit",
              "hub_job_done"]


def fill(root, n):
    """@n small files, fifty in a directory; some empty, some the same, a link and a large one."""
    for d in range(n // 50):
        path = f"{root}/a{d % 20}/b{d}"
        os.makedirs(path)
        for i in range(50):
            with open(f"{path}/f{i}", "wb") as f:
                f.write(b"" if i == 7 else b"same" if i == 8 else b"%d %d " % (d, i) * 8)
    os.symlink("a0/b0", f"{root}/link")
    with open(f"{root}/large", "wb") as f:
        f.write(os.urandom(3 * MIB + 5))
    return n + 2


def push(w, *more, code=0, env=None):
    r = w.run("push", w.tree, "--to", w.url, "--state", w.state, "--json", *more, code=code, env=env, timeout=600)
    return json.loads(r.stdout) if code in (0, 3) else None


def seen(w):
    """The workspace as everybody sees it, or None."""
    try:
        return json.load(urllib.request.urlopen(f"http://127.0.0.1:{w.port}/v1/workspaces/w"))
    except urllib.error.HTTPError as e:
        check(e.code == 404, f"status {e.code}")
        return None


def versions(w):
    return json.loads(w.run("log", w.url, "--json").stdout)["versions"]


class Peaks:
    """The largest private memory of processes, sampled."""

    def __init__(self, *pids):
        self.most = dict.fromkeys(pids, 0)
        self.end = threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()

    def watch(self):
        while not self.end.wait(0.1):
            for pid in self.most:
                try:
                    lines = open(f"/proc/{pid}/smaps_rollup").read().splitlines()
                except OSError:
                    continue
                n = sum(int(line.split()[1]) << 10 for line in lines if line.startswith(("Pss_Anon", "Pss_Shmem")))
                self.most[pid] = max(self.most[pid], n)

    def stop(self):
        self.end.set()
        self.thread.join()
        return self.most


def a_first_push_of_many_files_is_one_version():
    with World(where="/dev/shm") as w:
        hub = w.hub()
        n = fill(w.tree, rounds(30000, 5000, 150000))
        p = subprocess.Popen([SPATE, "push", w.tree, "--to", w.url, "--state", w.state, "--json"],
                             stdout=subprocess.PIPE, text=True)
        peaks = Peaks(p.pid, hub.pid)
        out = p.communicate()[0]
        memory = peaks.stop()
        r = json.loads(out)
        check(r["version"] == 1 and r["uploadedFiles"] == n, r)
        log = versions(w)
        check(len(log) == 1 and log[0]["puts"] >= n and not log[0]["deletes"], log)
        check(w.metric("spate_hub_versions_total") == 1, "parts are counted as versions")
        print(f"  {n} files: push {memory[p.pid] / MIB:.1f} MiB, hub {memory[hub.pid] / MIB:.1f} MiB")
        if "SPATE_SLOW" not in os.environ:
            check(memory[p.pid] <= 96 * MIB and memory[hub.pid] <= 128 * MIB, memory)
        check(not compare(w.tree, w.pull()), "not exact")
        check_log(w)
        again = push(w)
        check(again["version"] == 1 and again["existingFiles"] == n, again)


def a_small_first_push_is_one_request():
    with World() as w:
        w.hub()
        for i in range(10):
            open(f"{w.tree}/f{i}", "w").write(str(i))
        check(push(w)["version"] == 1, "version")
        check(w.writes() == 1, f"{w.writes()} requests")
        os.unlink(f"{w.tree}/f3")
        open(f"{w.tree}/f4", "w").write("changed")
        check(push(w)["version"] > 1, "the next one makes ordinary commits")
        check(not compare(w.tree, w.pull()), "not exact")


def of_an_empty_tree_nothing_is_made():
    with World() as w:
        w.hub()
        check(push(w)["version"] == 0 and seen(w) is None, "a workspace was made")
        open(f"{w.tree}/f", "w").write("x")
        check(push(w)["version"] == 1, "version")
        check(not compare(w.tree, w.pull()), "not exact")


def killed(side, point, nth):
    """A first push in many parts in which @side is killed; then another one. Return: what that one did."""
    what = f"{point}@{nth}"
    env = {"SPATE_FAIL": f"{point}:kill@{nth}"}
    with World(where="/dev/shm") as w:
        hub = w.hub(env=env if side == "hub" else None)
        n = fill(w.tree, 500)
        p = subprocess.Popen([SPATE, "push", w.tree, "--to", w.url, "--state", w.state, "--batch-files", "50"],
                             stdout=subprocess.DEVNULL, stderr=open(w.log, "a"),
                             env={**os.environ, **(env if side == "daemon" else {})})
        if side == "daemon":
            check(p.wait(120) == -signal.SIGKILL, f"{what}: not killed")
        else:
            check(hub.p.wait(120) == -signal.SIGKILL, f"{what}: not killed")
            w.run("fsck", w.data)
            w.hub()
            p.wait(120)
        w.run("fsck", f"http://127.0.0.1:{w.port}")
        there = seen(w)
        if there:  # it was the last part, or the hub came back in time
            check(there["version"] == 1 and not compare(w.tree, w.pull()), f"{what}: a part of it is seen")
        # What a stage holds may have changed meanwhile.
        os.rename(f"{w.tree}/a1/b1", f"{w.tree}/moved")
        os.unlink(f"{w.tree}/a2/b2/f1")
        open(f"{w.tree}/a3/b3/f1", "w").write("changed")
        r = push(w, "--max-delete", "1000")
        check(not compare(w.tree, w.pull()), f"{what}: not exact")
        check_log(w)
        log = versions(w)
        check(log[-1]["puts"] >= n // 2 and len(log) <= 4, f"{what}: {log}")
        print(f"  {what}: {r['uploadedFiles']} of {n} sent by the second one")
        return r, n


def a_first_push_that_is_killed_is_not_seen_and_is_gone_on_with():
    early = [killed("daemon", point, 1) for point in KILLED]
    check(all(r["version"] >= 1 for r, _ in early), early)
    for point in KILLED:
        nth = 300 if point == "file_read" else 8
        r, n = killed("daemon", point, nth)
        check(r["uploadedFiles"] < n - 100, f"{point}: {r['uploadedFiles']} of {n} were sent again")


def push_parts(w, n):
    """A first push that is killed when part @n was acknowledged."""
    p = subprocess.Popen([SPATE, "push", w.tree, "--to", w.url, "--state", w.state, "--batch-files", "50"],
                         stderr=subprocess.DEVNULL, env={**os.environ, "SPATE_FAIL": f"commit_acked:kill@{n}"})
    check(p.wait(120) == -signal.SIGKILL, "not killed")


def a_client_that_has_lost_its_state_begins_anew():
    with World() as w:
        w.hub()
        n = fill(w.tree, 500)
        push_parts(w, 4)
        subprocess.run(["rm", "-rf", f"{w.state}/index"])
        subprocess.run(["rm", "-rf", f"{w.tree}/a0", f"{w.tree}/a1", f"{w.tree}/a2"])
        r = push(w)
        check(r["version"] == 1 and not r["unclaimed_count"], r)
        check(not compare(w.tree, w.pull()), "not exact")
        check_log(w)


def the_hub_may_be_killed_during_a_first_push():
    for point in HUB_KILLED:
        for nth in (1, 5):
            killed("hub", point, nth)


def a_hub_that_is_put_back_to_an_earlier_part_gets_all_of_it():
    for published in (False, True):
        with World() as w:
            hub = w.hub()
            n = fill(w.tree, 1000)
            push_parts(w, 3)
            hub.stop()
            shutil.copytree(w.data, f"{w.dir}/backup")
            hub = w.hub()
            if published:
                check(push(w)["version"] == 1, "version")
            else:
                push_parts(w, 4)
            hub.stop()
            shutil.rmtree(w.data)
            os.rename(f"{w.dir}/backup", w.data)
            w.run("fsck", w.data)
            w.hub()
            r = push(w)
            check(r["version"] == 1 and r["uploadedFiles"] == n, r)
            check(not compare(w.tree, w.pull()), "not exact")
            w.run("fsck", f"http://127.0.0.1:{w.port}")


def a_workspace_that_somebody_makes_meanwhile_is_not_overwritten():
    with World() as w:
        w.hub()
        fill(w.tree, 500)
        push_parts(w, 4)
        other = f"{w.dir}/other"
        os.makedirs(f"{other}/a0/b0")
        open(f"{other}/a0/b0/f0", "w").write("theirs")
        open(f"{other}/only", "w").write("theirs")
        w.run("push", other, "--to", w.url, "--state", f"{w.dir}/other.state")
        push(w, code=4)
        check(open(f"{w.pull()}/a0/b0/f0").read() == "theirs", "overwritten")
        push(w, "--overwrite")
        out = w.pull()
        check(open(f"{out}/only").read() == "theirs", "deleted")
        check([d for d in compare(w.tree, out) if d[0] != b"only"] == [], "not exact")
        check_log(w)


def a_watch_makes_versions_as_it_goes_and_needs_no_stage():
    with World() as w:
        w.hub()
        n = fill(w.tree, 500)
        push_parts(w, 4)
        w.watch()
        w.exact("after a push that was killed")
        check(w.status()["counters"]["files_sent"] > n // 2, "the stage is nothing to it")
        check_log(w)


main([a_first_push_of_many_files_is_one_version, a_small_first_push_is_one_request, of_an_empty_tree_nothing_is_made,
      a_first_push_that_is_killed_is_not_seen_and_is_gone_on_with,
      a_client_that_has_lost_its_state_begins_anew, the_hub_may_be_killed_during_a_first_push,
      a_hub_that_is_put_back_to_an_earlier_part_gets_all_of_it,
      a_workspace_that_somebody_makes_meanwhile_is_not_overwritten,
      a_watch_makes_versions_as_it_goes_and_needs_no_stage])
