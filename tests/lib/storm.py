# SPDX-License-Identifier: MIT
"""storm.py - writers in processes of their own that go on while a test does what it does."""
import subprocess, sys

# Creates, rewrites, renames and removes below ROOT, under the names that the mutations use, too.
STORM = r"""
import os, random, shutil, sys, time
root, r = sys.argv[1], random.Random(int(sys.argv[2]))
print("up", flush=True)
names = ["a", "b", "c", "p", "q", "x", "y", "moved", "node_modules"]
def place():
    return "/".join([root] + [r.choice(names) for _ in range(r.randrange(1, 4))])
while True:
    d, k = place(), r.random()
    f = f"{d}/{r.choice(['f0', 'f1', 'g', 'h', 'deep'])}"
    try:
        if k < .25:
            os.makedirs(d, exist_ok=True)
        elif k < .70:
            with open(f, "wb") as o: o.write(r.randbytes(r.randrange(6000)))
        elif k < .80:
            os.rename(f, f"{place()}/f0")
        elif k < .90:
            os.rename(d, place())
        elif k < .93:
            shutil.rmtree(d)
        elif k < .96:
            os.unlink(f)
        else:
            os.chmod(d, r.choice([0o755, 0o711]))
    except OSError:
        pass
    time.sleep(.0005)
"""

# Rewrites, touches and chmods what is in the directory named on its standard input; an empty line stops it.
# Who stores through a mapping dies when the file is cut below it: those are not cut.
HECKLER = r"""
import os, random, select, stat, sys, time
r, here = random.Random(int(sys.argv[1])), ""
print("up", flush=True)
def disturb(here):
    for d, _, names in os.walk(os.fsencode(here)):
        for name in names:
            try:
                fd = os.open(d + b"/" + name, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            except OSError:
                continue
            try:
                k = r.random()
                if not stat.S_ISREG(os.fstat(fd).st_mode) or os.fstat(fd).st_size > 1 << 20:
                    pass
                elif k < .5:
                    os.pwrite(fd, r.randbytes(r.randrange(1, 3000)), r.randrange(500))
                elif k < .7 and name != b"mapped":
                    os.ftruncate(fd, r.randrange(2000))
                elif k < .9:
                    os.utime(fd)
                else:
                    os.fchmod(fd, r.choice([0o600, 0o644]))
            except OSError:
                pass
            finally:
                os.close(fd)
            if select.select([sys.stdin], [], [], .0005)[0]:
                return
while True:
    if not here or select.select([sys.stdin], [], [], 0)[0]:
        line = sys.stdin.buffer.raw.readline()
        if not line:
            sys.exit()
        here = line.decode().rstrip("\n")
        print("ok", flush=True)
        continue
    disturb(here)
    time.sleep(.001)
"""


class Writer:
    def __init__(self, code, *args):
        self.p = subprocess.Popen([sys.executable, "-c", code, *map(str, args)], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, text=True)
        self.p.stdout.readline()

    def tell(self, line):
        self.p.stdin.write(line + "\n")
        self.p.stdin.flush()
        self.p.stdout.readline()

    def stop(self):
        self.p.kill()
        self.p.wait()
        self.p.stdin.close()
        self.p.stdout.close()


def storm(root, seed):
    return Writer(STORM, root, seed)


def heckler(seed):
    """tell(DIRECTORY) where to write, tell("") to stop: nothing is written after it returned."""
    return Writer(HECKLER, seed)
