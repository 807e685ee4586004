# SPDX-License-Identifier: MIT
"""Each order of base/ring.c weakened.

ThreadSanitizer sees a byte that is read or written without an acquire and a release between. It does not see
that a store must be there before a load of another place is made, which loses wake-ups. A test that waits for one
to be lost waited in vain on a busy machine, so these are left to their twins in tests/model/ring.pml, the same
mistake on a machine that makes use of it.
"""
import os, re, signal, subprocess
from collections import namedtuple

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
Mutant = namedtuple("Mutant", "name by file old new", defaults=[""])
FIXED = ["setarch", "-R"] if not subprocess.run(["setarch", "-R", "true"], stderr=subprocess.DEVNULL).returncode else []


def run(command, seconds, env=None):
    """Return: (status, output); status None: cut off, with all that it had started."""
    p = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                         errors="replace", env={**os.environ, **(env or {})}, start_new_session=True)
    try:
        out = p.communicate(timeout=seconds)[0]
        return p.returncode, out
    except subprocess.TimeoutExpired:
        os.killpg(p.pid, signal.SIGKILL)
        return None, p.communicate()[0]


class Tsan:
    program, build = "tests/unit/test_ring", "build-tsan"
    options = ["-Dfault=true", "-Db_lundef=false", "-Db_sanitize=thread"]

    def find(self, program, mutant):
        for _ in range(10 if mutant else 1):  # the two threads have to meet at the place
            status, out = run([*FIXED, program], 120, {"TSAN_OPTIONS": "exitcode=99:halt_on_error=1"})
            if "data race" in out:
                return "ThreadSanitizer: " + (re.findall(r"(\w+ of size \d+) at", out) or ["?"])[0] + " races"
            if status != 0 and not mutant:
                return f"status {status}: {out[-500:]}"
        return None


class Model:
    program = None

    def __init__(self, mistake):
        self.mistake = mistake

    def find(self, program, mutant):
        status, out = run([f"{TOP}/tests/e2e/test_models.py", f"ring {self.mistake}"], 120, {"SPATE_SLOW": ""})
        found = re.search(r"^\[PASS\] .*", out, re.M)
        return f"spin, as {self.mistake}" if status == 0 and found else None


TWINS = ["M_PUBLISH_NO_FENCE", "M_PRODUCER_SLEEP_NO_FENCE", "M_CONSUME_NO_FENCE", "M_CONSUMER_SLEEP_NO_FENCE"]
FINDERS = {"tsan": Tsan(), **{m: Model(m) for m in TWINS}}


def weaker(name, by, old, order, at="memory_order_seq_cst"):
    assert old.count(at) == 1, name
    return Mutant(name, by, "base/ring.c", old, old.replace(at, order))


PUBLISH = "atomic_store_explicit(&r->head, head + n, memory_order_seq_cst);"
SLEEPS = "if (atomic_load_explicit(&r->consumer_sleeps, memory_order_seq_cst) &&"
NEEDS = "atomic_store_explicit(&r->producer_needs, need, memory_order_seq_cst);"
ROOM = "r->seen_tail = atomic_load_explicit(&r->tail, memory_order_acquire);"
ROOM_AGAIN = "r->seen_tail = atomic_load_explicit(&r->tail, memory_order_seq_cst);"
PEEK = "r->seen_head = atomic_load_explicit(&r->head, memory_order_acquire);"
PEEK_AGAIN = "r->seen_head = atomic_load_explicit(&r->head, memory_order_seq_cst);"
CONSUME = "atomic_store_explicit(&r->tail, tail, memory_order_seq_cst);"
NEED = "need = atomic_load_explicit(&r->producer_needs, memory_order_seq_cst);"
SLEEP = "atomic_store_explicit(&r->consumer_sleeps, true, memory_order_seq_cst);"

MUTANTS = [
    weaker("publish_relaxed", "tsan", PUBLISH, "memory_order_relaxed"),
    weaker("publish_release_only", "M_PUBLISH_NO_FENCE", PUBLISH, "memory_order_release"),
    weaker("publish_looks_relaxed", "M_PUBLISH_NO_FENCE", SLEEPS, "memory_order_relaxed"),
    weaker("room_relaxed", "tsan", ROOM, "memory_order_relaxed", "memory_order_acquire"),
    weaker("room_before_sleep_relaxed", "tsan", ROOM_AGAIN, "memory_order_relaxed"),
    weaker("producer_sleep_release_only", "M_PRODUCER_SLEEP_NO_FENCE", NEEDS, "memory_order_release"),
    weaker("peek_relaxed", "tsan", PEEK, "memory_order_relaxed", "memory_order_acquire"),
    weaker("peek_before_sleep_relaxed", "tsan", PEEK_AGAIN, "memory_order_relaxed"),
    weaker("consume_relaxed", "tsan", CONSUME, "memory_order_relaxed"),
    weaker("consume_release_only", "M_CONSUME_NO_FENCE", CONSUME, "memory_order_release"),
    weaker("consume_looks_relaxed", "M_CONSUME_NO_FENCE", NEED, "memory_order_relaxed"),
    weaker("consumer_sleep_release_only", "M_CONSUMER_SLEEP_NO_FENCE", SLEEP, "memory_order_release"),
]
