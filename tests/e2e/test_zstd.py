#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Bodies are compressed where the link is slower than that, and only there; what a hub inflates is bounded."""
import ctypes, http.client, json, os, struct, subprocess, sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from proxy import Link
from spate import World, check, check_log, compare, main

MIB = 1 << 20
zstd = ctypes.CDLL("libzstd.so.1")
zstd.ZSTD_compress.restype = zstd.ZSTD_compressBound.restype = ctypes.c_size_t
zstd.ZSTD_compressBound.argtypes = [ctypes.c_size_t]
zstd.ZSTD_compress.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int]


def compressed(data):
    out = ctypes.create_string_buffer(zstd.ZSTD_compressBound(len(data)))
    n = zstd.ZSTD_compress(out, len(out), data, len(data), 3)
    return out.raw[:n]


def fill(root, n):
    """@n files that become a fraction of what they are. Return: their bytes."""
    n_bytes = 0
    for i in range(n):
        if i % 50 == 0:
            os.mkdir(f"{root}/d{i // 50}")
        with open(f"{root}/d{i // 50}/f{i}", "w") as f:
            n_bytes += f.write("".join(f"{i} {k} some line of a log\n" for k in range(600))[:16384])
    return n_bytes


def push_over(w, link, n):
    """A push in commits of 256 KiB. Return: what the tree has, and what was on the wire, in bytes."""
    all_bytes = fill(w.tree, n)
    r = w.run("push", w.tree, "--to", f"http://127.0.0.1:{link.port}/w", "--state", w.state, "--batch-bytes", "256K",
              "--json")
    check(json.loads(r.stdout)["uploadedFiles"] == n, r.stdout)
    check(not compare(w.tree, w.pull()), "not exact")
    check_log(w)
    return all_bytes, link.sent


def on_a_slow_link_fewer_bytes_are_sent():
    with World() as w:
        w.hub()
        link = Link(w.port, 4 * MIB)
        all_bytes, wire = push_over(w, link, 600)
        print(f"  {all_bytes} bytes of files, {wire} on the wire")
        check(wire < all_bytes // 2, "not compressed")
        link.close()


def bytes_sent_are_those_on_the_wire():
    with World() as w:
        w.hub()
        link = Link(w.port, 4 * MIB)
        all_bytes = fill(w.tree, 600)
        w.start(["watch", w.tree, "--to", f"http://127.0.0.1:{link.port}/w", "--state", w.state, "--batch-bytes",
                 "256K"], "ready")
        w.flush()
        sent = w.status()["counters"]["bytes_sent"]
        check(sent < all_bytes // 2 and sent <= link.sent, f"{sent} counted, {link.sent} on the wire")
        link.close()


def on_loopback_nothing_is_compressed():
    with World() as w:
        w.hub()
        all_bytes = fill(w.tree, 2000)
        w.run("push", w.tree, "--to", w.url, "--state", w.state, "--batch-bytes", "1M")
        check(w.metric(r"spate_hub_request_bytes_total") >= all_bytes, "compressed on loopback")
        check(not compare(w.tree, w.pull()), "not exact")


def ask(w, body, coding="zstd", path="/v1/blobs/query", kind="query", twice=False):
    c = http.client.HTTPConnection("127.0.0.1", w.port, timeout=60)
    c.putrequest("POST", path)
    c.putheader("Content-Type", f"application/vnd.spate.{kind}")
    c.putheader("Content-Length", str(len(body)))
    for _ in range(2 if twice else 1):
        c.putheader("Content-Encoding", coding)
    c.endheaders()
    c.send(body)
    r = c.getresponse()
    reply = r.read()
    return r.status, reply, r.headers


def a_hub_reads_zstd_and_says_so():
    with World() as w:
        w.hub()
        status, reply, headers = ask(w, compressed(b"\x91\x00"))
        check(status == 200 and reply == b"\x91\x00", (status, reply))
        check(headers["Accept-Encoding"] == "zstd" and headers["Server-Timing"].startswith("hub;dur="), headers)


def a_hostile_body_is_refused():
    with World() as w:
        hub = w.hub()
        good = compressed(os.urandom(1000))
        unsaid = struct.pack("<IBB", 0xfd2fb528, 0, 0x48) + struct.pack("<I", 1 << 3 | 1)[:3]  # no length in its head
        huge = struct.pack("<IBQ", 0xfd2fb528, 0xe0, 1 << 62) + b"\x01\x00\x00"
        bomb = compressed(bytes(32 * MIB))
        for what, body, code in (
                ("no frame", b"x" * 1000, 400), ("nothing of one", b"\x28", 400), ("cut", good[:-1], 400),
                ("more behind it", good + b"x", 400), ("two", good + good, 400), ("damaged", good[:20] + b"\xff" * 20 + good[40:], 400),
                ("empty", compressed(b""), 400), ("of no length", unsaid, 400), ("said to be huge", huge, 413),
                ("a bomb", bomb, 413), ("over the route's limit", compressed(os.urandom(1 << 16) * 528), 413)):
            status, reply, _ = ask(w, body, path="/v1/blobs", kind="frames")
            check(status == code, f"{what}: {status} {reply[:200]}")
            check(json.loads(reply)["code"] in ("MALFORMED", "LIMIT", "HASH_MISMATCH"), reply)
        for coding, twice in ("gzip", False), ("zstd, zstd", False), ("zstd", True), ("", False):
            status, reply, _ = ask(w, good, coding=coding, twice=twice)
            check(status == 400 and json.loads(reply)["field"] == "Content-Encoding", (coding, status, reply))
        peak = [int(line.split()[1]) for line in open(f"/proc/{hub.pid}/status") if line.startswith("VmHWM")][0]
        check(peak < 200 << 10, f"{peak} KiB")
        check(ask(w, compressed(b"\x91\x00"))[0] == 200, "the hub goes on")


main([on_a_slow_link_fewer_bytes_are_sent, bytes_sent_are_those_on_the_wire, on_loopback_nothing_is_compressed,
      a_hub_reads_zstd_and_says_so, a_hostile_body_is_refused])
