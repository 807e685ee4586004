#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""X3, X4: hostile HTTP against the hub, over raw sockets: what is refused, who is cut, who goes when there are too
many. A working client beside it goes on, and the hub's memory stays bounded."""
import hashlib, json, os, random, socket, struct, sys, threading, time
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from memory import Peak
from spate import SLOW, World, check, main, option, rounds, wait_for

HOST = b"Host: x\r\n"
CLOSE = b"Connection: close\r\n"
TOKEN = "0123456789abcdef" * 4
# What requests may hold, the heads of all connections, and what grows besides.
MEMORY_MAX = (96 << 20) + (256 + 64) * (128 << 10) + (24 << 20)
if SLOW != 1:
    MEMORY_MAX = 1 << 40  # a sanitizer keeps what was freed, and has shadows of all memory
SPAN = 30  # seconds in which a connection has to move some bytes
count = {"requests": 0, "connections": 0}


def frame(data):
    return struct.pack("<II", 0x314d5246, len(data)) + hashlib.sha256(data).digest() + data


def post(body, more=b"", path=b"/v1/blobs"):
    return b"POST %s HTTP/1.1\r\n%sContent-Length: %d\r\n%s\r\n" % (path, HOST, len(body), more) + body


def get(path=b"/healthz", more=b""):
    return b"GET %s HTTP/1.1\r\n%s%s\r\n" % (path, HOST, more)


class Client:
    """A connection of which every byte is ours."""

    def __init__(self, w, source="127.0.0.1", timeout=20):
        count["connections"] += 1
        self.s = socket.create_connection(("127.0.0.1", w.port), timeout * SLOW, (source, 0))
        self.data = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.s.close()

    def send(self, data):
        self.s.sendall(data)
        return self

    def more(self):
        part = self.s.recv(65536)
        self.data += part
        return bool(part)

    def reply(self, head=False):
        """(status, headers, body) of the next reply; (0, {}, b"") when the hub hangs up."""
        count["requests"] += 1
        while b"\r\n\r\n" not in self.data:
            if not self.more():
                return 0, {}, b""
        first, _, self.data = self.data.partition(b"\r\n\r\n")
        lines = first.decode("latin-1").split("\r\n")
        headers = dict((k.lower(), v.strip()) for k, _, v in (line.partition(":") for line in lines[1:]))
        status = int(lines[0].split()[1])
        n = 0 if head or status == 100 else int(headers["content-length"])
        while len(self.data) < n:
            check(self.more(), "a reply was cut")
        body, self.data = self.data[:n], self.data[n:]
        if status >= 400 and not head:
            error = json.loads(body)
            check(error["code"] and error["message"], f"{status}: {body}")
        return status, headers, body

    def ended(self):
        """Whether the hub hung up without another byte."""
        try:
            return not self.more()
        except ConnectionError:
            return True


def hub(w, token=None):
    """Without a token everybody may do everything."""
    p = w.start(["serve", "--data", w.data, "--listen", "127.0.0.1:0", *([] if token else ["--auth", "none"])], "ready")
    w.port = int(p.line.rsplit(":", 1)[1])
    if token:
        return p, open(f"{w.data}/admin.token").read().strip()
    return p


def well(w):
    with Client(w) as c:
        check(c.send(get()).reply()[2] == b'{"status":"ok"}', "the hub is not well")


