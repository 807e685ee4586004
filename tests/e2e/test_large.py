#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""R4, R5: files that grow, large files, files with holes."""
import json, os, random, sys, time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from memory import Peak
from spate import SLOW, Skipped, World, check, main, wait_for

MIB = 1 << 20
ENGINES = ("uring", "threads")


def body_bytes(w):
    """Bytes of all request bodies the hub has received."""
    return w.metric("spate_hub_request_bytes_total")


def append(path, data):
    with open(path, "ab") as f:
        f.write(data)


def grow(w, path, cycles, n, seed):
    """Append n bytes and flush, so that each cycle takes one piece. Returns bytes sent a byte appended."""
    r = random.Random(seed)
    before = body_bytes(w)
    for _ in range(cycles):
        append(path, r.randbytes(n))
        w.flush()
    return (body_bytes(w) - before) / (cycles * n)


def R4_a_log_of_any_size_growing_sends_about_what_it_grew():
    for io in ENGINES:
        with World(io=io) as w:
            w.hub()
            log = f"{w.tree}/log"
            append(log, random.Random(1).randbytes(3 * MIB))
            w.watch()
            w.flush()
            # Of 1 KiB the heads of the request, the records and the hashes are a good quarter.
            small = grow(w, log, 60, 1 << 10, 2)
            large = grow(w, log, 30, 16 << 10, 3)
            check(small <= 1.35, f"{io}: {small:.3f} bytes sent a byte of 1 KiB appended")
            check(large <= 1.05, f"{io}: {large:.3f} bytes sent a byte of 16 KiB appended")
            print(f"  {io}: 3 MiB + 60 x 1 KiB: {small:.3f}; + 30 x 16 KiB: {large:.3f}")
            w.exact(io)


def R4_a_log_that_starts_empty_sends_about_what_it_grew():
    with World() as w:
        w.hub()
        w.watch()
        log = f"{w.tree}/log"
        ratio = grow(w, log, 320, 4 << 10, 4)
        check(ratio <= 1.2, f"{ratio:.3f} bytes sent a byte appended")
        print(f"  0 + 320 x 4 KiB: {ratio:.3f}")
        w.exact()


def C3_R4_a_log_written_all_the_time_is_followed():
    with World() as w:
        w.hub()
        w.watch()
        w.flush()
        log, r = f"{w.tree}/log", random.Random(5)
        append(log, r.randbytes(3 * MIB))
        w.flush()
        before, appended = body_bytes(w), 0
        end = time.monotonic() + 5
        while time.monotonic() < end:
            append(log, r.randbytes(1 << 10))
            appended += 1 << 10
            time.sleep(0.01)
        w.flush()
        ratio = (body_bytes(w) - before) / appended
        # At worst each KiB is a commit of its own.
        check(ratio <= 1.35, f"{ratio:.3f} bytes sent a byte appended")
        print(f"  3 MiB + 1 KiB each 10 ms: {ratio:.3f}")
        w.exact()


def R4_appending_to_a_large_file_sends_what_was_appended():
    with World() as w:
        w.hub()
        big, r = f"{w.tree}/big", random.Random(6)
        with open(big, "wb") as f:
            for _ in range(100):
                f.write(r.randbytes(MIB))
        w.watch()
        w.flush(timeout=120)
        before = body_bytes(w)
        append(big, r.randbytes(MIB))
        w.flush()
        sent = body_bytes(w) - before
        check(sent <= 1.02 * MIB, f"{sent} bytes sent for 1 MiB")
        before = body_bytes(w)
        with open(big, "r+b") as f:
            f.seek(50 * MIB + 17)
            f.write(b"changed")
        w.flush()
        sent = body_bytes(w) - before
        check(sent <= 1.5 * MIB, f"{sent} bytes sent for a change within one chunk")
        w.exact()


def rewrite(w, path, data):
    """At once: what is seen of a file while it is written would be sent, too."""
    new = f"{w.dir}/new"
    with open(new, "wb") as f:
        f.write(data)
    os.rename(new, path)


