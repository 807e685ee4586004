# SPDX-License-Identifier: MIT
"""fire.py - writers of every kind that go on while a test kills, stops and fills, and a world that takes it.

Run as a program it is one such writer: fire.py KIND ROOT SEED. A line on its standard input makes it pause after the
step it is at, with nothing half done; another one lets it go on; the end of the input ends it.
"""
import inspect, json, os, random, select, shutil, subprocess, sys, time

from mutations import EXCHANGE, MUTATIONS, Lacks, renameat2, seed as seeded
from spate import SPATE, Failed, World, check, check_log, wait_for

# What takes long; what is only seen by who watches, as a walk after a restart finds no time that moved; and FIFOs, which
# hold up those who open them.
LEFT_OUT = {"a_tree_as_deep_as_paths_go", "a_tree_of_four_hundred_levels", "many_hard_links", "large_file_grown_and_shrunk",
            "mmap_store", "mmap_store_after_msync_and_read", "mmap_outlives_its_descriptor",
            "fifo_and_socket_are_left_out"}


def put(path, data, mode="wb"):
    with open(path, mode) as f:
        f.write(data)


def files(root, r):
    """Small and large files written, appended to, cut, saved by rename and removed."""
    while True:
        d = f"{root}/d{r.randrange(6)}"
        f, k = f"{d}/f{r.randrange(20)}", r.random()
        if k < .45:
            os.makedirs(d, exist_ok=True)
            put(f, r.randbytes(r.randrange(9000)))
        elif k < .60:
            put(f, r.randbytes(300), "ab")
        elif k < .75:
            put(f"{d}/.save", r.randbytes(r.randrange(3000)))
            os.rename(f"{d}/.save", f)
        elif k < .80:
            os.truncate(f, r.randrange(4000))
        elif k < .92:
            os.unlink(f)
        elif k < .94:
            put(f"{d}/large", r.randbytes(r.randrange(1100000, 1800000)))
        else:
            os.chmod(f, r.choice([0o600, 0o644, 0o755]))
        yield


def moves(root, r):
    """Directories that are renamed, exchanged, moved into each other and removed, with files in them."""
    def place():
        return f"{root}/d{r.randrange(6)}" + r.choice(["", "", "/s", "/s/t", "/x"])
    while True:
        a, b, k = place(), place(), r.random()
        if k < .35:
            os.rename(a, b)
        elif k < .45:
            renameat2(a, b, EXCHANGE)
        elif k < .80:
            os.makedirs(a, exist_ok=True)
            put(f"{a}/g{r.randrange(4)}", r.randbytes(r.randrange(500)))
        elif k < .95:
            os.chmod(a, r.choice([0o755, 0o711]))
        else:
            shutil.rmtree(a)
        yield


def links(root, r):
    """Names of the same inodes: made, written through, replaced under one name, removed. Those that are written through
    stay: of a name that has come and gone, with a write through it, before anybody looked, only an audit learns."""
    stay = [f"{root}/links/d{i}/stays{k}" for i in range(6) for k in range(3)]
    for name in stay:
        os.makedirs(os.path.dirname(name), exist_ok=True)
        put(name, b"", "ab")
    while True:
        a, b, k = r.choice(stay), f"{root}/links/d{r.randrange(6)}/l{r.randrange(10)}", r.random()
        if k < .15:
            put(a, r.randbytes(r.randrange(2000)))
        elif k < .50:
            os.link(a, b)
        elif k < .75:
            put(a, r.randbytes(100), "r+b")
        elif k < .85:
            put(f"{b}.new", r.randbytes(50))
            os.rename(f"{b}.new", b)
        else:
            os.unlink(b)
        yield


