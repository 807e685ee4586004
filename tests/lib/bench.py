# SPDX-License-Identifier: MIT
"""bench.py - places where benchmarks run, and whether anything is left of them."""
import contextlib, json, os, shutil, subprocess, tempfile

from spate import SLOW, SPATE, check

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


class Place:
    """A directory for the trees, one for the state, and whether anything is left when it ends."""

    def __init__(self, where=MEMORY):
        self.where = where

    def __enter__(self):
        self.top = tempfile.mkdtemp(prefix="spate-bench-test-", dir=self.where)
        self.state = tempfile.mkdtemp(prefix="spate-bench-test-")
        self.dir, self.json = f"{self.top}/trees", f"{self.state}/results.json"
        return self

    def __exit__(self, *what):
        for d in (self.top, self.state):
            shutil.rmtree(d, ignore_errors=True)
        return False

    def args(self, *more):
        return [SPATE, "bench", "storm", "--dir", self.dir, "--state-dir", self.state, *more]

    def env(self, env):
        # npm takes what it has seen before, or is left out.
        return {**os.environ, "npm_config_offline": "true", **(env or {})}

    def run(self, *more, code=0, env=None):
        r = subprocess.run(self.args(*more), capture_output=True, text=True, timeout=300 * SLOW, env=self.env(env))
        check(r.returncode == code, f"exit {r.returncode}, not {code}: {r.stdout[-2000:]}\n{r.stderr[-1000:]}")
        return r

    def refused(self, *more, words, code=2, env=None):
        r = self.run(*more, code=code, env=env)
        check(r.stderr.count("\n") == 1, f"not one line: {r.stderr!r}")
        for word in words:
            check(word in r.stderr, f"{word!r} is missing in {r.stderr!r}")
        self.nothing_left()
        return r

    def results(self):
        with open(self.json) as f:
            return json.load(f)

    def of_ours(self):
        """Processes with our directories in their arguments."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    line = f.read()
                if self.top.encode() in line or self.state.encode() in line:
                    found.append((pid, line))
        return found

    def nothing_left(self):
        left = [n for n in os.listdir(self.state) if n != "results.json"]
        check(not left, f"left in the state directory: {left}")
        check(not os.path.exists(self.dir), f"{self.dir} is still there")
        check(not self.of_ours(), f"still running: {self.of_ours()}")