def R4_what_is_inserted_or_removed_is_sent_and_a_chunk_or_two_around_it():
    for io in ENGINES:
        with World(io=io) as w:
            w.hub()
            big, r = f"{w.tree}/big", random.Random(12)
            data = r.randbytes(64 * MIB)
            rewrite(w, big, data)
            w.watch()
            w.flush(timeout=120)
            whole = data
            for what, most, data in (("front", 6, r.randbytes(1000) + whole),
                                     ("middle", 6, whole[:30 * MIB] + r.randbytes(100_000) + whole[30 * MIB:]),
                                     ("removed", 6, whole[12345:40 * MIB] + whole[41 * MIB:]),
                                     ("moved", 10, whole[40 * MIB:] + whole[:40 * MIB])):
                before = body_bytes(w)
                rewrite(w, big, data)
                w.flush(timeout=120)
                sent = body_bytes(w) - before
                check(sent <= most * MIB, f"{io}, {what}: {sent} bytes sent")
                print(f"  {io}, {what}: {sent / MIB:.2f} of 64 MiB sent")
                w.exact(f"{io} {what}")


def R4_a_file_is_cut_as_if_it_had_come_at_once():
    with World() as w:
        w.hub()
        log, r = f"{w.tree}/log", random.Random(13)
        data = r.randbytes(12 * MIB)
        append(log, data[:100_000])
        w.watch()
        w.flush()
        for at in range(100_000, len(data), 900_000):
            append(log, data[at:at + 900_000])
            w.flush()
        with open(log, "r+b") as f:
            f.write(b"first" + data)
        joins = r'spate_hub_requests_total\{route="blobs_join",code="200"\}'
        append(log, b"last")
        w.flush()
        wait_for(lambda: w.metric(joins), "the joins")
        w.flush()
        other = f"{w.tree}.other"
        os.mkdir(other)
        rewrite(w, f"{other}/log", b"first" + data + b"last")
        before = body_bytes(w)
        w.run("push", other, "--to", w.url[:-1] + "other", "--state", f"{other}.state")
        sent = body_bytes(w) - before
        # The last piece goes into the body, unless it is large.
        check(sent < MIB, f"{sent} bytes sent to another workspace")
        w.exact()


def R4_pieces_are_merged_when_the_file_is_quiet():
    with World() as w:
        w.hub()
        log, small, r = f"{w.tree}/log", f"{w.tree}/small", random.Random(7)
        append(log, r.randbytes(2 * MIB))
        append(small, r.randbytes(100 << 10))
        w.watch()
        w.flush()
        for _ in range(20):
            append(log, r.randbytes(3000))
            append(small, r.randbytes(300))
            w.flush()
        before = body_bytes(w)
        wait_for(lambda: w.metric(r'spate_hub_requests_total\{route="blobs_join",code="200"') == 2, "the joins")
        w.flush()
        sent = body_bytes(w) - before
        check(sent < 6000, f"{sent} bytes sent to merge {20 * 3300}")
        w.exact()


def R5_a_sparse_file_is_pushed_in_a_moment_and_pulled_with_its_holes():
    for io in ENGINES:
        with World(io=io) as w:
            w.hub()
            name = f"{w.tree}/sparse"
            with open(name, "wb") as f:
                f.write(b"begin")
                f.truncate(4 << 30)
            append(name, b"end")
            # Zeros that were written are no hole, and no more to send.
            with open(f"{w.tree}/zeros", "wb") as f:
                f.write(bytes(5 * MIB))
            begin = time.monotonic()
            r = w.run("push", w.tree, "--to", w.url, "--state", w.state, "--io", io, "--json")
            took, sent = time.monotonic() - begin, body_bytes(w)
            check(json.loads(r.stdout)["uploadedFiles"] == 2, r.stdout)
            # The first chunk, the zero chunk (twice when both files are read at once), two lists.
            check(sent < 4 * MIB, f"{sent} bytes sent")
            print(f"  {io}: 4 GiB sparse: {took:.2f} s, {sent / MIB:.2f} MiB sent")
            received = w.metric("spate_hub_requests_total")
            out = w.pull()
            st = os.stat(f"{out}/sparse")
            check(st.st_size == (4 << 30) + 3 and st.st_blocks * 512 < 16 * MIB, st)
            check(os.stat(f"{out}/zeros").st_blocks * 512 < MIB, "zeros were written")
            with open(f"{out}/sparse", "rb") as f:
                check(f.read(6) == b"begin\0", "begin")
                f.seek(4 << 30)
                check(f.read() == b"end", "end")
            check(received, "the hub counts")


