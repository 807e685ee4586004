#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""mutants.py - the test of the tests: mistakes are built into the program, one by one, and must be found.

   tests/mutants.py SET [--build DIR] [--list] [--seconds N] [PART OF A NAME...]

A set (tests/mutants/SET.py) names the places and who must find them. The source is copied, never changed: the object
of each file that a mistake is made in is compiled by the build directory's own command, and they are linked before the
libraries that hold the right ones.
A text that is not there exactly once, or that does not compile, is a failure of its own: the code has moved on.
With --seconds they come in another order each time (SPATE_ORDER repeats it), none begins when the time is up, and
those that were left out are named.
"""
import argparse, importlib.util, json, os, random, re, shlex, signal, subprocess, sys, tempfile, time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Bad(Exception):
    """The mutant itself is at fault."""


def load(name):
    spec = importlib.util.spec_from_file_location(name, f"{TOP}/tests/mutants/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def ran(command, where, limit=600):
    """Return: (whether it succeeded, output, whether it was cut off)."""
    try:
        r = subprocess.run(command, cwd=where, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, errors="replace", timeout=limit)
        return r.returncode == 0, r.stdout, False
    except subprocess.TimeoutExpired as e:
        return False, (e.stdout or b"").decode(errors="replace"), True


def must(command, where):
    ok, out, _ = ran(command, where)
    if not ok:
        raise Bad(f"{shlex.join(command)[:200]}: {out[-1500:]}")
    return out


class Build:
    """A build directory in which a program is there."""

    def __init__(self, where, options, program):
        self.dir = os.path.join(TOP, where)
        self.program = program
        if not os.path.exists(f"{self.dir}/build.ninja"):
            must(["meson", "setup", self.dir, *options], TOP)
        must(["ninja", "-j2", "-C", self.dir, program], TOP)
        with open(f"{self.dir}/compile_commands.json") as f:
            self.compiles = {os.path.normpath(os.path.join(c["directory"], c["file"])): c["command"]
                             for c in json.load(f)}
        lines = must(["ninja", "-C", self.dir, "-t", "commands", program], TOP).splitlines()
        self.link = [line for line in lines if f"-o {program} " in line][-1]

    def compile(self, file, text, out):
        """@text instead of @file. Return: the object."""
        source = f"{out}/{file.replace(chr(47), chr(45))}"
        with open(source, "w") as f:
            f.write(text)
        words = shlex.split(self.compiles[f"{TOP}/{file}"])
        kept, skip = [], False
        for word in words:
            if skip or word in ("-MD", "-c") or word.endswith(f"/{os.path.basename(file)}"):
                skip = False
            elif word in ("-MQ", "-MF", "-o"):
                skip = True
            else:
                kept.append(word)
        must([*kept, "-w", "-Wno-error", "-c", source, "-o", f"{source}.o"], self.dir)
        return f"{source}.o"

    def linked(self, objects, out):
        """Return: the program with @objects, which hide the libraries' own."""
        made = f"{out}/{os.path.basename(self.program)}"
        words = shlex.split(self.link)
        at = words.index("-o")
        must([*words[:at], "-o", made, *objects, *words[at + 2:]], self.dir)
        return made


def edits(m):
    """Return: (file, old, new) of each place; some have one only."""
    return [(m.file, m.old, m.new), *getattr(m, "also", [])]


def mutated(m):
    """Return: file -> its text with the mistake."""
    texts = {}
    for file, old, new in edits(m):
        if file not in texts:
            with open(f"{TOP}/{file}") as f:
                texts[file] = f.read()
        if texts[file].count(old) != 1:
            raise Bad(f"does not apply: its text is {texts[file].count(old)} times in {file}")
        texts[file] = texts[file].replace(old, new)
    return texts


def seek(m, finder, builds):
    """Return: who found the mutant and how; None: nobody did."""
    texts = mutated(m)
    build = builds(finder)
    if not build:
        return finder.find(None, m)
    with tempfile.TemporaryDirectory(prefix="spate-mutant-") as out:
        objects = [build.compile(file, text, out) for file, text in texts.items()]
        return finder.find(build.linked(objects, out), m)


def judge(m, finder, builds):
    """Return: PASS or FAIL."""
    begin = time.monotonic()
    try:
        by = seek(m, finder, builds)
    except Bad as e:
        print(f"[FAIL] {m.name}: {e}", flush=True)
        return "FAIL"
    verdict = "PASS" if by else "FAIL"
    print(f"[{verdict}] {m.name}: {by or 'NOT CAUGHT'} ({time.monotonic() - begin:.1f} s)", flush=True)
    return verdict


def shuffled(mutants):
    order = os.environ.get("SPATE_ORDER") or str(random.randrange(1000000))
    print(f"SPATE_ORDER={order} repeats this order", flush=True)
    return random.Random(order).sample(mutants, len(mutants))


def main():
    arg = argparse.ArgumentParser(usage="tests/mutants.py SET [--build DIR] [--list] [--seconds N] [PART OF A NAME...]")
    arg.add_argument("set")
    arg.add_argument("--build", help="a build directory, instead of the set's own")
    arg.add_argument("--list", action="store_true")
    arg.add_argument("--seconds", type=float, help="as many as fit into them, in any order")
    arg.add_argument("names", nargs="*")
    opt = arg.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what a finder has started ends with it
    mutants = load(opt.set)
    some = [m for m in mutants.MUTANTS if not opt.names or any(n in m.name for n in opt.names)]
    if opt.list:
        for m in some:
            print(f"{m.name}: {', '.join(dict.fromkeys(file for file, _, _ in edits(m)))}")
        return 0
    known = {}

    def builds(finder):
        """The build of @finder, whose program finds nothing in what is right."""
        if not finder.program:
            return None
        if finder not in known:
            known[finder] = build = Build(opt.build or finder.build, finder.options, finder.program)
            wrong = finder.find(f"{build.dir}/{finder.program}", None)
            if wrong:
                raise SystemExit(f"{finder.program} fails as it is: {wrong}")
        return known[finder]

    begin, verdicts, left = time.monotonic(), [], list(some)
    if opt.seconds is not None:
        left = shuffled(left)
    while left and (opt.seconds is None or time.monotonic() - begin < opt.seconds):
        m = left.pop(0)
        verdicts.append(judge(m, mutants.FINDERS[m.by], builds))
    for m in left:
        print(f"[SKIP] {m.name}: no time left")
    caught, failed = verdicts.count("PASS"), verdicts.count("FAIL")
    print(f"count: {caught} mutants caught")
    print(f"{caught} passed, {failed} failed, {len(some) - caught - failed} skipped")
    return 0 if some and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
