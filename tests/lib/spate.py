# SPDX-License-Identifier: MIT
"""spate.py - run the real binaries and compare trees byte for byte.

Everything started here is stopped by pid at the end of the `with` block, and temporary directories are
removed. SPATE names the binary under test.
"""
import contextlib, json, os, re, shutil, signal, stat, subprocess, sys, tempfile, time, urllib.request

SPATE = os.environ.get("SPATE", os.path.join(os.path.dirname(__file__), "..", "..", "build", "spate"))
SLOW = 10 if os.environ.get("SPATE_SLOW") else 1  # sanitizer builds


class Failed(Exception):
    pass


class Skipped(Exception):
    """Raised by a test that cannot be run here; the text says why."""


def check(condition, text):
    if not condition:
        raise Failed(text)


class Process:
    """A spate that prints a line when it is up."""

    def __init__(self, args, word, log, env=None, prefix=()):
        self.log = log
        self.args = args
        self.p = subprocess.Popen([*prefix, SPATE, *args], stdout=subprocess.PIPE, stderr=open(log, "a"), text=True,
                                  env={**os.environ, **(env or {})})
        self.pid = self.p.pid
        self.line = self.p.stdout.readline() if word else ""
        if word and not self.line.startswith(word):
            self.p.wait()
            raise Failed(f"{args[0]} did not start ({self.p.returncode}): {open(log).read()[-2000:]}")

    def stop(self, sig=signal.SIGTERM, timeout=60):
        if self.p.poll() is None:
            self.p.send_signal(sig)
        try:
            return self.p.wait(timeout * SLOW)
        except subprocess.TimeoutExpired:
            self.p.kill()
            self.p.wait()
            raise Failed(f"{self.args[0]} did not stop")

    def kill(self):
        return self.stop(signal.SIGKILL)


class World:
    """A temporary place with a hub, a tree and a watch."""

    prefix = ()  # what watch is started by

    def __init__(self, where=None, io="auto", tree=None):
        """@tree: a directory that is there already, on a file system of its own."""
        self.dir = tempfile.mkdtemp(prefix="spate-e2e-", dir=where)
        self.tree = tree or f"{self.dir}/tree"
        self.state = f"{self.dir}/state"
        self.data = f"{self.dir}/hub"
        self.log = f"{self.dir}/log"
        self.io = io
        self.port = 0
        self.processes = []
        os.makedirs(self.tree, exist_ok=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        for p in reversed(self.processes):
            if p.p.poll() is None:
                p.p.send_signal(signal.SIGCONT)
                p.p.kill()
                p.p.wait()
        if kind:
            print(open(self.log).read()[-4000:] if os.path.exists(self.log) else "", file=sys.stderr)
        subprocess.run(["rm", "-rf", self.dir])
        return False

    def start(self, args, word, env=None):
        p = Process(args, word, self.log, env, self.prefix if args[0] == "watch" else ())
        self.processes.append(p)
        return p

    def hub(self, env=None):
        p = self.start(["serve", "--data", self.data, "--listen", f"127.0.0.1:{self.port}", "--auth", "none"],
                       "ready", env)
        self.port = int(p.line.rsplit(":", 1)[1])
        return p

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/w"

    def watch(self, *more, env=None, word="ready"):
        return self.start(["watch", self.tree, "--to", self.url, "--state", self.state, "--io", self.io, *more],
                          word, env)

    def run(self, *args, code=0, env=None, timeout=900):
        r = subprocess.run([SPATE, *args], capture_output=True, text=True, timeout=timeout * SLOW,
                           env={**os.environ, **(env or {})})
        if code is not None and r.returncode != code:
            raise Failed(f"spate {' '.join(args)}: exit {r.returncode}, not {code}\n{r.stdout[-500:]}\n{r.stderr[-1500:]}")
        return r

    def flush(self, code=0, timeout=60):
        r = self.run("flush", self.tree, "--state", self.state, "--json", "--timeout", str(timeout * SLOW), code=code)
        return json.loads(r.stdout)

    def status(self):
        return json.loads(self.run("status", self.tree, "--state", self.state, "--json").stdout)

    def pull(self, *more, code=0):
        """Into an empty directory, whose path is returned."""
        out = tempfile.mkdtemp(prefix="pull-", dir=self.dir)
        self.run("pull", self.url, out, "--state", f"{out}.state", *more, code=code)
        return out

    def exact(self, what=""):
        """Flush, pull into an empty directory, compare."""
        done = self.flush()
        check(done["durable"], f"{what}: flush says not durable: {done}")
        out = self.pull()
        differences = compare(self.tree, out)
        check(not differences, f"{what}: {differences[:10]}")
        subprocess.run(["chmod", "-R", "u+rwx", out])
        subprocess.run(["rm", "-rf", out])
        return done

    def metric(self, pattern):
        """Sum of the hub's samples whose line matches."""
        text = urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics").read().decode()
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if re.match(pattern, line))

    def writes(self):
        """Write requests the hub has answered."""
        return self.metric(r'spate_hub_requests_total\{route="(bulk|blobs|commit)"')