def R5_a_hole_that_is_written_to_is_sent():
    with World() as w:
        w.hub()
        name = f"{w.tree}/sparse"
        with open(name, "wb") as f:
            f.truncate(64 * MIB)
        w.watch()
        w.flush()
        with open(name, "r+b") as f:
            f.seek(33 * MIB + 5)
            f.write(b"data")
        w.exact("written")
        with open(name, "r+b") as f:
            os.posix_fallocate(f.fileno(), 10 * MIB, MIB)
            f.truncate(50 * MIB + 7)
        w.exact("cut")


def R4_a_transfer_that_was_cut_off_goes_on_with_the_missing_chunks():
    with World() as w:
        w.hub()
        size, r = 160 * MIB, random.Random(8)
        with open(f"{w.tree}/big", "wb") as f:
            for _ in range(size // MIB):
                f.write(r.randbytes(MIB))
        d = w.watch(word="")
        wait_for(lambda: body_bytes(w) > 60 * MIB, "a part of it")
        d.kill()
        time.sleep(0.5)
        before = body_bytes(w)
        check(before < 150 * MIB, f"it was over before it was cut off: {before}")
        w.watch()
        done = w.flush(timeout=120)
        check(done["durable"], done)
        rest = body_bytes(w) - before
        check(rest < size - before + 12 * MIB, f"{rest} bytes sent after {before} of {size}")
        print(f"  cut off after {before / MIB:.0f} of {size / MIB:.0f} MiB, then {rest / MIB:.0f} MiB sent")
        w.exact()


def R4_memory_does_not_depend_on_the_size_of_a_file():
    if SLOW != 1:
        raise Skipped("a sanitizer keeps what was freed")
    size = 300 * MIB
    with World() as w:
        hub = w.hub()
        d = w.watch()
        w.flush()
        peak, r = Peak(hub.pid, d.pid), random.Random(9)
        block = r.randbytes(MIB)
        with open(f"{w.tree}/big", "wb") as f:
            for i in range(size // MIB):
                f.write(i.to_bytes(8, "little") + block[8:])
        w.flush(timeout=600)
        append(f"{w.tree}/big", b"more")
        w.flush(timeout=600)
        grown = peak.grown()
        print(f"  {size / MIB:.0f} MiB: hub + {grown[0] / MIB:.1f}, daemon + {grown[1] / MIB:.1f} MiB")
        check(max(grown) < 64 * MIB, grown)
        w.exact()


def K3_a_log_that_another_writer_has_replaced_is_sent_whole():
    with World() as w:
        w.hub()
        log, r = f"{w.tree}/log", random.Random(10)
        append(log, r.randbytes(2 * MIB))
        w.watch()
        w.flush()
        append(log, r.randbytes(1000))
        w.flush()
        other = w.pull()
        with open(f"{other}/log", "wb") as f:
            f.write(b"something else")
        w.run("push", other, "--to", w.url, "--state", f"{other}.state")
        # Neither the delta's base nor the revision is what the hub has there now.
        append(log, r.randbytes(1000))
        w.exact()


def a_pulled_file_that_grows_is_not_sent_again():
    with World() as w:
        w.hub()
        append(f"{w.tree}/log", random.Random(11).randbytes(5 * MIB))
        w.run("push", w.tree, "--to", w.url, "--state", w.state)
        out = w.pull()
        append(f"{out}/log", b"more")
        before = body_bytes(w)
        w.run("push", out, "--to", w.url, "--state", f"{out}.state")
        sent = body_bytes(w) - before
        check(sent < 2000, f"{sent} bytes sent for 4")
        w.run("pull", w.url, w.tree, "--state", w.state)
        check(os.path.getsize(f"{w.tree}/log") == 5 * MIB + 4, "not brought forward")


main([R4_a_log_of_any_size_growing_sends_about_what_it_grew,
      R4_a_log_that_starts_empty_sends_about_what_it_grew,
      C3_R4_a_log_written_all_the_time_is_followed,
      R4_appending_to_a_large_file_sends_what_was_appended,
      R4_what_is_inserted_or_removed_is_sent_and_a_chunk_or_two_around_it,
      R4_a_file_is_cut_as_if_it_had_come_at_once,
      R4_pieces_are_merged_when_the_file_is_quiet,
      R5_a_sparse_file_is_pushed_in_a_moment_and_pulled_with_its_holes,
      R5_a_hole_that_is_written_to_is_sent,
      R4_a_transfer_that_was_cut_off_goes_on_with_the_missing_chunks,
      R4_memory_does_not_depend_on_the_size_of_a_file,
      K3_a_log_that_another_writer_has_replaced_is_sent_whole,
      a_pulled_file_that_grows_is_not_sent_again])