def bursts(root, r):
    """What git does: objects under temporary names that are linked into place, an index that is renamed, a checkout."""
    os.makedirs(f"{root}/.git", exist_ok=True)
    while True:
        for _ in range(r.randrange(5, 60)):
            name = r.randbytes(10).hex()
            d = f"{root}/.git/objects/{name[0]}"
            os.makedirs(d, exist_ok=True)
            put(f"{d}/tmp_obj", r.randbytes(r.randrange(400)))
            os.link(f"{d}/tmp_obj", f"{d}/{name}")
            os.unlink(f"{d}/tmp_obj")
        put(f"{root}/.git/index.lock", r.randbytes(2000))
        os.rename(f"{root}/.git/index.lock", f"{root}/.git/index")
        yield
        side = r.randrange(3)
        shutil.rmtree(f"{root}/src{side}", ignore_errors=True)
        for i in range(r.randrange(30)):
            os.makedirs(f"{root}/src{side}/{i % 4}", exist_ok=True)
            put(f"{root}/src{side}/{i % 4}/{i}.c", r.randbytes(r.randrange(2000)))
        yield
        if r.random() < .2:
            shutil.rmtree(f"{root}/.git/objects")
        yield


def mutations(root, r):
    """Steps of those of mutations.py, on what others of them left there."""
    names = [name for name in MUTATIONS if name not in LEFT_OUT]
    running = {}
    while True:
        t = f"{root}/m/{r.randrange(4)}"
        if not os.path.isdir(f"{t}/a") and r.random() < .3:
            running = {key: step for key, step in running.items() if key[0] != t}
            shutil.rmtree(t, ignore_errors=True)
            seeded(t)
        name = r.choice([n for at, n in running if at == t] or names) if r.random() < .4 else r.choice(names)
        try:
            step = running.pop((t, name), MUTATIONS[name])
            step = step(t) if callable(step) else step
            if inspect.isgenerator(step):
                next(step)
                running[t, name] = step
        except (Exception, StopIteration):
            pass  # a name that is gone or taken; what was done until then counts as well
        yield


KINDS = {f.__name__: f for f in (files, moves, links, bursts, mutations)}


def write_on(kind, root, r):
    os.makedirs(root, exist_ok=True)
    steps = KINDS[kind](root, r)
    print("up", flush=True)
    while True:
        if select.select([sys.stdin], [], [], 0)[0]:
            if not sys.stdin.buffer.raw.readline():
                return
            print("paused", flush=True)
            if not sys.stdin.buffer.raw.readline():
                return
            print("on", flush=True)
        try:
            next(steps)
        except (OSError, Lacks):
            steps = KINDS[kind](root, r)
        except StopIteration:
            steps = KINDS[kind](root, r)
        time.sleep(r.expovariate(1 / .004))