def walk(root):
    """Path (bytes) -> what it is, without following anything."""
    found = {}
    left = [(os.fsencode(root), b"")]
    while left:
        path, rel = left.pop()
        with os.scandir(path) as entries:
            for e in entries:
                name = rel + b"/" + e.name if rel else e.name
                found[name] = e.stat(follow_symlinks=False)
                if e.is_dir(follow_symlinks=False):
                    left.append((e.path, name))
    return found


def same_bytes(a, b):
    with open(a, "rb") as fa, open(b, "rb") as fb:
        while True:
            x, y = fa.read(1 << 20), fb.read(1 << 20)
            if x != y:
                return False
            if not x:
                return True


def compare(a, b):
    """Differences between two trees: paths, types, bytes, targets, modes, mtimes of files and symlinks.
    FIFOs, sockets and devices are not kept and do not count."""
    with short(a) as a, short(b) as b:
        return differences(a, b)


@contextlib.contextmanager
def short(path):
    """A name of the directory that leaves room for paths below it of nearly PATH_MAX."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield b"/proc/self/fd/%d" % fd
    finally:
        os.close(fd)


def differences(a, b):
    wa, wb = walk(a), walk(b)
    out = []
    for path, sa in wa.items():
        kind = stat.S_IFMT(sa.st_mode)
        if kind not in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
            continue
        sb = wb.get(path)
        if sb is None:
            out.append((path, "missing"))
        elif kind != stat.S_IFMT(sb.st_mode):
            out.append((path, "type"))
        elif kind == stat.S_IFLNK:
            if os.readlink(a + b"/" + path) != os.readlink(b + b"/" + path):
                out.append((path, "target"))
            elif sa.st_mtime_ns != sb.st_mtime_ns:
                out.append((path, "mtime"))
        elif stat.S_IMODE(sa.st_mode) != stat.S_IMODE(sb.st_mode):
            out.append((path, "mode"))
        elif kind == stat.S_IFREG:
            if sa.st_size != sb.st_size:
                out.append((path, f"size {sa.st_size} != {sb.st_size}"))
            elif sa.st_mtime_ns != sb.st_mtime_ns:
                out.append((path, "mtime"))
            elif not same_bytes(a + b"/" + path, b + b"/" + path):
                out.append((path, "bytes"))
    out += [(path, "extra") for path in wb if path not in wa]
    return out


def check_log(w):
    """The version log: consecutive, in the order of time; and all that the hub keeps is sound."""
    w.run("fsck", w.url)
    versions = json.loads(w.run("log", w.url, "--json").stdout)["versions"]
    numbers = [v["version"] for v in versions]
    check(numbers == sorted(set(numbers), reverse=True) and numbers[0] - numbers[-1] == len(numbers) - 1,
          f"the log has gaps or doubles: {numbers[:10]}")
    stamps = [v["time_ns"] for v in reversed(versions)]
    check(stamps == sorted(stamps), "times of versions go backwards")


def rounds(normal, slow, long):
    """How often something random or large is done: @slow with sanitizers, @long by test_rounds_soak.py."""
    return long if os.environ.get("SPATE_LONG") else normal if SLOW == 1 else slow


def wait_for(condition, what, timeout=30):
    end = time.monotonic() + timeout * SLOW
    while not condition():
        if time.monotonic() > end:
            raise Failed(f"waited in vain: {what}")
        time.sleep(0.02)


def option(name, default):
    """The value after @name on the command line, which is then taken off it."""
    if name not in sys.argv:
        return default
    at = sys.argv.index(name)
    value = sys.argv[at + 1]
    del sys.argv[at:at + 2]
    return value


def main(tests):
    """Run the functions given; print a line each and the count."""
    only = sys.argv[1:]
    failed = passed = skipped = 0
    for test in tests:
        if only and test.__name__ not in only:
            continue
        begin = time.monotonic()
        try:
            test()
            passed += 1
            print(f"[PASS] {test.__name__} ({time.monotonic() - begin:.1f} s)", flush=True)
        except Skipped as e:
            skipped += 1
            print(f"[SKIP] {test.__name__}: {e}", flush=True)
        except Exception as e:
            failed += 1
            print(f"[FAIL] {test.__name__}: {type(e).__name__}: {e}", flush=True)
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    sys.exit(1 if failed else 0)