def X4_two_ways_to_read_a_request_are_no_way():
    """Request smuggling: what follows the doubtful head must never be answered as a request."""
    body = frame(b"x")
    n = len(body)
    second = get(b"/v1/workspaces/smuggled", CLOSE)
    heads = [
        b"Content-Length: %d\r\nContent-Length: %d\r\n" % (n, n),
        b"Content-Length: %d\r\nContent-Length: %d\r\n" % (n, n + 10),
        b"Content-Length: %d\r\ncontent-length: 0\r\n" % n,
        b"Content-Length: %d, %d\r\n" % (n, n), b"Content-Length: +%d\r\n" % n, b"Content-Length: 0x10\r\n",
        b"Content-Length: -1\r\n", b"Content-Length: 18446744073709551617\r\n",
        b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n" % n,
        b"Transfer-Encoding: chunked\r\nContent-Length: %d\r\n" % n,
        b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip, chunked\r\n", b"Transfer-Encoding: identity\r\n",
        b"Transfer-Encoding: \tchunked\r\nContent-Length: %d\r\n" % n,
        b"Content-Length: %d\r\nTransfer-Encoding : chunked\r\n" % n,
        b"Content-Length: %d\r\nTransfer-Encoding\t: chunked\r\n" % n,
        b"Content-Length: %d\r\nX: a\rTransfer-Encoding: chunked\r\n" % n,
        b"Content-Length : %d\r\n" % n, b"Content-Length: %d\r\nX\x01: y\r\n" % n,
    ]
    with World() as w:
        hub(w)
        for ask in (b"POST /v1/blobs HTTP/1.1\r\n" + HOST, b"GET /healthz HTTP/1.1\r\n" + HOST):
            for h in heads:
                with Client(w) as c:
                    status = c.send(ask + h + b"\r\n" + b"0\r\n\r\n" + second).reply()[0]
                    check(status == 400, f"{h}: {status}")
                    check(c.ended() and not c.data, f"{h}: more than one answer: {c.data}")


