#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""U1-U8, C5, S2, H2: between daemon and hub stands a proxy that misbehaves in every way there is: each by itself, all
mixed, on both reader engines. When it stops, the copy is exact and nothing was applied twice.

usage: test_proxy.py [--seed N] [TEST]
"""
import os, random, shutil, sys, time
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from faulty import Faulty, injected, print_counts
from proxy import FAULTS, Proxy
from spate import World, check, check_log, compare, main, option, rounds, wait_for

SEED = int(option("--seed", random.randrange(1 << 32)))
SECONDS = rounds(2, 2, 15)
RATE = .5


def through(name, faults, io, rate=RATE, seconds=SECONDS):
    r = random.Random(f"{SEED} {name} {io}")
    with Faulty(io=io) as w:
        w.begin(r.randrange(1 << 30), "--batch-files", "20")
        w.stormy(faults, rate, seconds, r)
        what = f"{name} {io} (repeat with --seed {SEED})"
        _, counters = w.whole(what)
        check(sum(w.proxy.injected.values()), f"{what}: no request met a fault")
        check(w.watched.stop() == 0, f"{what}: drain")


def case(name, io):
    test_name = f"U8_{name}_with_{io}"
    future = pool.submit(through, name, [name], io) if wanted(test_name) else None

    def test():
        future.result()
    test.__name__ = test_name
    return test


def engines(i):
    """Faults do not know who reads: one each will do, another one with another seed."""
    both = ["uring", "threads"]
    return both if len(sys.argv) > 1 or os.environ.get("SPATE_LONG") else [both[(SEED + i) % 2]]


def wanted(name):
    return len(sys.argv) < 2 or name in sys.argv


def U8_all_faults_mixed_with_uring():
    for i in range(rounds(1, 1, 6)):
        through(f"all {i}", list(FAULTS), "uring", .3, 2 * SECONDS)


def U8_all_faults_mixed_with_threads():
    for i in range(rounds(1, 1, 6)):
        through(f"all {i}", list(FAULTS), "threads", .3, 2 * SECONDS)


def U1_the_reply_to_another_client_acknowledges_nothing():
    """It is well-formed, and names a newer version: only the name of the request tells."""
    with Faulty() as w:
        w.begin(SEED % 1000)
        w.flush()
        other = f"{w.dir}/other"
        os.makedirs(other)
        for i in range(36):
            with open(f"{other}/f{i}", "w") as f:
                f.write(f"another writer's {i}")
            w.run("push", other, "--to", w.behind[:-1] + "else", "--state", f"{other}.state")
            if i < 30:
                continue
            w.proxy.set(["swap"], 1)
            w.count_up()
            w.flush(code=None, timeout=1)
            w.proxy.calm()
            w.whole(f"round {i} (repeat with --seed {SEED})")


def fill(root, r, n):
    for i in range(n):
        os.makedirs(f"{root}/d{i % 13}/s{i % 7}", exist_ok=True)
        with open(f"{root}/d{i % 13}/s{i % 7}/f{i}", "wb") as f:
            f.write(r.randbytes(r.choice([0, 10, 3000, 70_000])))
    for i in range(3):
        with open(f"{root}/large{i}", "wb") as f:
            f.write(r.randbytes(2_500_000 + i))


def U8_push_through_the_proxy():
    """What a push did not get done the next one does; what it says is true."""
    r = random.Random(f"{SEED} push")
    for io in ("uring", "threads"):
        with World(io=io) as w:
            w.hub()
            proxy = Proxy(w.port, r.randrange(1 << 30))
            to = ["--to", f"http://127.0.0.1:{proxy.port}/w", "--state", w.state, "--io", io, "--batch-files", "20"]
            codes = []
            for i in range(rounds(2, 1, 10)):
                fill(w.tree, r, 150)
                proxy.set(FAULTS, .3)
                for _ in range(3):
                    codes.append(w.run("push", w.tree, *to, code=None).returncode)
                    if codes[-1] == 0:
                        out = w.pull()
                        check(not compare(w.tree, out), f"push said 0 and was not done (--seed {SEED})")
                        shutil.rmtree(out)
                proxy.calm()
                w.run("push", w.tree, *to)
                out = w.pull()
                check(not compare(w.tree, out), f"{compare(w.tree, out)[:5]} (--seed {SEED})")
                shutil.rmtree(out)
            check(set(codes) <= {0, 1, 5, 7}, f"exit codes: {codes} (--seed {SEED})")
            check_log(w)
            injected.update(proxy.injected)
            proxy.close()


def K4_pull_through_the_proxy():
    """A pull that was interrupted is finished by the next; one that says 0 is exact; no file is ever half."""
    r = random.Random(f"{SEED} pull")
    with World() as w:
        w.hub()
        fill(w.tree, r, 400)
        w.run("push", w.tree, "--to", w.url, "--state", w.state)
        sizes = {}
        for d, _, names in os.walk(w.tree):
            for name in names:
                sizes[os.path.relpath(f"{d}/{name}", w.tree)] = os.path.getsize(f"{d}/{name}")
        for i in range(rounds(3, 1, 20)):
            proxy = Proxy(w.port, r.randrange(1 << 30))
            out, codes = f"{w.dir}/out{i}", []
            for n in range(12):
                proxy.set(FAULTS, .25 if n < 6 else .05) if n < 11 else proxy.calm()
                codes.append(w.run("pull", f"http://127.0.0.1:{proxy.port}/w", out, "--state", f"{out}.state",
                                   code=None).returncode)
                for d, _, names in os.walk(out):
                    for name in names:
                        path = os.path.relpath(f"{d}/{name}", out)
                        check(os.path.getsize(f"{d}/{name}") == sizes.get(path), f"{path} is half (--seed {SEED})")
                if codes[-1] == 0:
                    break
            check(codes[-1] == 0, f"never done: {codes} (--seed {SEED})")
            check(not compare(w.tree, out), f"{codes}: {compare(w.tree, out)[:5]} (--seed {SEED})")
            injected.update(proxy.injected)
            proxy.close()


def U5_jobs_are_respected_and_one_that_is_stuck_stops_no_other():
    with Faulty() as w:
        w.begin(1, "--jobs", "3", "--batch-files", "1")
        w.proxy.set(["delay"], 1)
        for i in range(60):
            with open(f"{w.tree}/large{i % 4}", "wb") as f:
                f.write(os.urandom(4 << 20 if i % 4 == 0 else 100))
            w.count_up()
            time.sleep(.02)
        w.proxy.calm()
        w.whole("jobs")
        check(1 < w.proxy.in_flight_max <= 3, f"{w.proxy.in_flight_max} at once with --jobs 3")


def U3_413_halves_the_batch_until_it_fits():
    """A proxy with a limit of its own, in HTML as proxies do."""
    for limit in (200_000, 20_000):
        with Faulty() as w:
            w.begin(1)
            wait_for(lambda: w.flush()["durable"], "the beginning")
            w.proxy.limit = limit
            os.mkdir(f"{w.dir}/many")
            for i in range(300):
                with open(f"{w.dir}/many/f{i}", "wb") as f:
                    f.write(os.urandom(3000))
            os.rename(f"{w.dir}/many", f"{w.tree}/many")  # all at once, however slow they were written
            done = w.flush()
            check(done["durable"] and not done["skipped"], f"{limit}: {done}")
            check(w.proxy.injected["limit"] >= 1, f"{limit}: the limit was never met")
            w.whole(f"limit {limit}")
            check(not any(e["reason"] for e in w.flush()["unreadable"]), "a path was blamed")


def U3_batches_grow_again_when_the_limit_is_gone():
    def files(w, name):
        os.mkdir(f"{w.dir}/{name}")
        for i in range(300):
            with open(f"{w.dir}/{name}/f{i}", "wb") as f:
                f.write(os.urandom(3000))
        os.rename(f"{w.dir}/{name}", f"{w.tree}/{name}")
        check(w.flush()["durable"], name)

    with Faulty() as w:
        w.begin(1)
        w.proxy.limit = 200_000
        files(w, "few at once")
        w.proxy.limit = None
        for i in range(40):
            with open(f"{w.tree}/f{i}", "w") as f:
                f.write(str(i))
            check(w.flush()["durable"], f"save {i}")
        check(w.proxy.largest <= 200_000, f"{w.proxy.largest} bytes through a limit of 200,000")
        files(w, "many at once")
        check(w.proxy.largest > 600_000, f"at most {w.proxy.largest} bytes in a request")


def U3_a_new_token_is_read_when_the_old_one_is_refused():
    with World() as w:
        def hub():
            p = w.start(["serve", "--data", w.data, "--listen", f"127.0.0.1:{w.port}"], "ready")
            w.port = int(p.line.rsplit(":", 1)[1])
            return p
        p = hub()
        token = f"{w.data}/admin.token"
        w.watch("--token-file", token, "--create")
        w.flush()
        for i in range(3):
            p.stop()
            with open(token, "w") as f:
                f.write(f"{i}" * 64)
            p = hub()
            with open(f"{w.tree}/f{i}", "w") as f:
                f.write(str(i))
            check(w.flush()["durable"], f"token {i}")
        out = f"{w.dir}/out"
        w.run("pull", w.url, out, "--state", f"{out}.state", "--token-file", token)
        check(not compare(w.tree, out), f"{compare(w.tree, out)}")


if __name__ == "__main__":
    pool = ThreadPoolExecutor(5)
    print(f"--seed {SEED}")
    try:
        main([case(name, io) for i, name in enumerate(FAULTS) for io in engines(i)] +
             [U8_all_faults_mixed_with_uring, U8_all_faults_mixed_with_threads, U8_push_through_the_proxy,
              K4_pull_through_the_proxy,
              U1_the_reply_to_another_client_acknowledges_nothing,
              U5_jobs_are_respected_and_one_that_is_stuck_stops_no_other,
              U3_413_halves_the_batch_until_it_fits, U3_batches_grow_again_when_the_limit_is_gone,
              U3_a_new_token_is_read_when_the_old_one_is_refused])
    finally:
        print_counts()
