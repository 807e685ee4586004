#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""test_hub.py - the hub as a stranger sees it: `spate serve` and plain HTTP.

usage: test_hub.py SPATE [unittest arguments]
"""
import atexit
import concurrent.futures
import hashlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse

SPATE = None
WRITER = bytes(range(16))


# --- MessagePack and the bulk body, written from docs/PROTOCOL.md --------------------------

def pack(v):
    if v is None:
        return b"\xc0"
    if isinstance(v, bool):
        return b"\xc3" if v else b"\xc2"
    if isinstance(v, int):
        return b"\xd3" + struct.pack(">q", v) if v < 0 else b"\xcf" + struct.pack(">Q", v)
    if isinstance(v, bytes):
        return b"\xc5" + struct.pack(">H", len(v)) + v
    return b"\xdc" + struct.pack(">H", len(v)) + b"".join(pack(x) for x in v)


def unpack_all(data):
    at, out = 0, []

    def one():
        nonlocal at
        c = data[at]
        at += 1
        if c < 0x80:
            return c
        if 0x90 <= c <= 0x9f:
            return [one() for _ in range(c & 15)]
        if c in (0xc0, 0xc2, 0xc3):
            return {0xc0: None, 0xc2: False, 0xc3: True}[c]
        if c >= 0xe0:
            return c - 256
        fmt = {0xcc: ">B", 0xcd: ">H", 0xce: ">I", 0xcf: ">Q", 0xd0: ">b", 0xd1: ">h",
               0xd2: ">i", 0xd3: ">q", 0xc4: ">B", 0xc5: ">H", 0xdc: ">H"}[c]
        (n,) = struct.unpack_from(fmt, data, at)
        at += struct.calcsize(fmt)
        if c in (0xc4, 0xc5):
            at += n
            return data[at - n:at]
        return [one() for _ in range(n)] if c == 0xdc else n

    while at < len(data):
        out.append(one())
    return out


def sha(data):
    return hashlib.sha256(data).digest()


def frame(data, named=None):
    return struct.pack("<II", 0x314d5246, len(data)) + (named or sha(data)) + data


def items(chunks):
    return b"".join(sha(c) + struct.pack("<I", len(c)) for c in chunks)


def listing(chunks):
    return b"spate-list-1\n" + items(chunks)


def delta(base, keep, chunks):
    return b"spate-ldlt-1\n" + base + struct.pack("<I", keep) + items(chunks)


def join(*joins):
    """Each is the chunk that comes of it, or its hash, and its parts or their hashes."""
    def name(x):
        return x if len(x) == 32 else sha(x)
    return pack([len(joins)]) + b"".join(
        pack([name(whole), len(parts)]) + b"".join(pack([name(p)]) for p in parts)
        for whole, parts in joins)


def read_text(path):
    with open(path) as f:
        return f.read()


class Bulk:
    def __init__(self, seq, base=None, flags=2, epoch=1, writer=WRITER):
        self.head = [writer, epoch, seq, base, flags]
        self.changes, self.frames = [], b""

    def put(self, path, data, expect=None, size=None, form=1, hash=None, inline=True):
        at = len(self.frames) if inline else None
        if inline:
            self.frames += frame(data, hash)
        self.changes.append([1, path, expect, 0o644, 1, len(data) if size is None else size,
                             form, hash or sha(data), at, 0])
        return self

    def put_list(self, path, chunks, delta=None, size=None, hash=None):
        """The file of @chunks, as a list, or as @delta from another list."""
        data = delta or listing(chunks)
        at = len(self.frames)
        self.frames += frame(data)
        self.changes.append([1, path, None, 0o644, 1, sum(map(len, chunks)) if size is None else size,
                             2, hash or sha(listing(chunks)), at, 0])
        return self

    def chunks(self, chunks):
        self.frames += b"".join(map(frame, chunks))
        return self

    def mkdir(self, path):
        self.changes.append([2, path, None, 0o755, 1])
        return self

    def delete(self, path):
        self.changes.append([4, path, None])
        return self

    def move(self, path, to, expect=None):
        self.changes.append([5, path, expect, to])
        return self

    def bytes(self):
        meta = pack(self.head + [len(self.changes)]) + b"".join(map(pack, self.changes))
        return struct.pack("<IIIIQ", 0x4b4c4253, 1, 0, len(meta), len(self.frames)) + \
            meta + self.frames


class Hub:
    def __init__(self, data=None, args=(), env=None):
        self.tmp = None if data else tempfile.mkdtemp()
        if self.tmp:
            atexit.register(shutil.rmtree, self.tmp, ignore_errors=True)
        self.data = data or os.path.join(self.tmp, "hub")
        self.proc = subprocess.Popen(
            [SPATE, "serve", "--data", self.data, "--listen", "127.0.0.1:0", *args],
            stdout=subprocess.PIPE, text=True, env={**os.environ, **(env or {})})
        atexit.register(self.end)
        line = self.proc.stdout.readline()
        found = re.fullmatch(r"ready http://127\.0\.0\.1:(\d+)\n", line)
        assert found, f"not a ready line: {line!r}"
        self.port = int(found[1])
        token = os.path.join(self.data, "admin.token")
        self.token = read_text(token).strip() if os.path.exists(token) else ""

    def ask(self, method, path, body=None, headers=None, token=True):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        h = {"Spate-Protocol": "1", **(headers or {})}
        if token:
            h["Authorization"] = "Bearer " + self.token
        try:
            c.request(method, path, body=body, headers=h)
            r = c.getresponse()
            return r.status, r.headers, r.read()
        finally:
            c.close()

    def commit(self, bulk, ws="w"):
        return self.ask("POST", f"/v1/workspaces/{ws}/bulk", bulk.bytes())

    def raw(self, data):
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as s:
            s.sendall(data)
            out = b""
            while chunk := s.recv(65536):
                out += chunk
        head, _, body = out.partition(b"\r\n\r\n")
        return int(head.split()[1]), body

    def end(self):
        """Of a test that failed half-way."""
        if self.proc.poll() is None:
            self.proc.kill()
            self.proc.wait()

    def stop(self):
        self.proc.send_signal(signal.SIGTERM)
        code = self.proc.wait(30)
        self.proc.stdout.close()
        return code


class HubTest(unittest.TestCase):
    def setUp(self):
        self.hub = Hub()
        self.addCleanup(self.end)

    def end(self):
        if self.hub.proc.poll() is None:
            self.assertEqual(self.hub.stop(), 0)

    def refused(self, reply, status, code, field=None):
        self.assertEqual(reply[0], status, reply[-1])
        error = json.loads(reply[-1])
        self.assertEqual(error["code"], code, error)
        self.assertTrue(error["message"])
        if field:
            self.assertEqual(error["field"], field, error)
        return error

    def applied(self, reply):
        self.assertEqual(reply[0], 200, reply[2])
        return unpack_all(reply[2])


class Epochs(HubTest):
    def ask(self, query):
        return self.hub.ask("POST", f"/v1/workspaces/w/epoch?{query}", b"")

    def given(self, had=""):
        r = self.ask(f"writer={WRITER.hex()}" + (f"&epoch={had}" if had else ""))
        self.assertEqual(r[0], 200, r[2])
        return json.loads(r[2])

    def test_an_epoch_is_given_and_kept_and_replaced(self):
        self.refused(self.ask(f"writer={WRITER.hex()}"), 404, "WORKSPACE_NOT_FOUND")
        self.applied(self.hub.commit(Bulk(1).put(b"a", b"1")))
        state = json.loads(self.hub.ask("GET", "/v1/workspaces/w")[2])
        first = self.given()
        self.assertRegex(first.pop("epoch"), "^e90c[0-9a-f]{12}$")
        self.assertEqual(first, state)
        epoch = self.given()["epoch"]
        self.assertEqual(self.given(epoch)["epoch"], epoch)
        self.refused(self.hub.commit(Bulk(2).put(b"a", b"late")), 409, "STALE_EPOCH", "header.epoch")
        self.assertEqual(self.applied(self.hub.commit(Bulk(1, epoch=int(epoch, 16)).put(b"a", b"2"))), [[2, 0]])
        self.assertNotEqual(self.given()["epoch"], epoch)
        self.refused(self.hub.commit(Bulk(2, epoch=int(epoch, 16)).put(b"a", b"3")), 409, "STALE_EPOCH")

    def test_what_is_no_writer_and_no_epoch_is_named(self):
        self.applied(self.hub.commit(Bulk(1).put(b"a", b"1")))
        for query, field in [("", "writer"), ("writer=", "writer"), ("writer=00", "writer"),
                             (f"writer={'g' * 32}", "writer"), (f"writer={'0' * 34}", "writer"),
                             (f"writer={WRITER.hex()}&epoch=1", "epoch"),
                             (f"writer={WRITER.hex()}&epoch={'x' * 16}", "epoch"),
                             (f"writer={WRITER.hex()}&epoch={'0' * 18}", "epoch")]:
            self.refused(self.ask(query), 400, "BAD_REQUEST", field)
        self.refused(self.hub.ask("GET", f"/v1/workspaces/w/epoch?writer={WRITER.hex()}"), 405, "METHOD_NOT_ALLOWED")


class Commits(HubTest):
    def test_a_commit_comes_back_exactly(self):
        big = os.urandom(300_000)
        b = Bulk(1).mkdir(b"d").put(b"d/f", b"hello").put(b"d/\xff\n", big).put(b"e", b"")
        self.assertEqual(self.applied(self.hub.commit(b)), [[1, 0]])
        rows = self.applied(self.hub.ask("GET", "/v1/workspaces/w/manifest"))
        self.assertEqual(rows[0], [1])
        self.assertEqual(rows[-1], [False])
        self.assertEqual([e[1] for e in rows[1:-1]], [b"d", b"d/f", b"d/\xff\n", b"e"])
        wanted = pack([1, 3]) + b"".join(pack([e[8], e[1].split(b"/")[-1]])
                                         for e in rows[1:-1] if e[0] == 1)
        got = self.hub.ask("POST", "/v1/workspaces/w/fetch", wanted)
        self.assertEqual(got[2], frame(b"hello") + frame(big) + frame(b""))
        path = "/v1/workspaces/w/file?path=d%2F%FF%0A"
        self.assertEqual(self.hub.ask("GET", path)[2], big)
        part = self.hub.ask("GET", path, headers={"Range": "bytes=100-299"})
        self.assertEqual((part[0], part[2]), (206, big[100:300]))
        self.assertEqual(part[1]["Content-Range"], "bytes 100-299/300000")
        self.refused(self.hub.ask("GET", path, headers={"Range": "bytes=300000-"}), 416,
                     "BAD_RANGE")
        self.assertEqual(self.hub.ask("GET", "/v1/blobs/" + sha(big).hex())[2], big)
        self.assertEqual(self.hub.ask("GET", "/v1/workspaces/w/file?path=e")[2], b"")

    def test_large_files_are_lists_of_chunks_sent_ahead(self):
        chunks = [os.urandom(1 << 20), os.urandom(1 << 20), os.urandom(12345)]
        data = b"".join(chunks)
        listing = b"spate-list-1\n" + b"".join(sha(c) + struct.pack("<I", len(c))
                                               for c in chunks)
        sent = b"".join(map(frame, chunks))
        r = self.hub.ask("POST", "/v1/blobs", sent)
        self.assertEqual(json.loads(r[2]), {"stored": 3, "existing": 0})
        r = self.hub.ask("POST", "/v1/blobs", sent)
        self.assertEqual(json.loads(r[2]), {"stored": 0, "existing": 3})
        self.applied(self.hub.commit(Bulk(1).put(b"f", listing, size=len(data), form=2)))
        self.assertEqual(self.hub.ask("GET", "/v1/workspaces/w/file?path=f")[2], data)
        for a, b in ((1 << 20, (1 << 20) + 9), (1048570, 2097160), (2097152, 2109496)):
            r = self.hub.ask("GET", "/v1/workspaces/w/file?path=f",
                             headers={"Range": f"bytes={a}-{b}"})
            self.assertEqual(r[2], data[a:b + 1])

    def test_H2_a_repeated_commit_has_the_first_answer_and_another_body_is_refused(self):
        first = self.hub.commit(Bulk(1).put(b"a", b"1"))
        again = self.hub.commit(Bulk(1).put(b"a", b"1"))
        self.assertEqual(first[2], again[2])
        self.refused(self.hub.commit(Bulk(1).put(b"a", b"2")), 422, "COMMIT_ID_REUSED")
        self.assertEqual(json.loads(self.hub.ask("GET", "/v1/workspaces/w")[2])["version"], 1)

    def test_H1_of_commits_on_one_base_exactly_one_wins(self):
        self.applied(self.hub.commit(Bulk(1).put(b"a", b"0")))

        def one(i):
            return self.hub.commit(Bulk(1, base=1, flags=1, writer=bytes([i] * 16))
                                   .put(b"a", b"%d" % i))
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            replies = list(pool.map(one, range(1, 17)))
        self.assertEqual([r[0] for r in replies].count(200), 1)
        for r in replies:
            if r[0] != 200:
                e = self.refused(r, 409, "CONCURRENT_MODIFICATION")
                self.assertEqual((e["expected"], e["actual"]), (1, 2))

    def test_an_atomic_commit_with_a_refusal_changes_nothing(self):
        self.applied(self.hub.commit(Bulk(1).put(b"a", b"0")))
        e = self.refused(self.hub.commit(Bulk(1, flags=1, writer=b"x" * 16).put(b"b", b"1")
                                         .put(b"a", b"1", expect=0)), 409, "REJECTED")
        self.assertEqual(e["rejected"],
                         [{"index": 1, "code": "conflict", "rev": 1, "type": 1}])
        self.assertEqual(self.hub.ask("GET", "/v1/workspaces/w/file?path=b")[0], 404)

    def test_an_unknown_workspace_is_named_with_its_neighbours(self):
        for name in ("alpha", "alphb", "omega"):
            self.applied(self.hub.commit(Bulk(1).put(b"a", b"0"), name))
        for r in (self.hub.ask("GET", "/v1/workspaces/alpah"),
                  self.hub.commit(Bulk(2, flags=0).put(b"a", b"1"), "alpah")):
            e = self.refused(r, 404, "WORKSPACE_NOT_FOUND", "workspace")
            self.assertEqual(sorted(e["closest"]), ["alpha", "alphb"])

    def test_H9_the_manifest_hash_does_not_depend_on_the_order_of_pushes(self):
        self.applied(self.hub.commit(Bulk(1).put(b"a", b"1").put(b"b", b"2"), "one"))
        self.applied(self.hub.commit(Bulk(1).put(b"b", b"2"), "two"))
        self.applied(self.hub.commit(Bulk(2).put(b"a", b"1"), "two"))
        hashes = [json.loads(self.hub.ask("GET", f"/v1/workspaces/{w}/manifest-hash")[2])
                  for w in ("one", "two")]
        self.assertEqual(hashes[0]["hash"], hashes[1]["hash"])
        old = json.loads(self.hub.ask("GET", "/v1/workspaces/two/manifest-hash?at=1")[2])
        self.assertNotEqual(old["hash"], hashes[1]["hash"])

    def test_pages_and_log(self):
        b = Bulk(1)
        for i in range(2500):
            b.put(b"f%04d" % i, b"%d" % i)
        self.applied(self.hub.commit(b))
        names, after = [], ""
        while True:
            rows = self.applied(self.hub.ask(
                "GET", f"/v1/workspaces/w/manifest?at=1&limit=1000{after}"))
            names += [e[1] for e in rows[1:-1]]
            if not rows[-1][0]:
                break
            after = "&after=" + names[-1].decode()
        self.assertEqual(names, [b"f%04d" % i for i in range(2500)])
        self.applied(self.hub.commit(Bulk(2).delete(b"f0000")))
        log = json.loads(self.hub.ask("GET", "/v1/workspaces/w/log?limit=1")[2])
        self.assertEqual([v["version"] for v in log["versions"]], [2])
        self.assertTrue(log["more"])
        log = json.loads(self.hub.ask("GET", "/v1/workspaces/w/log?before=2")[2])
        self.assertEqual([v["puts"] for v in log["versions"]], [2500])
        self.refused(self.hub.ask("GET", "/v1/workspaces/w/manifest?at=9"), 404,
                     "VERSION_NOT_FOUND", "at")

    def manifest(self, at):
        rows = self.applied(self.hub.ask("GET", f"/v1/workspaces/w/manifest?at={at}"))
        return [(e[1], e[7]) for e in rows[1:-1]]

    def test_directories_are_moved_and_old_versions_stay_as_they_were(self):
        b = Bulk(1).mkdir(b"a").mkdir(b"a/x").put(b"a/f", b"one").put(b"a/x/g", b"two")
        self.applied(self.hub.commit(b.mkdir(b"b").put(b"b/h", b"three")))
        before = self.manifest(1)
        b = Bulk(2, flags=0).mkdir(b"n").move(b"a", b"n/a", 1).move(b"a/x", b"b", 1)
        b.move(b"b", b"a", 1).delete(b"a/f").put(b"n/a/new", b"four")
        self.assertEqual(self.applied(self.hub.commit(b)),
                         [[2, 3], [1, 0, 1, 2], [2, 0, 1, 2], [3, 0, 1, 2]])
        self.assertEqual(self.manifest(2), [(b"a", 1), (b"a/h", 1), (b"b", 1), (b"b/g", 1),
                                            (b"n", 2), (b"n/a", 1), (b"n/a/new", 2)])
        self.assertEqual(self.manifest(1), before)
        for path, at, want in ((b"a/x/g", 1, b"two"), (b"b/g", 2, b"two"), (b"a/h", 2, b"three")):
            url = f"/v1/workspaces/w/file?path={urllib.parse.quote(path)}&at={at}"
            self.assertEqual(self.hub.ask("GET", url)[2], want)
        log = json.loads(self.hub.ask("GET", "/v1/workspaces/w/log")[2])["versions"]
        self.assertEqual([(v["puts"], v["deletes"], v["moves"]) for v in log],
                         [(2, 1, 3), (6, 0, 0)])
        out = subprocess.run([SPATE, "log", f"http://127.0.0.1:{self.hub.port}/w"], text=True,
                             env={**os.environ, "SPATE_TOKEN": self.hub.token},
                             stdout=subprocess.PIPE, check=True).stdout
        self.assertIn("2 put, 3 moved, 1 deleted", out)

    def test_moves_are_refused_one_by_one_and_atomic_commits_whole(self):
        self.applied(self.hub.commit(Bulk(1).mkdir(b"a").mkdir(b"b").put(b"f", b"x")))
        theirs = Bulk(1, writer=bytes(16)).put(b"a/new", b"theirs")
        self.applied(self.hub.commit(theirs))

        def b(seq, flags):
            return Bulk(seq, flags=flags).move(b"a", b"A", 1).move(b"b", b"f", 9) \
                .move(b"gone", b"g").put(b"ok", b"1").put(b"A/in", b"1")
        e = self.refused(self.hub.commit(b(2, 1)), 409, "REJECTED")
        self.assertEqual([(r["index"], r["code"], r["rev"], r["type"]) for r in e["rejected"]],
                         [(0, "conflict", 1, 2), (1, "not_empty", 1, 1), (2, "conflict", 0, 0),
                          (4, "no_parent", 0, 0)])
        self.assertEqual(self.applied(self.hub.commit(b(3, 0))),
                         [[3, 4], [0, 1, 1, 2], [1, 3, 1, 1], [2, 1, 0, 0], [4, 2, 0, 0]])
        self.assertEqual([e[0] for e in self.manifest(3)], [b"a", b"a/new", b"b", b"f", b"ok"])

    def test_many_bodies_at_once_stay_within_memory(self):
        def one(i):
            b = Bulk(1, writer=bytes([i] * 16))
            for k in range(8):
                b.put(b"f%d-%d" % (i, k), os.urandom(1 << 20))
            return self.hub.commit(b)[0]
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            codes = list(pool.map(one, range(1, 41)))
        self.assertIn(200, codes)
        self.assertLessEqual(set(codes), {200, 503})
        status = read_text(f"/proc/{self.hub.proc.pid}/status")
        peak = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])
        print(f"    40 bodies of 8 MiB, 12 at once: {codes.count(200)} applied, "
              f"peak {peak // 1024} MiB")
        maps = read_text(f"/proc/{self.hub.proc.pid}/maps")
        if "libasan" not in maps and "libtsan" not in maps:
            self.assertLess(peak, 128 * 1024)


class Tails(HubTest):
    """Files that grow: lists of any size, said as what is new, and fragments joined."""

    def file(self, path, at=None):
        r = self.hub.ask("GET", f"/v1/workspaces/w/file?path={path}" + (f"&at={at}" if at else ""))
        self.assertEqual(r[0], 200, r[2])
        return r[2]

    def join(self, *joins):
        return self.hub.ask("POST", "/v1/blobs/join", join(*joins))

    def query(self, *hashes):
        return self.hub.ask("POST", "/v1/blobs/query",
                            pack([len(hashes)]) + b"".join(pack([h]) for h in hashes))

    def peak_mib(self):
        return int(re.search(r"VmHWM:\s+(\d+) kB",
                             read_text(f"/proc/{self.hub.proc.pid}/status"))[1]) // 1024

    def test_a_file_that_grows_and_is_cut_is_said_in_terms_of_its_last_list(self):
        chunks = [b"first line\n"]
        self.applied(self.hub.commit(Bulk(1).put_list(b"log", chunks).chunks(chunks)))
        wanted = {1: chunks}
        for seq in range(2, 60):
            base = sha(listing(chunks))
            if seq % 10:
                keep, new = len(chunks), [b"line %d\n" % seq * seq]
            else:
                keep, new = len(chunks) - 3, []
            chunks = chunks[:keep] + new
            b = Bulk(seq).put_list(b"log", chunks, delta(base, keep, new)).chunks(new)
            self.assertEqual(self.applied(self.hub.commit(b)), [[seq, 0]])
            wanted[seq] = chunks
        for version, chunks in wanted.items():
            self.assertEqual(self.file("log", version), b"".join(chunks), version)
        row = self.applied(self.hub.ask("GET", "/v1/workspaces/w/manifest"))[1]
        self.assertEqual((row[5], row[6]), (2, sha(listing(chunks))))
        item = self.hub.ask("POST", "/v1/workspaces/w/fetch", pack([59, 1]) + pack([row[8], b"log"]))
        self.assertEqual(item[2], frame(listing(chunks)))

    def test_large_lists_are_indexed_and_a_base_for_any_path(self):
        chunks = [b"%d" % i for i in range(3000)]
        whole = listing(chunks)
        self.assertGreater(len(whole), 64 << 10)
        self.applied(self.hub.commit(Bulk(1).put_list(b"a", chunks).chunks(chunks)))
        more = chunks + [b"more"]
        b = Bulk(2).put_list(b"b", more, delta(sha(whole), 3000, [b"more"])).chunks([b"more"])
        self.applied(self.hub.commit(b))
        self.assertEqual(self.file("b"), b"".join(more))
        even = more[:2990] + [b"other"]
        b = Bulk(3).put_list(b"c", even, delta(sha(listing(more)), 2990, [b"other"])).chunks([b"other"])
        self.applied(self.hub.commit(b))
        self.assertEqual(self.file("c"), b"".join(even))
        self.assertEqual(self.file("b"), b"".join(more))

    def test_a_base_the_hub_lacks_is_named_and_the_full_list_then_does(self):
        one, two = [b"a", b"b"], [b"a", b"b", b"c"]
        base = sha(listing(one))
        self.applied(self.hub.commit(Bulk(1).put_list(b"p", one).chunks(one)))
        for path, ws in ((b"q", "w"), (b"p/x", "w"), (b"p", "new")):
            b = Bulk(2).put(b"ok", b"x").put_list(path, two, delta(base, 2, [b"c"])).chunks(two)
            r = self.hub.commit(b, ws)
            if path == b"p/x":
                self.assertEqual(self.applied(r)[1:], [[0, 0, 2, 1], [1, 2, 0, 0]], "no lack")
                continue
            e = self.refused(r, 422, "MANIFEST_INVALID", "changes[1].hash")
            self.assertEqual(e["missing"], [{"index": 1, "hash": base.hex()}])
            self.applied(self.hub.commit(Bulk(1, epoch=3).put(b"ok", b"x").put_list(path, two)
                                         .chunks(two), ws))
        self.assertEqual(self.file("q"), b"abc")
        self.applied(self.hub.ask("POST", "/v1/blobs", frame(listing(one))) and
                     self.hub.commit(Bulk(1, epoch=4).put_list(b"r", two, delta(base, 2, [b"c"]))))
        self.assertEqual(self.file("r"), b"abc", "sent ahead it is indexed")

    def test_a_repeated_commit_has_the_first_answer_though_its_base_is_gone(self):
        one, two = [b"a"], [b"a", b"b"]
        self.applied(self.hub.commit(Bulk(1).put_list(b"p", one).chunks(one)))
        b = Bulk(2).put_list(b"p", two, delta(sha(listing(one)), 1, [b"b"])).chunks([b"b"])
        first = self.hub.commit(b)
        self.assertEqual(self.applied(first), [[2, 0]])
        self.assertEqual(self.hub.commit(b)[2], first[2])
        again = Bulk(3).put_list(b"p", two, delta(sha(listing(one)), 1, [b"b"])).chunks([b"b"])
        self.assertEqual(self.applied(self.hub.commit(again)), [[2, 1], [0, 0, 2, 1]],
                         "content that is there needs no base")
        other = Bulk(4).put_list(b"p", two, delta(sha(b"none"), 1, [b"b"])).put(b"n", b"n")
        self.assertEqual(self.applied(self.hub.commit(other)), [[3, 1], [0, 0, 2, 1]])
        self.refused(self.hub.commit(Bulk(4).put_list(b"p", two, delta(sha(b"no"), 1, [b"b"]))
                                     .put(b"n", b"n")), 422, "COMMIT_ID_REUSED")

    def test_the_chunks_of_a_delta_are_looked_for_like_those_of_a_list(self):
        one = [b"a", b"b"]
        base = sha(listing(one))
        self.applied(self.hub.commit(Bulk(1).put_list(b"p", one).chunks(one)))
        two = one + [b"never sent"]
        e = self.refused(self.hub.commit(Bulk(2).put_list(b"p", two, delta(base, 2, two[2:]))), 422,
                         "MANIFEST_INVALID")
        self.assertEqual(e["missing"], [{"index": 0, "hash": sha(b"never sent").hex()}])
        two = one + [b"c"]
        self.refused(self.hub.commit(Bulk(2).put_list(b"p", two, delta(base, 2, two[2:]), size=9)
                                     .chunks(two)), 422, "MANIFEST_INVALID", "changes[0].hash")
        # A list sent ahead is any bytes: what it names was never looked for.
        liar = [b"nobody has this", b"a"]
        self.hub.ask("POST", "/v1/blobs", frame(listing(liar)))
        d = delta(sha(listing(liar)), 2, [b"b"])
        e = self.refused(self.hub.commit(Bulk(2).put_list(b"p", liar + [b"b"], d)), 422,
                         "MANIFEST_INVALID")
        self.assertEqual(e["missing"], [{"index": 0, "hash": sha(liar[0]).hex()}])
        self.assertEqual(self.file("p"), b"ab")

    def test_X4_deltas_that_lie(self):
        one = [b"a", b"b"]
        base = sha(listing(one))
        self.applied(self.hub.commit(Bulk(1).put_list(b"p", one).chunks(one).put(b"blob", b"x" * 99)))
        self.hub.ask("POST", "/v1/blobs", frame(b"y" * 85))

        def send(d, hash=None, size=3):
            return self.hub.commit(Bulk(2).put_list(b"p", one + [b"c"], d, size, hash)
                                   .chunks([b"c"]))
        good = delta(base, 2, [b"c"])
        for cut in (good[:-1], good[:13], good[:48], good + b"x", delta(base, 0, []),
                    delta(base, 0xffffffff, [b"c"]), delta(base, 116508, [b"c"]),
                    good[:-4] + b"\0\0\0\0", good[:-4] + struct.pack("<I", (4 << 20) + 1)):
            self.refused(send(cut), 400, "MALFORMED", "changes[0].frame")
        self.refused(send(delta(base, 3, [b"c"])), 400, "MALFORMED", "changes[0].frame")
        self.refused(send(delta(sha(b"y" * 85), 2, [b"c"])), 400, "MALFORMED", "changes[0].frame")
        self.refused(send(good, hash=sha(b"something else")), 400, "HASH_MISMATCH", "changes[0].hash")
        self.refused(send(delta(base, 1, [b"c"])), 400, "HASH_MISMATCH", "changes[0].hash")
        self.refused(send(good, size=4), 422, "MANIFEST_INVALID", "changes[0].hash")
        self.refused(send(good, size=0), 400, "MALFORMED", "changes[0].form")
        self.refused(send(good, hash=sha(good)), 422, "MANIFEST_INVALID", "changes[0].hash")
        e = self.refused(send(delta(sha(b"x" * 99), 2, [b"c"])), 422, "MANIFEST_INVALID")
        self.assertEqual(e["missing"], [{"index": 0, "hash": sha(b"x" * 99).hex()}])
        b = Bulk(2).put_list(b"p", one, good)
        b.changes[0][6] = 1
        self.refused(self.hub.commit(b), 400, "MALFORMED", "changes[0].hash")
        self.assertEqual(json.loads(self.hub.ask("GET", "/v1/workspaces/w")[2])["version"], 1)
        self.applied(send(good))
        self.assertEqual(self.file("p"), b"abc")

    def test_lists_made_in_one_commit_are_bounded(self):
        chunks = [b"z"] * 116508
        whole = listing(chunks)
        self.applied(self.hub.commit(Bulk(1).put_list(b"p", chunks).chunks([b"z"])))
        d = delta(sha(whole), 116508, [])
        b = Bulk(2)
        b.frames = frame(d)
        for i in range(9):
            b.changes.append([1, b"f%d" % i, None, 0o644, 1, 116508, 2, sha(whole), 0, 0])
        e = self.refused(self.hub.commit(b), 413, "LIMIT", "changes[8].frame")
        self.assertEqual((e["limit"], e["max"]), ("lists", 32 << 20))
        b.changes.pop()
        self.applied(self.hub.commit(b))
        self.assertEqual(self.file("f7"), b"z" * 116508)

    def test_a_damaged_base_is_as_good_as_none(self):
        one, two = [b"aaaaaa", b"b"], [b"aaaaaa", b"b", b"c"]
        self.applied(self.hub.commit(Bulk(1).put_list(b"p", one).chunks(one)))
        pack_file = os.path.join(self.hub.data, "packs", "00000001.pack")
        with open(pack_file, "r+b") as f:
            at = f.read().index(listing(one))
            f.seek(at + 20)
            f.write(b"\xff\xff")
        b = Bulk(2).put_list(b"p", two, delta(sha(listing(one)), 2, [b"c"])).chunks([b"c"])
        e = self.refused(self.hub.commit(b), 422, "MANIFEST_INVALID")
        self.assertEqual(e["missing"], [{"index": 0, "hash": sha(listing(one)).hex()}])
        self.applied(self.hub.commit(Bulk(2).put_list(b"p", two).chunks([b"c"])))
        self.assertEqual(self.file("p"), b"aaaaaabc")

    def test_query_tells_what_a_commit_may_refer_to(self):
        self.hub.ask("POST", "/v1/blobs", frame(b"ahead"))
        big = b"b" * 70000
        self.applied(self.hub.commit(Bulk(1).put(b"small", b"small").put(b"big", big).chunks([b"chunk"])))
        asked = [sha(x) for x in (b"ahead", b"none", b"small", big, b"chunk", b"ahead")]
        rows = self.applied(self.query(*asked))
        self.assertEqual(rows, [[6], [True], [False], [False], [True], [True], [True]])
        self.assertEqual(self.applied(self.query()), [[0]])
        self.assertEqual(len(self.applied(self.query(*[sha(b"ahead")] * 4096))), 4097)
        self.refused(self.query(*[sha(b"ahead")] * 4097), 413, "LIMIT", "n")
        self.refused(self.hub.ask("POST", "/v1/blobs/query", b"x"), 400, "MALFORMED")
        self.refused(self.hub.ask("POST", "/v1/blobs/query", pack([2]) + pack([sha(b"x")])), 400,
                     "MALFORMED", "hashes[1]")
        self.refused(self.hub.ask("POST", "/v1/blobs/query", pack([0]) + pack([sha(b"x")])), 400,
                     "MALFORMED", "hashes")
        self.refused(self.hub.ask("POST", "/v1/blobs/query", pack([1]) + pack([b"short"])), 400,
                     "MALFORMED", "hashes[0].hash")
        self.refused(self.hub.ask("GET", "/v1/blobs/query"), 405, "METHOD_NOT_ALLOWED")

    def test_joined_fragments_are_a_chunk(self):
        parts = [b"line %d\n" % i for i in range(512)]
        self.hub.ask("POST", "/v1/blobs", b"".join(map(frame, parts)))
        whole, twice = b"".join(parts), parts[0] + parts[1] + parts[0]
        r = self.join((whole, parts), (twice, [parts[0], parts[1], parts[0]]))
        self.assertEqual(json.loads(r[2]), {"joined": 2})
        for x in (whole, twice):
            self.assertEqual(self.hub.ask("GET", "/v1/blobs/" + sha(x).hex())[2], x)
        self.applied(self.hub.commit(Bulk(1).put_list(b"p", [whole, twice])))
        self.assertEqual(self.file("p"), whole + twice)
        packs = os.path.join(self.hub.data, "packs", "00000001.pack")
        size = os.path.getsize(packs)
        self.assertEqual(json.loads(self.join((whole, [b"gone", b"too"]))[2]), {"joined": 1})
        self.assertEqual(os.path.getsize(packs), size, "what is there is not made again")

    def test_X4_joins_that_lie_or_ask_for_too_much(self):
        mib = [os.urandom(1 << 20) for _ in range(4)]
        for part in (*mib, b"a", b"b"):
            self.hub.ask("POST", "/v1/blobs", frame(part))
        self.refused(self.join((b"ba", [b"a", b"b"])), 400, "HASH_MISMATCH", "joins[0].hash")
        e = self.refused(self.join((b"ab", [b"a", b"b"]), (b"x", [b"a", b"nil", b"nil"])), 422,
                         "MANIFEST_INVALID", "joins[1]")
        self.assertEqual(e["missing"], [{"index": 1, "hash": sha(b"nil").hex()}])
        self.assertEqual(self.hub.ask("GET", "/v1/blobs/" + sha(b"ab").hex())[0], 404)
        e = self.refused(self.join((sha(b"?"), mib + [b"a"])), 413, "LIMIT", "joins[0]")
        self.assertEqual((e["limit"], e["max"]), ("bytes", 4 << 20))
        self.refused(self.join((sha(b"?"), [mib[0]] * 512)), 413, "LIMIT", "joins[0]")
        fours = [(bytes([i]) * 32, [sha(m) for m in mib]) for i in range(9)]
        e = self.refused(self.join(*fours), 413, "LIMIT", "joins[8]")
        self.assertEqual((e["limit"], e["max"]), ("bytes", 32 << 20))
        self.refused(self.join(*[(b"ab", [b"a", b"b"])] * 65), 413, "LIMIT", "n")
        self.refused(self.join((b"a" * 513, [b"a"] * 513)), 413, "LIMIT", "joins[0].parts")
        self.refused(self.join((b"a", [b"a"])), 400, "MALFORMED", "joins[0].parts")
        good = join((b"ab", [b"a", b"b"]))
        for body in (b"x", good[:-1], good + pack([sha(b"a")]), good[:40]):
            self.refused(self.hub.ask("POST", "/v1/blobs/join", body), 400, "MALFORMED")
        e = self.refused(self.hub.ask("POST", "/v1/blobs/join", b"x" * (3 << 20)), 413, "LIMIT")
        self.assertEqual(e["limit"], "body")
        whole = b"".join(mib)
        self.assertEqual(json.loads(self.join((whole, mib))[2]), {"joined": 1})
        self.assertEqual(self.hub.ask("GET", "/v1/blobs/" + sha(whole).hex())[2], whole)

    def test_many_large_joins_and_deltas_at_once_stay_within_memory(self):
        mib = [os.urandom(1 << 20) for _ in range(4)]
        self.hub.ask("POST", "/v1/blobs", b"".join(map(frame, mib)))
        chunks = [b"z"] * 116000
        self.applied(self.hub.commit(Bulk(1).put_list(b"p", chunks).chunks([b"z"])))
        d = delta(sha(listing(chunks)), 115999, [b"y"])
        made = sha(listing(chunks[:-1] + [b"y"]))

        def one(i):
            if i % 2:
                b = Bulk(1, writer=bytes([i] * 16)).chunks([b"y"])
                for k in range(7):
                    b.put_list(b"f%d-%d" % (i, k), None, d, 116000, made)
                return self.hub.commit(b)[0]
            order = [mib[(i >> k) & 3] for k in range(4)]
            return self.join(*[(b"".join(order), order)] * 8)[0]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            codes = list(pool.map(one, range(1, 25)))
        self.assertIn(200, codes)
        self.assertLessEqual(set(codes), {200, 503})
        maps = read_text(f"/proc/{self.hub.proc.pid}/maps")
        if "libasan" not in maps and "libtsan" not in maps:
            self.assertLess(self.peak_mib(), 144)


class TailsElsewhere(unittest.TestCase):
    """A file of many small chunks, restored and compared by the other commands."""

    def test_pull_and_verify_take_any_boundaries(self):
        hub = Hub(args=("--auth", "none"))
        self.addCleanup(hub.stop)
        small = [os.urandom(1 + i * 7 % 501) for i in range(300)]
        mixed = [os.urandom(n) for n in (1, 4 << 20, 3, (1 << 20) + 1, 1 << 20, 2)]
        hub.ask("POST", "/v1/blobs", b"".join(map(frame, small + mixed)))
        for seq, (path, chunks) in enumerate((("small", small), ("mixed", mixed), ("one", [b"1"])), 1):
            b = Bulk(seq).put_list(path.encode(), chunks).chunks([b"1"])
            self.assertEqual(hub.commit(b)[0], 200)
        with tempfile.TemporaryDirectory() as d:
            url, out = f"http://127.0.0.1:{hub.port}/w", d + "/out"

            def run(*args):
                return subprocess.run([SPATE, *args], capture_output=True, text=True, timeout=60)
            r = run("pull", url, out, "--state", d + "/state")
            self.assertEqual(r.returncode, 0, r.stderr)
            for path, chunks in (("small", small), ("mixed", mixed), ("one", [b"1"])):
                with open(f"{out}/{path}", "rb") as f:
                    self.assertEqual(f.read(), b"".join(chunks), path)
            r = run("verify", out, "--to", url)
            self.assertEqual(r.returncode, 0, r.stdout + r.stderr)
            # One more chunk, and the second pull brings it; a changed byte is seen.
            more = small + [b"the end"]
            b = Bulk(9).put_list(b"small", more, delta(sha(listing(small)), 300, more[300:]))
            self.assertEqual(hub.commit(b.chunks(more[300:]))[0], 200)
            r = run("pull", url, out, "--state", d + "/state")
            self.assertEqual(r.returncode, 0, r.stderr)
            with open(out + "/small", "r+b") as f:
                self.assertEqual(f.read(), b"".join(more))
                f.seek(-1, 1)
                f.write(b"D")
            r = run("verify", out, "--to", url)
            self.assertIn("small", r.stdout)
            self.assertNotEqual(r.returncode, 0)


class BadInput(HubTest):
    def test_X4_bulk_bodies_that_lie(self):
        good = Bulk(1).put(b"a", b"hello").bytes()
        url = "/v1/workspaces/w/bulk"

        def send(body):
            return self.hub.ask("POST", url, body)
        self.refused(send(b"garbage"), 400, "MALFORMED", "magic")
        self.refused(send(good[:-1]), 400, "BAD_LENGTH", "meta_bytes")
        self.refused(send(good + b"x"), 400, "BAD_LENGTH", "meta_bytes")
        self.refused(send(good[:12] + b"\xff\xff\xff\xff" + good[16:]), 400, "BAD_LENGTH")
        self.refused(send(good[:4] + b"\2" + good[5:]), 400, "PROTOCOL_UNSUPPORTED", "version")
        flipped = bytearray(good)
        flipped[-1] ^= 1
        self.refused(send(bytes(flipped)), 400, "HASH_MISMATCH", "frames[0]")
        for path in (b"/a", b"../a", b"a//b", b"a/", b"", b"a\0b", b"."):
            self.refused(send(Bulk(1).put(path, b"x").bytes()), 400, "MALFORMED",
                         "changes[0].path")
            self.refused(send(Bulk(1).move(path, b"ok").bytes()), 400, "MALFORMED",
                         "changes[0].from")
            self.refused(send(Bulk(1).put(b"a", b"x").move(b"ok", path).bytes()), 400,
                         "MALFORMED", "changes[1].to")
        self.refused(send(Bulk(1).move(b"a", b"c").move(b"b", b"c").bytes()), 422,
                     "MANIFEST_INVALID", "changes[1].to")
        self.refused(send(Bulk(1).move(b"a", b"c").delete(b"a").bytes()), 422,
                     "MANIFEST_INVALID", "changes[1].path")
        b = Bulk(1).put(b"a", b"x")
        b.changes[0][3] = 0o17777
        self.refused(send(b.bytes()), 400, "MALFORMED", "changes[0].mode")
        b = Bulk(1).put(b"a", b"x")
        b.changes[0][8] = 7
        self.refused(send(b.bytes()), 400, "MALFORMED", "changes[0].frame")
        self.refused(send(Bulk(1).put(b"a", b"xyz", size=4).bytes()), 422, "MANIFEST_INVALID",
                     "changes[0].size")
        b = Bulk(1).put(b"a", b"x")
        b.head.append(2)
        meta = pack(b.head) + pack(b.changes[0])
        self.refused(send(struct.pack("<IIIIQ", 0x4b4c4253, 1, 0, len(meta), len(b.frames)) +
                          meta + b.frames), 400, "MALFORMED")
        self.refused(send(Bulk(1).put(b"a", b"x").put(b"a", b"y").bytes()), 422,
                     "MANIFEST_INVALID")
        self.refused(send(Bulk(1).put(b"a", b"x").put(b"a/b", b"y").bytes()), 422,
                     "MANIFEST_INVALID")
        e = self.refused(send(Bulk(1).put(b"ok", b"x").put(b"a", b"xyz", inline=False).bytes()),
                         422, "MANIFEST_INVALID")
        self.assertEqual(e["missing"], [{"index": 1, "hash": sha(b"xyz").hex()}])
        self.assertEqual(self.hub.ask("GET", "/v1/workspaces/w")[0], 404)
        self.applied(self.hub.ask("POST", url, good))

    def test_every_cut_of_a_body_is_refused(self):
        good = Bulk(1).mkdir(b"d").put(b"d/a", b"hello").delete(b"x").bytes()
        for n in range(len(good)):
            r = self.hub.ask("POST", "/v1/workspaces/w/bulk", good[:n])
            self.assertEqual(r[0], 400, n)
            json.loads(r[2])
        self.assertEqual(self.hub.ask("GET", "/v1/workspaces/w")[0], 404)

    def test_H7_blobs_with_a_wrong_hash_store_nothing(self):
        self.refused(self.hub.ask("POST", "/v1/blobs", frame(b"good") + frame(b"x", sha(b"y"))),
                     400, "HASH_MISMATCH", "frames[1]")
        self.refused(self.hub.ask("GET", "/v1/blobs/" + sha(b"good").hex()), 404, "NOT_FOUND")
        self.refused(self.hub.ask("POST", "/v1/blobs", frame(b"good")[:-1]), 400, "MALFORMED",
                     "frames[0]")

    def test_lengths_that_contradict_each_other(self):
        head = b"POST /v1/blobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + \
            self.hub.token.encode() + b"\r\nConnection: close\r\n"
        body = frame(b"a")
        n = len(body)
        for lines in (b"", b"Content-Length: 0\r\n", b"Content-Length: x\r\n",
                      b"Content-Length: -1\r\n", b"Content-Length: 99999999999999999999999\r\n",
                      b"Content-Length: %d\r\nContent-Length: %d\r\n" % (n, n + 1),
                      b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n" % n,
                      b"Transfer-Encoding: chunked\r\n"):
            sent = b"5\r\nhello\r\n0\r\n\r\n" if b"chunked" in lines else b""
            self.refused(self.hub.raw(head + lines + b"\r\n" + sent), 400, "BAD_LENGTH")

    def test_what_the_http_library_refuses_is_json_too(self):
        for request in (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 200000 + b"\r\n\r\n",
                        b"GET /" + b"a" * 200000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
                        b"GET /healthz HTTP/1.1\r\nno colon\r\n\r\n",
                        b"GET /healthz HTTP/7.0\r\nHost: x\r\n\r\n"):
            status, body = self.hub.raw(request)
            self.assertGreaterEqual(status, 400)
            self.assertIn("code", json.loads(body))

    def test_limits_are_refused_not_cut(self):
        e = self.refused(self.hub.ask("POST", "/v1/blobs", b"x" * ((32 << 20) + 1)), 413, "LIMIT")
        self.assertEqual((e["limit"], e["max"]), ("body", 32 << 20))
        self.applied(self.hub.commit(Bulk(1).put(b"a", b"x")))
        item = pack([sha(b"none")])
        self.refused(self.hub.ask("POST", "/v1/workspaces/w/fetch",
                                  pack([1, 4097]) + item * 4097), 413, "LIMIT", "n")
        self.refused(self.hub.ask("POST", "/v1/workspaces/w/fetch", pack([1, 1]) + item), 404,
                     "NOT_FOUND", "items[0]")
        blobs = [os.urandom(1 << 20) for _ in range(9)]
        for b in blobs:
            self.hub.ask("POST", "/v1/blobs", frame(b))
        items = b"".join(pack([sha(b)]) for b in blobs)
        self.refused(self.hub.ask("POST", "/v1/workspaces/w/fetch", pack([1, 9]) + items), 413,
                     "LIMIT", "items")
        self.refused(self.hub.ask("POST", "/v1/workspaces/w/fetch", b"\xdd\xff\xff\xff\xff"),
                     400, "MALFORMED")
        self.refused(self.hub.commit(Bulk(1, epoch=2).mkdir(b"x" * 256)), 400, "MALFORMED")

    def test_routes_methods_and_names(self):
        ask = self.hub.ask
        self.refused(ask("GET", "/nothing"), 404, "NOT_FOUND")
        self.refused(ask("GET", "/v1/workspaces/w/nothing"), 404, "NOT_FOUND")
        self.refused(ask("DELETE", "/v1/workspaces/w"), 405, "METHOD_NOT_ALLOWED")
        self.refused(ask("GET", "/v1/workspaces/w/bulk"), 405, "METHOD_NOT_ALLOWED")
        self.refused(ask("GET", "/v1/workspaces/-w"), 400, "BAD_REQUEST", "workspace")
        self.refused(ask("GET", "/v1/workspaces/" + "w" * 65), 400, "BAD_REQUEST", "workspace")
        self.refused(ask("GET", "/v1/blobs/abc"), 400, "BAD_REQUEST", "hash")
        self.refused(ask("GET", "/v1/workspaces/w/file?path=../x"), 400, "BAD_REQUEST", "path")
        self.refused(ask("GET", "/v1/workspaces/w/manifest?limit=0"), 400, "BAD_REQUEST", "limit")
        self.refused(ask("GET", "/healthz", headers={"Spate-Protocol": "2"}), 400,
                     "PROTOCOL_UNSUPPORTED", "Spate-Protocol")

    def test_no_token_no_entry(self):
        for path in ("/metrics", "/v1/workspaces/w", "/nothing"):
            r = self.hub.ask("GET", path, token=False)
            self.refused(r, 401, "UNAUTHORIZED")
            self.assertIn("Bearer", r[1]["WWW-Authenticate"])
        wrong = {"Authorization": "Bearer " + "0" * 64}
        self.refused(self.hub.ask("GET", "/metrics", headers=wrong, token=False), 401,
                     "UNAUTHORIZED")
        for path in ("/healthz", "/readyz"):
            self.assertEqual(json.loads(self.hub.ask("GET", path, token=False)[2]),
                             {"status": "ok"})
        mode = os.stat(os.path.join(self.hub.data, "admin.token")).st_mode
        self.assertEqual(mode & 0o777, 0o600)


class Service(HubTest):
    def counted(self, route, code):
        text = self.hub.ask("GET", "/metrics")[2].decode()
        found = re.search(rf'spate_hub_requests_total{{route="{route}",code="{code}"}} (\d+)',
                          text)
        return int(found[1]) if found else 0

    def test_requests_are_counted_by_route_and_code(self):
        self.applied(self.hub.commit(Bulk(1).put(b"a", b"x")))
        self.applied(self.hub.commit(Bulk(2).put(b"a", b"y")))
        self.hub.ask("POST", "/v1/workspaces/w/bulk", b"garbage")
        self.assertEqual(self.counted("bulk", 200), 2)
        self.assertEqual(self.counted("bulk", 400), 1)
        text = self.hub.ask("GET", "/metrics")[2].decode()
        self.assertIn("spate_hub_versions_total 2", text)
        self.assertIn("spate_hub_commit_duration_seconds_count 2", text)
        self.assertIn("spate_build_info", text)

    def test_acknowledged_versions_survive_kill_9(self):
        for i in range(1, 21):
            self.applied(self.hub.commit(Bulk(i).put(b"f%d" % i, b"%d" % i)))
        data = self.hub.data
        self.hub.proc.kill()
        self.hub.proc.wait()
        self.hub.proc.stdout.close()
        again = Hub(data)
        try:
            for i in range(1, 21):
                r = again.ask("GET", f"/v1/workspaces/w/file?path=f{i}")
                self.assertEqual(r[2], b"%d" % i)
        finally:
            self.assertEqual(again.stop(), 0)

    def test_sigterm_finishes_what_is_in_flight(self):
        done = []

        def writer(i):
            seq = 0
            while True:
                seq += 1
                try:
                    r = self.hub.commit(Bulk(seq, writer=bytes([i] * 16))
                                        .put(b"%d-%d" % (i, seq), b"x" * 5000))
                except (OSError, http.client.HTTPException):
                    return
                if r[0] != 200:
                    return
                done.append((i, seq))
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for i in range(1, 9):
                pool.submit(writer, i)
            time.sleep(0.5)
            self.assertEqual(self.hub.stop(), 0)
        again = Hub(self.hub.data)
        try:
            rows = []
            after = ""
            while not rows or rows[-1][0]:
                got = unpack_all(again.ask("GET", "/v1/workspaces/w/manifest" + after)[2])
                rows += got[1:]
                after = "?after=" + got[-2][1].decode()
            there = {e[1] for e in rows if len(e) > 1}
            self.assertLessEqual({b"%d-%d" % d for d in done}, there)
            self.assertTrue(done)
        finally:
            again.stop()

    def test_sigterm_does_not_wait_for_idle_or_half_sent_requests(self):
        idle = socket.create_connection(("127.0.0.1", self.hub.port))
        half = socket.create_connection(("127.0.0.1", self.hub.port))
        half.sendall(b"POST /v1/blobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " +
                     self.hub.token.encode() + b"\r\nContent-Length: 100000\r\n\r\nabc")
        time.sleep(0.2)
        self.assertEqual(self.hub.stop(), 0)
        idle.close()
        half.close()


class Failpoints(unittest.TestCase):
    """Needs a build with -Dfault=true."""

    def start(self, spec):
        try:
            return Hub(env={"SPATE_FAIL": spec})
        except AssertionError:
            self.skipTest("failpoints are not compiled in")

    def test_H2_a_reply_that_was_lost_is_given_again(self):
        hub = self.start("hub_replied:EIO@1")
        bulk = Bulk(1).put(b"a", b"x")
        with self.assertRaises((OSError, http.client.HTTPException)):
            hub.commit(bulk)
        r = hub.commit(bulk)
        self.assertEqual((r[0], unpack_all(r[2])), (200, [[1, 0]]))
        self.assertEqual(hub.stop(), 0)

    def test_a_body_that_fails_inside_the_hub_changes_nothing(self):
        hub = self.start("hub_body_read:EIO@1,hub_body_read:ENOSPC@2")
        bulk = Bulk(1).put(b"a", b"x")
        self.assertEqual(hub.commit(bulk)[0], 500)
        r = hub.commit(bulk)
        self.assertEqual((r[0], json.loads(r[2])["code"]), (507, "DISK_FULL"))
        self.assertEqual(unpack_all(hub.commit(bulk)[2]), [[1, 0]])
        self.assertEqual(hub.stop(), 0)


    def test_killed_around_a_delta_or_a_join_the_old_or_the_new_is_there(self):
        """Small lists go to the tail table, large ones make the pack synced: both ways."""
        for n, points in ((3, ("hub_body_read", "hub_pack_written", "hub_before_commit",
                               "hub_after_commit", "hub_replied")),
                          (9000, ("hub_pack_written", "hub_pack_synced", "hub_before_commit"))):
            for point in points:
                self.killed_around(point, [b"%d" % i for i in range(n)])

    def killed_around(self, point, old):
        new = old + [b"the end"]
        parts = [b"one", b"two" * (90000 if len(old) > 100 else 1)]
        d = delta(sha(listing(old)), len(old), new[-1:])
        grown = Bulk(2).put_list(b"p", new, d).chunks(new[-1:])
        whole = b"".join(parts)
        first = Hub()
        self.assertEqual(first.commit(Bulk(1).put_list(b"p", old).chunks(old))[0], 200)
        self.assertEqual(first.ask("POST", "/v1/blobs", b"".join(map(frame, parts)))[0], 200)
        self.assertEqual(first.stop(), 0)
        for what in ("delta", "join") if point != "hub_replied" else ("delta",):
            hub = Hub(first.data, env={"SPATE_FAIL": point + ":kill@1"})

            def send(h):
                if what == "delta":
                    return h.commit(grown)[0]
                return h.ask("POST", "/v1/blobs/join", join((whole, parts)))[0]
            with self.assertRaises((OSError, http.client.HTTPException), msg=point):
                send(hub)
            hub.proc.wait(30)
            hub.proc.stdout.close()
            again = Hub(first.data)
            if what == "delta":
                got = again.ask("GET", "/v1/workspaces/w/file?path=p")[2]
                self.assertIn(got, (b"".join(old), b"".join(new)), point)
            else:
                got = again.ask("GET", "/v1/blobs/" + sha(whole).hex())
                self.assertIn((got[0], got[2] if got[0] == 200 else b""), ((200, whole), (404, b"")))
            self.assertEqual(send(again), 200, point)
            got = again.ask("GET", "/v1/workspaces/w/file?path=p")[2]
            self.assertEqual(got, b"".join(new), point)
            self.assertEqual(again.stop(), 0)
        last = Hub(first.data)
        if what == "join":
            self.assertEqual(last.ask("GET", "/v1/blobs/" + sha(whole).hex())[2], whole)
        self.assertEqual(json.loads(last.ask("GET", "/v1/workspaces/w")[2])["version"], 2)
        self.assertEqual(last.stop(), 0)

    def test_a_delta_that_finds_the_disk_full_changes_nothing(self):
        for n in (3, 9000):
            hub = self.start("hub_pack_written:ENOSPC@2,hub_before_commit:ENOSPC@2")
            old = [b"%d" % i for i in range(n)]
            new = old + [b"x"]
            b = Bulk(2).put_list(b"p", new, delta(sha(listing(old)), n, [b"x"])).chunks([b"x"])
            self.assertEqual(hub.commit(Bulk(1).put_list(b"p", old).chunks(old))[0], 200)
            for _ in range(2):
                r = hub.commit(b)
                self.assertEqual((r[0], json.loads(r[2])["code"]), (507, "DISK_FULL"))
                self.assertEqual(hub.ask("GET", "/v1/workspaces/w/file?path=p")[2], b"".join(old))
            self.assertEqual(unpack_all(hub.commit(b)[2]), [[2, 0]])
            self.assertEqual(hub.ask("GET", "/v1/workspaces/w/file?path=p")[2], b"".join(new))
            self.assertEqual(hub.stop(), 0)


class Starting(unittest.TestCase):
    def run_serve(self, *args):
        p = subprocess.run([SPATE, "serve", *args], capture_output=True, text=True, timeout=30)
        self.assertEqual(p.stdout, "")
        self.assertEqual(len(p.stderr.strip().splitlines()), 1, p.stderr)
        return p.returncode, p.stderr

    def test_bad_addresses_and_flags_are_usage_errors(self):
        with tempfile.TemporaryDirectory() as d:
            for args in (("--listen", "nonsense"), ("--listen", "127.0.0.1:99999"),
                         ("--listen", "0.0.0.0:0", "--auth", "none"), ("--auth", "some"),
                         ("--listen", "0.0.0.0:0"), ("--listen", "example.org:80")):
                self.assertEqual(self.run_serve("--data", d, *args)[0], 2, args)
            self.assertEqual(os.listdir(d), [])

    def test_a_second_hub_on_the_directory_exits_9(self):
        hub = Hub()
        code, text = self.run_serve("--data", hub.data, "--listen", "127.0.0.1:0")
        self.assertEqual(code, 9)
        self.assertIn(str(hub.proc.pid), text)
        self.assertEqual(hub.stop(), 0)

    def test_another_format_and_foreign_directories_are_refused(self):
        with tempfile.TemporaryDirectory() as d:
            with open(d + "/format", "w") as f:
                f.write("spate-hub 2\n")
            code, text = self.run_serve("--data", d, "--listen", "127.0.0.1:0")
            self.assertEqual(code, 1)
            self.assertIn("spate-hub 2", text)
            self.assertIn("spate-hub 1", text)
        with tempfile.TemporaryDirectory() as d:
            open(d + "/thesis.txt", "w").close()
            self.assertEqual(self.run_serve("--data", d, "--listen", "127.0.0.1:0")[0], 1)

    def test_a_taken_port_is_one_clear_line(self):
        hub = Hub()
        with tempfile.TemporaryDirectory() as d:
            code, text = self.run_serve("--data", d, "--listen", f"127.0.0.1:{hub.port}")
        self.assertEqual(code, 1)
        self.assertIn("cannot listen", text)
        hub.stop()

    def test_without_authentication_on_loopback(self):
        hub = Hub(args=("--auth", "none"))
        self.assertEqual(hub.ask("GET", "/metrics", token=False)[0], 200)
        self.assertFalse(os.path.exists(hub.data + "/admin.token"))
        self.assertEqual(hub.stop(), 0)


if __name__ == "__main__":
    given = len(sys.argv) > 1 and os.access(sys.argv[1], os.X_OK)
    SPATE = os.path.abspath(sys.argv.pop(1) if given else os.environ["SPATE"])
    unittest.main(verbosity=2)
