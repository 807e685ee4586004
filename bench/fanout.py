#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""fanout.py - 10,000 new 4 KiB files by 4 writers: how far behind is the hub?

For each engine and each directory given (one per file system) it starts a hub and a watch, lets four
processes write 10,000 files into 100 directories, and reports

  writers   first write to last write
  lag       last write to "flush says durable"
  exact     spate verify of the tree against the hub
  memory    peak of Pss_Anon + Pss_Shmem of smaps_rollup, sampled every 100 ms, daemon and hub

Rounds are interleaved; medians with min-max are printed. With --peers, an rsync loop with a pause of 1 s and
lsyncd with a delay of 0 mirror the same storm into a directory beside it; their lag ends when the mirror holds
every byte (looked at every 20 ms).
"""
import argparse, json, os, shutil, signal, statistics, subprocess, sys, tempfile, threading, time

SPATE = os.environ.get("SPATE", os.path.join(os.path.dirname(__file__), "..", "build", "spate"))


def start(args, word, log):
    p = subprocess.Popen([SPATE, *args], stdout=subprocess.PIPE, stderr=log, text=True)
    line = p.stdout.readline()
    if not line.startswith(word):
        sys.exit(f"{args[0]} did not start: {line!r}")
    return p, line.split()


class Memory(threading.Thread):
    """Peak memory of some processes."""

    def __init__(self, pids):
        super().__init__(daemon=True)
        self.peak = dict.fromkeys(pids, 0)
        self.stop = threading.Event()

    def run(self):
        while not self.stop.wait(0.1):
            for pid in self.peak:
                try:
                    with open(f"/proc/{pid}/smaps_rollup") as f:
                        kb = sum(int(line.split()[1]) for line in f
                                 if line.startswith(("Pss_Anon:", "Pss_Shmem:")))
                except OSError:
                    continue
                self.peak[pid] = max(self.peak[pid], kb)


def writer(root, first, files, dirs, size):
    """Write every fourth file; each has bytes of its own."""
    for i in range(first, files, 4):
        data = (b"%d " % i) * (size // len(b"%d " % i) + 1)
        with open(f"{root}/d{i % dirs}/f{i}", "wb") as f:
            f.write(data[:size])


def storm(root, files, dirs, size):
    for i in range(dirs):
        os.mkdir(f"{root}/d{i}")
    begin = time.monotonic()
    pids = []
    for w in range(4):
        pid = os.fork()
        if not pid:
            writer(root, w, files, dirs, size)
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)
    return begin, time.monotonic()


def one_round(where, engine, args):
    work = tempfile.mkdtemp(prefix="spate-fanout-", dir=where)
    # The hub's data and the state are on a disk in every case: mapped tmpfs files would count as memory.
    data = tempfile.mkdtemp(prefix="spate-fanout-", dir=args.data)
    try:
        with open(f"{data}/log", "w") as log:
            hub, words = start(["serve", "--data", f"{data}/hub", "--listen", "127.0.0.1:0",
                                "--auth", "none"], "ready", log)
            url = words[1] + "/w"
            root = f"{work}/tree"
            os.mkdir(root)
            watch, _ = start(["watch", root, "--to", url, "--state", f"{data}/state", "--io", engine],
                             "ready", log)
            memory = Memory([watch.pid, hub.pid])
            memory.start()
            begin, end = storm(root, args.files, 100, args.size)
            out = subprocess.run([SPATE, "flush", root, "--state", f"{data}/state", "--json"],
                                 capture_output=True, text=True)
            done = time.monotonic()
            flush = json.loads(out.stdout)
            memory.stop.set()
            status = json.loads(subprocess.run([SPATE, "status", root, "--state", f"{data}/state", "--json"],
                                               capture_output=True, text=True).stdout)
            verify = subprocess.run([SPATE, "verify", root, "--to", url], capture_output=True)
            watch.send_signal(signal.SIGTERM)
            watch.wait()
            hub.send_signal(signal.SIGTERM)
            hub.wait()
        return {"writers": end - begin, "lag": done - end, "durable": flush["durable"],
                "exact": verify.returncode == 0, "requests": status["counters"]["bulk_requests"],
                "overflows": status["counters"]["overflows"],
                "daemon_mib": memory.peak[watch.pid] / 1024, "hub_mib": memory.peak[hub.pid] / 1024}
    finally:
        shutil.rmtree(work, ignore_errors=True)
        shutil.rmtree(data, ignore_errors=True)


def mirrored(root, copy, files, size):
    """Whether the copy has all files; the cheap look first."""
    count = total = 0
    for i in range(100):
        try:
            with os.scandir(f"{copy}/d{i}") as entries:
                for e in entries:
                    count += 1
                    total += e.stat(follow_symlinks=False).st_size
        except OSError:
            return False
    return count == files and total == files * size and \
        subprocess.run(["diff", "-rq", root, copy], capture_output=True).returncode == 0


def peer_command(peer, root, copy, work):
    if peer == "rsync":
        return ["sh", "-c", f"while :; do rsync -a --delete {root}/ {copy}/; sleep 1; done"]
    conf = f"{work}/lsyncd.conf"
    with open(conf, "w") as f:
        f.write('settings{nodaemon=true}\nsync{default.rsync,source="%s",target="%s",delay=0,'
                'rsync={archive=true}}\n' % (root, copy))
    return ["lsyncd", conf]


def peer_round(where, peer, args):
    work = tempfile.mkdtemp(prefix="spate-fanout-", dir=where)
    root, copy = f"{work}/tree", f"{work}/copy"
    os.mkdir(root)
    os.mkdir(copy)
    p = subprocess.Popen(peer_command(peer, root, copy, work), stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        time.sleep(1.5)
        begin, end = storm(root, args.files, 100, args.size)
        while not mirrored(root, copy, args.files, args.size):
            if time.monotonic() - end > 120:
                return {"writers": end - begin, "lag": float("inf"), "exact": False}
            time.sleep(0.02)
        return {"writers": end - begin, "lag": time.monotonic() - end, "exact": True}
    finally:
        os.killpg(p.pid, signal.SIGKILL)
        p.wait()
        shutil.rmtree(work, ignore_errors=True)


def spread(values, unit="", digits=3):
    return f"{statistics.median(values):.{digits}f}{unit} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("dirs", nargs="*", default=["/tmp", "/dev/shm"], help="one directory a file system")
    ap.add_argument("--files", type=int, default=10000)
    ap.add_argument("--size", type=int, default=4096)
    ap.add_argument("--rounds", type=int, default=5)
    ap.add_argument("--data", default="/tmp", help="where hub data and state go")
    ap.add_argument("--json", action="store_true")
    ap.add_argument("--peers", action="store_true", help="also rsync and lsyncd (Debian packages)")
    args = ap.parse_args()
    peers = ("rsync", "lsyncd") if args.peers else ()
    for peer in peers:
        if not shutil.which(peer):
            sys.exit(f"fanout: {peer} is not installed (apt-get install {peer})")
    cells = [(d, e) for d in args.dirs for e in ("uring", "threads", *peers)]
    results = {c: [] for c in cells}
    for _ in range(args.rounds):
        for c in cells:
            results[c].append((peer_round if c[1] in peers else one_round)(*c, args))
    if args.json:
        print(json.dumps([{"dir": d, "engine": e, "rounds": r} for (d, e), r in results.items()]))
    else:
        print(f"{args.files} files x {args.size} B, 4 writers, {args.rounds} rounds: median (min-max)")
        for (d, e), r in results.items():
            if e in peers:
                print(f"{d:10} {e:8} writers {spread([x['writers'] for x in r], ' s')}  "
                      f"lag {spread([x['lag'] for x in r], ' s')}  exact {sum(x['exact'] for x in r)}/{len(r)}")
                continue
            print(f"{d:10} {e:8} writers {spread([x['writers'] for x in r], ' s')}  "
                  f"lag {spread([x['lag'] for x in r], ' s')}  "
                  f"requests {spread([x['requests'] for x in r], '', 0)}  "
                  f"daemon {max(x['daemon_mib'] for x in r):.1f} MiB  "
                  f"hub {max(x['hub_mib'] for x in r):.1f} MiB  "
                  f"exact {sum(x['exact'] and x['durable'] for x in r)}/{len(r)}")
    bad = [x for r in results.values() for x in r if not x["exact"] or not x.get("durable", True)]
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
