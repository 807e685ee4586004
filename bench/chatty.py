#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""chatty.py - does a log line every 3 ms delay other saves, and how far behind is the log itself?

In one tree a process saves a small file every 200 ms, each time another one, and looks when the hub has it. In
every second round another process appends a line to a log every 3 ms; --mode says whether it keeps the log open
(open) or opens it for each line (reopen). Reported over all rounds:

  save     close(2) to "the hub serves the file": p50, p99 (min-max), with the log and without
  log      how far behind the hub's copy is, seen every 20 ms: age of the oldest line that is missing there
  bytes    sent by the daemon for each byte appended (the saves' own bytes are not subtracted)

What is measured includes one GET on a connection kept open (its median is shown as "asking") and half the time
between two of them. Rounds with and without the log alternate. The log's lag has max-delay (100 ms), one round
trip, reading and hashing the log, and one look in it.
"""
import argparse, http.client, json, os, shutil, signal, statistics, subprocess, sys, tempfile, threading, time

SPATE = os.environ.get("SPATE", os.path.join(os.path.dirname(__file__), "..", "build", "spate"))

LOGGER = """
import sys, time
path, mode = sys.argv[1], sys.argv[2]
f = open(path, "ab", 0)
n, due = 0, time.monotonic()
while True:
    if mode == "reopen" and n:
        f = open(path, "ab", 0)
    f.write(b"%012d %.6f a line of a log that says nothing\\n" % (n, time.monotonic()))
    if mode == "reopen":
        f.close()
    n += 1
    due += 0.003
    time.sleep(max(0.0, due - time.monotonic()))
"""


def start(args, word, log):
    p = subprocess.Popen([SPATE, *args], stdout=subprocess.PIPE, stderr=log, text=True)
    line = p.stdout.readline()
    if not line.startswith(word):
        sys.exit(f"{args[0]} did not start: {line!r}")
    return p, line.split()


class Hub:
    """One connection that asks for files."""

    def __init__(self, port):
        self.c = http.client.HTTPConnection("127.0.0.1", port)

    def get(self, path, first=0):
        self.c.request("GET", f"/v1/workspaces/w/file?path={path}", headers={"Range": f"bytes={first}-"})
        r = self.c.getresponse()
        body = r.read()
        return body if r.status in (200, 206) else b""


class LogLag(threading.Thread):
    """Watch how far behind the hub's copy of the log is, from the time in the last line it has."""

    def __init__(self, port, root):
        super().__init__(daemon=True)
        self.hub, self.root, self.lags, self.stop = Hub(port), root, [], threading.Event()

    def run(self):
        have = 0
        with open(f"{self.root}/log", "rb") as f:
            while not self.stop.wait(0.02):
                now = time.monotonic()
                have += len(self.hub.get("log", have))
                f.seek(have)
                missing = f.readline()
                if missing.endswith(b"\n"):  # else a line is in the middle: nothing whole is missing
                    at = missing.split()
                    if len(at) > 1 and len(at[0]) == 12:
                        self.lags.append(max(0.0, now - float(at[1])))
                else:
                    self.lags.append(0.0)


def one_round(where, mode, seconds):
    work = tempfile.mkdtemp(prefix="spate-chatty-", dir=where)
    root, logger, lag = f"{work}/tree", None, None
    os.mkdir(root)
    try:
        with open(f"{work}/log", "w") as err:
            hub, words = start(["serve", "--data", f"{work}/hub", "--listen", "127.0.0.1:0", "--auth", "none"],
                               "ready", err)
            port = int(words[1].rsplit(":", 1)[1])
            watch, _ = start(["watch", root, "--to", f"{words[1]}/w", "--state", f"{work}/state"], "ready", err)
            asking, saves = Hub(port), []
            if mode:
                logger = subprocess.Popen([sys.executable, "-c", LOGGER, f"{root}/log", mode])
                while not os.path.exists(f"{root}/log"):
                    time.sleep(0.01)
                time.sleep(1)
                lag = LogLag(port, root)
                lag.start()
            end, i, asked = time.monotonic() + seconds, 0, []
            while time.monotonic() < end:
                i += 1
                data = b"save %d\n" % i
                with open(f"{root}/f{i}", "wb") as f:
                    f.write(data)
                begin = time.monotonic()
                while True:
                    ask = time.monotonic()
                    got = asking.get(f"f{i}")
                    asked.append(time.monotonic() - ask)
                    if got == data:
                        break
                    if time.monotonic() - begin > 30:
                        sys.exit("a save did not arrive in 30 s")
                saves.append(time.monotonic() - begin)
                time.sleep(0.2)
            if lag:
                lag.stop.set()
                lag.join()
                logger.kill()
                logger.wait()
            flush = json.loads(subprocess.run([SPATE, "flush", root, "--state", f"{work}/state", "--json"],
                                              capture_output=True, text=True).stdout)
            status = json.loads(subprocess.run([SPATE, "status", root, "--state", f"{work}/state", "--json"],
                                               capture_output=True, text=True).stdout)
            exact = subprocess.run([SPATE, "verify", root, "--to", f"{words[1]}/w"], capture_output=True).returncode
            appended = os.path.getsize(f"{root}/log") if mode else 0
            for p in (watch, hub):
                p.send_signal(signal.SIGTERM)
                p.wait()
        return {"saves": saves, "asking": statistics.median(asked), "lags": lag.lags if lag else [],
                "appended": appended, "sent": status["counters"]["bytes_sent"], "commits": status["counters"]["commits"],
                "exact": exact == 0 and flush["durable"]}
    finally:
        if logger and logger.poll() is None:
            logger.kill()
        shutil.rmtree(work, ignore_errors=True)


def quantile(values, q):
    values = sorted(values)
    return values[min(len(values) - 1, int(q * len(values)))]


def spread(values):
    return (f"p50 {quantile(values, .5) * 1e3:.1f} ms, p99 {quantile(values, .99) * 1e3:.1f} ms "
            f"({min(values) * 1e3:.1f}-{max(values) * 1e3:.1f})")


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("dir", nargs="?", default="/tmp")
    ap.add_argument("--seconds", type=float, default=60, help="of each round")
    ap.add_argument("--rounds", type=int, default=3, help="with the log, and as many without")
    ap.add_argument("--mode", choices=("open", "reopen"), default="open")
    ap.add_argument("--json", action="store_true")
    args = ap.parse_args()
    rounds = {"": [], args.mode: []}
    for _ in range(args.rounds):
        for mode in rounds:
            rounds[mode].append(one_round(args.dir, mode, args.seconds))
    if args.json:
        print(json.dumps(rounds))
    else:
        print(f"{args.rounds} rounds of {args.seconds:.0f} s each with and without a log line every 3 ms "
              f"({args.mode}), a save every 200 ms")
        for mode, r in rounds.items():
            print(f"{'with the log' if mode else 'without':13} save {spread([v for x in r for v in x['saves']])}, "
                  f"asking {statistics.median(x['asking'] for x in r) * 1e3:.1f} ms, "
                  f"commits {sum(x['commits'] for x in r)}, exact {sum(x['exact'] for x in r)}/{len(r)}")
        r = rounds[args.mode]
        print(f"log           behind {spread([v for x in r for v in x['lags']])}; "
              f"{sum(x['sent'] for x in r)} bytes sent for {sum(x['appended'] for x in r)} appended: "
              f"{sum(x['sent'] for x in r) / max(1, sum(x['appended'] for x in r)):.1f}")
    return 0 if all(x["exact"] for r in rounds.values() for x in r) else 1


if __name__ == "__main__":
    sys.exit(main())
