#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""H14: the hub's disk is full: 507, what was acknowledged is there, and it recovers when there is room. On a small
tmpfs in a mount namespace of the test; needs root."""
import http.client, json, os, random, subprocess, sys, time
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
sys.path.insert(0, os.path.dirname(__file__))
import places
from spate import Skipped, World, check, check_log, main, option, rounds, wait_for
from test_hub import Bulk, frame, sha, unpack_all

SEED = int(option("--seed", random.randrange(1 << 32)))
full = [0]


class Small(World):
    """The hub's data lies on a tmpfs of @mib MiB."""

    def __init__(self, mib, *options, **more):
        super().__init__(**more)
        if os.geteuid() != 0:
            raise Skipped("mounting needs root")
        if not getattr(Small, "ready", False):
            if not places.own_namespace():
                raise Skipped("no mount namespace of our own: unshare is not allowed")
            Small.ready = True
        os.mkdir(self.data)
        options = ",".join([f"size={mib}m", "mode=700", *options])
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "small", self.data], check=True)

    def remount(self, *options):
        subprocess.run(["mount", "-o", ",".join(["remount", *options]), self.data], check=True)

    def __exit__(self, *what):
        for p in reversed(self.processes):
            if p.p.poll() is None:
                p.p.kill()
                p.p.wait()
        subprocess.run(["umount", "-l", self.data])
        return super().__exit__(*what)

    def ballast(self, room):
        """Leave @room bytes free."""
        self.lighten()
        s = os.statvfs(self.data)
        with open(f"{self.data}/.ballast", "wb") as f:
            for _ in range(max(0, (s.f_bavail * s.f_bsize - room) // 4096)):
                f.write(bytes(4096))

    def lighten(self):
        if os.path.exists(f"{self.data}/.ballast"):
            os.unlink(f"{self.data}/.ballast")

    def ask(self, method, path, body=None):
        """(status, body). What is no 507 and no success is a failure."""
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            c.request(method, path, body)
            r = c.getresponse()
            data = r.read()
            if r.status == 507:
                full[0] += 1
                check(json.loads(data)["code"] == "DISK_FULL", f"507: {data}")
            return r.status, data
        finally:
            c.close()

    def bytes_of(self, path, version):
        return self.ask("GET", f"/v1/workspaces/w/file?path={path}&at={version}")


def H14_a_watch_whose_hub_is_full_keeps_its_work_and_goes_on():
    with Small(4) as w:
        w.hub()
        watch = w.watch()
        r = random.Random(SEED)
        data = {}

        def write(i):
            data[i] = r.randbytes(r.choice([100, 5000, 100_000]))
            with open(f"{w.tree}/f{i}", "wb") as f:
                f.write(data[i])
        i = 0
        while "507" not in w.status()["last_error"]:
            write(i)
            i += 1
            check(i < 2000, "a disk of 4 MiB takes everything")
            time.sleep(.01)
        full[0] += 1
        before = w.flush(code=8, timeout=2)
        check(not before["durable"] and "full" in before["error"], f"what flush says: {before}")
        for path, version in (("f0", 1), ("f0", before["version"])):
            check(w.bytes_of(path, version)[1] == data[0], "what was acknowledged is gone")
        for _ in range(50):
            write(i)
            i += 1
        w.remount("size=64m")
        w.exact("there is room again")
        check_log(w)
        check(w.status()["counters"]["conflicts"] == 0, "conflicts")
        check(watch.stop() == 0, "drain")


def commit(w, writer, seq, r):
    """(path, version, bytes) of one that was acknowledged, or None."""
    data = r.randbytes(r.choice([10, 3000, 60_000, 300_000]))
    b = Bulk(seq, writer=bytes([writer]) * 16).put(b"w%d" % writer, data)
    status, reply = w.ask("POST", "/v1/workspaces/w/bulk", b.bytes())
    check(status in (200, 507), f"{status}: {reply}")
    return (f"w{writer}", unpack_all(reply)[0][0], data) if status == 200 else None


def H14_whatever_room_there_is_nothing_acknowledged_is_lost():
    """Groups of commits meet the end of the disk anywhere: in the pack, in the rows, in the WAL, at a checkpoint."""
    r = random.Random(SEED)
    with Small(24) as w, ThreadPoolExecutor(8) as pool:
        hub = w.hub()
        kept, seqs = {}, [0] * 9

        def writer(n, times, seed):
            mine, random_of_mine = [], random.Random(seed)
            for _ in range(times):
                seqs[n] += 1
                mine.append(commit(w, n, seqs[n], random_of_mine))
            return mine

        def all_writers(times):
            for f in [pool.submit(writer, n, times, r.random()) for n in range(1, 9)]:
                for got in f.result():
                    if got:
                        kept[got[:2]] = got[2]

        def everything_is_there(what):
            for (path, version), data in list(kept.items())[-60:]:
                check(w.bytes_of(path, version) == (200, data), f"{what}: {path} of version {version} (--seed {SEED})")

        all_writers(2)
        for i in range(rounds(25, 8, 150)):
            w.ballast(r.choice([0, 4096, r.randrange(1 << 14), r.randrange(1 << 17), r.randrange(1 << 20)]))
            all_writers(2)
            everything_is_there(f"round {i}, full")
            if r.random() < .3:  # a start while there is no room may be refused, but must harm nothing
                hub.kill() if r.random() < .5 else hub.stop()
                try:
                    hub = w.hub()
                    everything_is_there(f"round {i}, started full")
                except Exception as e:
                    check("did not start" in str(e), str(e))
                    w.lighten()
                    hub = w.hub()
            w.lighten()
            got = commit(w, 1, (seqs.__setitem__(1, seqs[1] + 1), seqs[1])[1], random.Random(1))
            check(got, f"round {i}: still full with room (--seed {SEED})")
            kept[got[:2]] = got[2]
            everything_is_there(f"round {i}, with room")
            if os.statvfs(w.data).f_bavail * os.statvfs(w.data).f_bsize < 6 << 20:
                w.remount(f"size={48 + 24 * i}m")
        check(hub.stop() == 0, "stop")
        w.hub()
        for (path, version), data in kept.items():
            check(w.bytes_of(path, version) == (200, data), f"{path} of version {version} (--seed {SEED})")
        check_log(w)


def H14_no_room_for_the_next_pack():
    """A pack is full, and the file system has no place for another file."""
    with Small(600) as w:
        hub = w.hub()
        check(w.ask("POST", "/v1/workspaces/w/bulk", Bulk(1).put(b"f", b"first").bytes())[0] == 200, "the first commit")
        one = os.urandom(1 << 20)
        used = os.statvfs(w.data).f_files - os.statvfs(w.data).f_ffree
        w.remount(f"nr_inodes={used}")
        stored, refused = [], None
        for i in range(10):
            chunks = [i.to_bytes(4, "big") + k.to_bytes(4, "big") + one[8:] for k in range(31)]
            status, _ = w.ask("POST", "/v1/blobs", b"".join(map(frame, chunks)))
            if status == 507:
                refused = chunks
                break
            check(status == 200, f"{status}")
            stored.append(chunks[7])
        check(refused, "a pack is never rolled")
        status, reply = w.ask("POST", "/v1/workspaces/w/bulk", Bulk(2).put(b"f", one).bytes())
        check(status in (200, 507), f"{status}: {reply}")
        w.remount("nr_inodes=1000")
        check(w.ask("POST", "/v1/blobs", b"".join(map(frame, refused)))[0] == 200, "still full with room")
        check(w.ask("POST", "/v1/workspaces/w/bulk", Bulk(3).put(b"f", b"last").bytes())[0] == 200, "a commit")
        check(len(os.listdir(f"{w.data}/packs")) >= 2, "one pack only")
        hub.kill()
        w.hub()
        for data in stored + refused:
            check(w.ask("GET", "/v1/blobs/" + sha(data).hex()) == (200, data), "a blob is gone")
        check(w.bytes_of("f", 1)[1] == b"first", "the first version")
        check(w.ask("GET", "/v1/workspaces/w/file?path=f")[1] == b"last", "the last version")


print(f"--seed {SEED}")
try:
    main([H14_a_watch_whose_hub_is_full_keeps_its_work_and_goes_on,
          H14_whatever_room_there_is_nothing_acknowledged_is_lost, H14_no_room_for_the_next_pack])
finally:
    print(f"count: {full[0]} refusals of a full disk")