def X4_heads_of_all_kinds():
    """(what is sent, status): 0 is a connection that is closed without a word."""
    big = b"x" * 200_000
    cases = [
        (get(), 200), (b"GET /healthz HTTP/1.0\r\n\r\n", 200), (b"GET /healthz HTTP/1.1\r\n" + CLOSE + b"\r\n", 200),
        (b"GET /healthz HTTP/1.1\nHost: x\n\n", 200), (b"\r\n\r\n" + get(), 200),
        (get(b"http://elsewhere.example/healthz"), 200), (get(b"http://elsewhere.example/nothing"), 404),
        (b"GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n", 200), (get(more=b"Host: y\r\n"), 200),
        (get(more=b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n"), 200),
        (get(b"/healthz\0/nothing"), 200),  # the library ends it at the NUL
        (get(b"/heal\0thz"), 404), (get(b"/healthz%00"), 404), (get(b"/%zz"), 404), (get(b"//healthz"), 404),
        (get(b"/../healthz"), 404), (get(b"/v1/workspaces/%zz"), 400), (get(b"/v1/workspaces/a%00"), 400),
        (get(b"/v1/workspaces/%2e%2e"), 400), (get(b"/v1/workspaces/w/file?path=%"), 400),
        (get(b"/v1/workspaces/w/file?path=%2e%2e%2fx"), 400), (get(b"/v1/workspaces/w/file?path=a%00b"), 400),
        (get(b"/healthz x"), 400), (get(b"/healthz\x01"), 400), (get(b"/healthz?\x7f"), 400), (get(b"*"), 404),
        (get(b"/" + b"a" * 20_000), 413), (get(b"/v1/workspaces/w/file?path=" + b"%41" * 5000), 400),
        (get(b"/" + big), 414), (get(more=b"X: " + big + b"\r\n"), 431), (get(more=big + b": x\r\n"), 431),
        (get(more=b"".join(b"X-%d: y\r\n" % i for i in range(20_000))), 431),
        (get(more=b"".join(b"X-%d: y\r\n" % i for i in range(500))), 200),
        (get(more=b"X: \x01\r\n"), 400), (get(more=b"X: a\rb\r\n"), 400), (get(more=b"X\0Y: a\r\n"), 400),
        (get(more=b"X \r\n"), 400), (get(more=b"no colon\r\n"), 400), (b"GET /healthz HTTP/1.1\r\n X: a\r\n\r\n", 400),
        (b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", 404), (b"OPTIONS /healthz HTTP/1.1\r\n" + HOST + b"\r\n", 405),
        (b"TRACE /healthz HTTP/1.1\r\n" + HOST + b"\r\n", 405), (b"CONNECT x:80 HTTP/1.1\r\n" + HOST + b"\r\n", 404),
        (b"BREW /healthz HTTP/1.1\r\n" + HOST + b"\r\n", 405), (b"get /healthz HTTP/1.1\r\n" + HOST + b"\r\n", 405),
        (b"DELETE /v1/workspaces/w HTTP/1.1\r\n" + HOST + b"\r\n", 405), (get(b"/v1/workspaces/w/bulk"), 405),
        (post(b"x", path=b"/healthz"), 405), (post(b""), 400), (post(b"x" * 100, b"Expect: nonsense\r\n"), 400),
        (b"GET /healthz\r\n", 400), (b"GET\r\n\r\n", 0), (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"GET /healthz HTTP/9.9\r\n\r\n", 505), (b"SSH-2.0-OpenSSH_9.2p1\r\n", 0), (b"\x16\x03\x01" + b"\r\n" * 3, 0),
    ]
    with World() as w:
        p = hub(w)
        peak = Peak(p.pid)
        for data, wanted in cases:
            with Client(w) as c:
                try:
                    status = c.send(data).reply()[0]
                except ConnectionError:
                    status = 0
                check(status == wanted, f"{data[:80]}: {status}, not {wanted}")
        for path, wanted in ((b"/healthz", 200), (b"/nothing", 404), (b"/v1/blobs", 405)):
            with Client(w) as c:
                c.send(b"HEAD %s HTTP/1.1\r\n" % path + HOST + CLOSE + b"\r\n")
                status, headers, _ = c.reply(head=True)
                check(status == wanted and int(headers["content-length"]) > 0 and c.ended() and not c.data,
                      f"HEAD {path}: {status} {headers} {c.data}")
        well(w)
        check(max(peak.grown()) < MEMORY_MAX, f"memory: {peak.most}")


def X4_bodies_longer_and_shorter_than_they_say():
    with World() as w:
        p = hub(w)
        with Client(w) as c:  # longer: the rest is a request, and none
            c.send(post(frame(b"a")) + b"rest of it\r\n\r\n")
            check(c.reply()[0] == 200 and c.reply()[0] == 400 and c.ended(), "a longer body")
        with Client(w) as c:  # pipelined requests are answered one after the other
            c.send(b"".join(post(frame(b"%d" % i)) + get() for i in range(200)))
            for i in range(200):
                check(json.loads(c.reply()[2]) == {"stored": 1, "existing": 0}, f"pipelined {i}")
                check(c.reply()[0] == 200, f"pipelined {i}")
        for cut in (0, 1, 30, len(frame(b"b")) - 1):  # shorter, and then gone
            with Client(w) as c:
                data = post(frame(b"b"))
                c.send(data[:len(data) - len(frame(b"b")) + cut])
        with Client(w) as c:
            c.send(post(frame(b"b")))
            check(json.loads(c.reply()[2]) == {"stored": 1, "existing": 0}, "half a body was stored")
        with Client(w) as c:
            c.send(post(frame(b"c"), b"Expect: 100-continue\r\n")[:-len(frame(b"c"))])
            check(c.reply()[0] == 100, "no 100-continue")
            check(c.send(frame(b"c")).reply()[0] == 200, "after 100-continue")
        with Client(w) as c:
            c.send(b"POST /v1/blobs HTTP/1.1\r\n%sExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n" % HOST)
            check(c.reply()[0] == 413 and c.ended(), "a body that is too long is invited")
        with Client(w) as c:  # a refusal is read after a body that was sent all the same
            c.send(post(b"x" * (40 << 20)))
            check(c.reply()[0] == 413, "an early refusal")
        with Client(w) as c:  # the library may take the end of one direction for the end of both
            c.send(post(frame(b"d"))).s.shutdown(socket.SHUT_WR)
            check(c.reply()[0] in (0, 200), "half-closed")
        well(w)
        check(p.p.poll() is None, "the hub died")


def X4_strangers_are_told_nothing_and_hold_nothing():
    with World() as w:
        p, token = hub(w, TOKEN)
        known = b"Authorization: Bearer " + token.encode() + b"\r\n"
        peak = Peak(p.pid)
        for head in (b"", b"Authorization: Bearer x\r\n", b"Authorization: Basic eDp5\r\n", known[:-3] + b"\r\n",
                     b"Authorization: Bearer " + b"x" * 5000 + b"\r\n"):
            with Client(w) as c:
                check(c.send(post(frame(b"x"), head)).reply()[0] == 401, f"{head[:60]}")
        strangers = [Client(w, "127.0.0.2") for _ in range(200)]
        for c in strangers:  # each announces a large body; none of it may be kept for them
            c.send(b"POST /v1/blobs HTTP/1.1\r\n" + HOST + b"Content-Length: 33554432\r\n\r\n" + b"x" * 65536)
        with Client(w) as c:
            check(c.send(post(frame(b"x"), known)).reply()[0] == 200, "who is known is not served")
        check(peak.grown()[0] < MEMORY_MAX, f"memory: {peak.most}")
        for c in strangers:
            c.s.close()


def drip(c, data, pause, size=1):
    """Whether the hub cut it, and after how many seconds, at most two spans and some."""
    begin = time.monotonic()
    c.s.settimeout(pause)
    for at in range(0, len(data), size):
        try:
            c.send(data[at:at + size])
            if not c.more():
                return True, time.monotonic() - begin
        except TimeoutError:
            pass
        except ConnectionError:
            return True, time.monotonic() - begin
        if time.monotonic() - begin > 4 * SPAN:
            break
    return False, time.monotonic() - begin


def X4_drips_are_cut_and_slow_links_are_not():
    """All at once, since they mostly wait."""
    with World() as w, ThreadPoolExecutor(20) as pool:
        p = hub(w)
        large = os.urandom(1 << 20)
        with Client(w) as c:
            check(c.send(post(b"".join(frame(large[:-1] + bytes([i])) for i in range(30)))).reply()[0] == 200, "blobs")
        peak = Peak(p.pid)
        body = post(b"x" * (1 << 20))
        drips = {
            "request line": b"GET /" + b"a" * 4000,
            "head": b"GET /healthz HTTP/1.1\r\nX: " + b"a" * 4000,
            "headers": b"GET /healthz HTTP/1.1\r\n" + b"X: y\r\n" * 4000,
            "body": body,
            "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"y" * 4000,
            "nothing": b"",
        }

        def dripped(name, data):
            with Client(w) as c:
                head = data[:data.index(b"\r\n") + 2] if name in ("head", "headers") else b""
                if name == "body":
                    head = data[:200]
                c.send(head)
                if name == "nothing":
                    c.s.settimeout(4 * SPAN)
                    begin = time.monotonic()
                    return c.ended(), time.monotonic() - begin
                return drip(c, data[len(head):], 1)

        def never_reads(path):
            with Client(w) as c:
                c.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                c.send(b"".join(get(path) for _ in range(20)))
                time.sleep(SPAN + 8)
                c.s.settimeout(5)
                begin = time.monotonic()
                try:
                    n = 0
                    while part := c.s.recv(1 << 20):
                        n += len(part)
                    return n < 20 << 20, time.monotonic() - begin
                except ConnectionError:
                    return True, 0
                except TimeoutError:
                    return False, 5

        def slow_upload():
            with Client(w) as c:  # 16 KiB/s, for longer than a span
                data = post(frame(large[:700_000]))
                for at in range(0, len(data), 8192):
                    c.send(data[at:at + 8192])
                    time.sleep(.5)
                return c.reply()[0] == 200

        def slow_download():
            with Client(w) as c:
                c.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
                c.send(get(b"/v1/blobs/" + hashlib.sha256(large[:-1] + b"\0").hexdigest().encode(), CLOSE))
                n = 0
                while len(part := c.s.recv(9000)):
                    n += len(part)
                    time.sleep(.5)
                    if n > 800_000:
                        return True
                return False

        blob = b"/v1/blobs/" + hashlib.sha256(large[:-1] + b"\1").hexdigest().encode()
        slow = [pool.submit(slow_upload), pool.submit(slow_download)]
        cut = {name: pool.submit(dripped, name, data) for name, data in drips.items()}
        cut |= {f"never reads {i}": pool.submit(never_reads, blob) for i in range(4)}
        for name, f in cut.items():
            ended, seconds = f.result()
            check(ended, f"{name}: still there after {seconds:.0f} s")
        check(all(f.result() for f in slow), "a slow link was cut")
        check(w.metric("spate_hub_reaped_total") >= 8, "not ours that cut")
        check(peak.grown()[0] < MEMORY_MAX, f"memory: {peak.most}")
        wait_for(lambda: w.metric("spate_hub_connections") == 1, "connections that are gone are counted")
        check(w.metric("spate_hub_bodies_bytes") == 0, "memory of those that were cut is kept")


class Flood(threading.Thread):
    """Opens connections as fast as it can, sends the same on each, keeps them all."""

    def __init__(self, w, data, source):
        super().__init__(daemon=True)
        self.w, self.data, self.source, self.over, self.n = w, data, source, threading.Event(), 0
        self.start()

    def run(self):
        kept = []
        while not self.over.is_set():
            try:
                s = socket.create_connection(("127.0.0.1", self.w.port), 5, (self.source, 0))
                s.setblocking(False)
                kept.append(s)
                self.n += 1
                s.send(self.data)
            except OSError:
                time.sleep(.001)
            if len(kept) > 400:
                kept.pop(0).close()
        for s in kept:
            s.close()

    def end(self):
        self.over.set()
        self.join()
        count["connections"] += self.n
        return self.n


FLOODS = {
    "idle": b"",
    "half a head": b"GET /healthz HTTP/1.1\r\nX: ",
    "large heads": b"GET /healthz HTTP/1.1\r\nX: " + b"y" * 100_000,
    "half a body": b"POST /v1/blobs HTTP/1.1\r\nHost: x\r\nContent-Length: 30000\r\n\r\n" + b"x" * 10_000,
    "half a large body": b"POST /v1/blobs HTTP/1.1\r\nHost: x\r\nContent-Length: 8000000\r\n\r\n" + b"x" * 60_000,
    "pipelined": get() * 300,
}


def X4_a_flood_stops_no_honest_client():
    """From another address; a watch and a client with new connections work beside it."""
    for name, data in FLOODS.items():
        with World() as w:
            p = hub(w)
            w.watch()
            w.flush()
            peak = Peak(p.pid)
            flood = Flood(w, data, "127.0.0.2")
            wait_for(lambda: flood.n > 500, "a flood")
            for i in range(10):
                with open(f"{w.tree}/f{i}", "w") as f:
                    f.write(f"{name} {i}")
                check(w.flush()["durable"], f"{name}: not durable")
            for i in range(30):
                with Client(w) as c:
                    check(c.send(post(frame(b"%d" % i))).reply()[0] == 200, f"{name}: request {i}")
            n, grown = flood.end(), peak.grown()[0]
            check(grown < MEMORY_MAX, f"{name}: memory grew by {grown}")
            w.exact(name)
            check(w.metric("spate_hub_connections") <= 256 + 64, f"{name}: connections")
            print(f"  {name}: {n} connections, the hub grew by {grown >> 20} MiB")


def X4_a_flood_of_strangers_from_ones_own_address():
    """Who asks at once is served: those that have been waiting longest go first."""
    for name in ("idle", "half a head", "large heads"):
        with World() as w:
            hub(w)
            flood = Flood(w, FLOODS[name], "127.0.0.1")
            wait_for(lambda: flood.n > 500, "a flood")
            served = 0
            for i in range(60):
                try:
                    with Client(w) as c:
                        served += c.send(post(frame(b"%d" % i))).reply()[0] == 200
                except ConnectionError:
                    pass
            flood.end()
            check(served >= 50, f"{name}: {served} of 60")


def X4_one_address_does_not_get_all_places():
    with World() as w:
        hub(w)
        data = FLOODS["half a body"]
        held = [Client(w, "127.0.0.2").send(data) for _ in range(128)]
        wait_for(lambda: w.metric("spate_hub_bodies_bytes") >= 128 * 30_000, "places that are held")
        with Client(w, "127.0.0.2") as c:
            status, headers, body = c.send(post(frame(b"a"))).reply()
            check(status == 503 and headers["retry-after"] == "1", f"{status} {body}")
        with Client(w, "127.0.0.3") as c:
            check(c.send(post(frame(b"a"))).reply()[0] == 200, "another address is refused")
        for c in held:
            c.s.close()

        def free():
            with Client(w, "127.0.0.2") as c:
                return c.send(post(frame(b"a"))).reply()[0] == 200
        wait_for(free, "a place after they are gone")


def X3_requests_with_random_damage():
    seed = int(option("--seed", random.randrange(1 << 32)))
    print(f"  --seed {seed}")
    r = random.Random(seed)
    whole = [get(), get(b"/v1/workspaces/w/log?limit=3"), post(frame(b"x")),
             post(b"x" * 300, path=b"/v1/workspaces/w/bulk"), b"GET /healthz HTTP/1.0\r\n\r\n",
             post(frame(b"y"), b"Expect: 100-continue\r\n")]
    spice = [b"\0", b"\r", b"\n", b"\r\n", b" ", b"\t", b":", b"%", b"\x7f", b"\xff", b"Content-Length: 3\r\n",
             b"HTTP/1.1",
             b"Transfer-Encoding: chunked\r\n", b"9" * 30, b"0\r\n\r\n"]

    def damaged():
        data = bytearray(r.choice(whole) + r.choice([b"", get()]))
        for _ in range(r.randrange(1, 5)):
            at = r.randrange(len(data))
            k = r.random()
            if k < .4:
                data[at:at] = r.choice(spice)
            elif k < .6:
                del data[at:at + r.randrange(1, 9)]
            elif k < .8:
                data[at] = r.randrange(256)
            else:
                data[at:] = data[r.randrange(len(data)):]
            data = data or bytearray(b"x")
        return bytes(data)

    def one(data):
        with Client(w) as c:
            try:
                c.send(data).s.shutdown(socket.SHUT_WR)
                c.s.settimeout(.05)
                while c.more():
                    pass
            except (TimeoutError, ConnectionError):
                pass
            if c.data:
                check(c.data.startswith((b"HTTP/1.1 ", b"HTTP/1.0 ")), f"{data}: {c.data[:100]}")
                if c.data[9:10] in (b"4", b"5"):
                    check(b"application/json" in c.data, f"{data}: an error that is not JSON: {c.data}")
        count["requests"] += 1

    with World() as w, ThreadPoolExecutor(8) as pool:
        p = hub(w)
        peak = Peak(p.pid)
        list(pool.map(one, [damaged() for _ in range(rounds(3000, 500, 60000))]))
        well(w)
        check(p.p.poll() is None, "the hub died")
        check(peak.grown()[0] < MEMORY_MAX, f"memory: {peak.most}")


try:
    main([X4_two_ways_to_read_a_request_are_no_way, X4_heads_of_all_kinds, X4_bodies_longer_and_shorter_than_they_say,
          X4_strangers_are_told_nothing_and_hold_nothing, X4_drips_are_cut_and_slow_links_are_not,
          X4_a_flood_stops_no_honest_client, X4_a_flood_of_strangers_from_ones_own_address,
          X4_one_address_does_not_get_all_places, X3_requests_with_random_damage])
finally:
    for what, n in count.items():
        print(f"count: {n} hostile {what}")