class Writers:
    """One process of each kind; three of them write into the same directories."""

    def __init__(self, tree, seed, kinds=KINDS, prefix=()):
        self.all = []
        for i, kind in enumerate(kinds):
            root = tree if kind in ("bursts", "mutations") else f"{tree}/mixed"
            self.all.append(subprocess.Popen([*prefix, sys.executable, __file__, kind, root, str(seed + i)], text=True,
                                             stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        self.answered("up")

    def answered(self, word):
        for p in self.all:
            line = p.stdout.readline()
            check(line == word + "\n", f"a writer says {line!r}, not {word}")

    def tell(self, word):
        for p in self.all:
            p.stdin.write("\n")
            p.stdin.flush()
        self.answered(word)

    def pause(self):
        self.tell("paused")

    def go_on(self):
        self.tell("on")

    def stop(self):
        for p in self.all:
            p.kill()
            p.wait()
            p.stdin.close()
            p.stdout.close()


class Fire(World):
    """A world whose sides die and come back while writers go on; @embedded: the hub is part of the daemon."""

    def __init__(self, seed, io="auto", embedded=False, **more):
        super().__init__(io=io, **more)
        self.seed, self.r, self.embedded = seed, random.Random(seed), embedded
        self.what = f"seed {seed} {io}{' embedded' if embedded else ''}"
        self.sides, self.writers, self.sealed, self.more = {}, None, {}, []

    def __exit__(self, *why):
        if self.writers:
            self.writers.stop()
        return super().__exit__(*why)

    @property
    def url(self):
        if self.embedded:
            return self.status()["hub_url"]
        return super().url

    def begin(self, *more, writers=True):
        """@more: options of every watch to come."""
        self.more = more
        if not self.embedded:
            self.start_side("hub")
        self.start_side("daemon")
        if writers:
            self.writers = Writers(self.tree, self.seed)

    def start_side(self, side, wait=True):
        """Not @wait: it may die before it is ready."""
        if side == "hub":
            self.sides[side] = self.hub()
        else:
            to = [] if self.embedded else ["--to", self.url]
            # Much goes while nobody watches: to hold that is another test's.
            self.sides[side] = self.start(["watch", self.tree, *to, "--state", self.state, "--io", self.io,
                                           "--max-delete", "1000000", *self.more], "ready" if wait else None)

    def up(self):
        """Until the daemon answers: it may have been started without a wait."""
        daemon = self.sides["daemon"]

        def answers():
            check(daemon.p.poll() is None, f"{self.what}: the daemon is gone ({daemon.p.returncode})")
            return self.run("status", self.tree, "--state", self.state, "--json", code=None).returncode == 0
        wait_for(answers, f"{self.what}: the daemon answers", 60)

    def kill_side(self, side):
        check(self.sides[side].p.poll() is None, f"{self.what}: the {side} has ended by itself")
        self.sides[side].kill()

    def sealing(self):
        """Begin a flush of a file that nobody writes afterwards."""
        name = f"sealed-{len(self.sealed)}"
        text = self.r.randbytes(20).hex()
        put(f"{self.tree}/{name}", text.encode())
        return name, text, subprocess.Popen([SPATE, "flush", self.tree, "--state", self.state, "--json", "--timeout", "60"],
                                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def sealed_by(self, sealing):
        """What the flush acknowledged is kept in mind, whoever was killed meanwhile."""
        name, text, flush = sealing
        out = flush.communicate()[0]
        if flush.returncode == 0 and json.loads(out)["durable"]:
            self.sealed[name] = text
        return name in self.sealed

    def missing(self):
        """What was acknowledged and is not there."""
        out = self.pull()
        return [name for name, text in self.sealed.items()
                if not os.path.isfile(f"{out}/{name}") or open(f"{out}/{name}").read() != text]

    def compared(self, what):
        """Writers pause; flush, pull, compare; the log has no gaps, and nobody was in conflict with himself."""
        what = f"{self.what}: {what}"
        self.writers.pause()
        self.up()
        try:
            self.exact(what)
            status = self.status()
            check(status["counters"]["conflicts"] == 0, f"{what}: false conflicts: {status['conflicts'][:5]}")
            check_log(self)
        except Failed as e:
            raise Failed(f"{what}: {e}") from e
        self.writers.go_on()


def one_kill(w, side):
    """At a random moment, sometimes while somebody waits for a flush, or has just been told; sometimes it has not come
    up by the next one."""
    time.sleep(w.r.choice([w.r.random() * .1, w.r.random() * .6]))
    sealing = None
    if w.r.random() < .5:
        w.up()
        sealing = w.sealing()
        if w.r.random() < .5:
            w.sealed_by(sealing)
            sealing = None
        else:
            time.sleep(w.r.random() * .1)
    w.kill_side(side)
    w.start_side(side, wait=side == "hub" or w.r.random() < .6)
    if sealing:
        w.sealed_by(sealing)


def kills(seed, side, count, io, embedded=False, every=5):
    """@count kills of one side in one storm, compared after each @every. Return: how many flushes were acknowledged."""
    with Fire(seed, io, embedded) as w:
        w.begin()
        for i in range(count):
            one_kill(w, side)
            if i % every == every - 1 or i == count - 1:
                w.compared(f"after kill {i + 1} of the {side}")
        gone = w.missing()
        check(not gone, f"{w.what}: acknowledged and missing: {gone}")
        return len(w.sealed)


if __name__ == "__main__":
    write_on(sys.argv[1], sys.argv[2], random.Random(int(sys.argv[3])))
