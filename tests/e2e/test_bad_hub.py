#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""U2, U8, X3: a hub that answers wrongly in every way: the daemon lives, says so, keeps the work, and is exact
once the real hub is back on the same port."""
import os, random, socket, struct, sys, threading, time
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from spate import World, check, main, wait_for

HEAD = "HTTP/1.1 {} X\r\nSpate-Protocol: {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n"
PACK = "application/vnd.spate.result"


def reply(status, body, kind="application/json", length=None, protocol=1):
    return HEAD.format(status, protocol, kind, len(body) if length is None else length).encode() + body


def u64(n):
    return b"\xcf" + struct.pack(">Q", n)


def record(*numbers):
    return bytes([0x90 | len(numbers)]) + b"".join(u64(n) for n in numbers)


def drip(c):
    """Byte by byte, and never all of it."""
    for b in reply(200, record(7, 0), PACK)[:-2]:
        c.sendall(bytes([b]))
        time.sleep(.05)


def endless(c):
    c.sendall(b"HTTP/1.1 200 OK\r\nSpate-Protocol: 1\r\nContent-Length: 99999999999\r\n\r\n")
    for _ in range(3000):
        c.sendall(b"\xc1" * 65536)


def no_end_of_headers(c):
    for i in range(20000):
        c.sendall(b"X-%d: %s\r\n" % (i, b"y" * 1000)) if i else c.sendall(b"HTTP/1.1 200 OK\r\n")


def state(version, name="w", id="00" * 16):
    return reply(200, b'{"workspace":"%s","id":"%s","version":%d,"protocol":1}' % (name.encode(), id.encode(), version))


def garbage(c):
    c.sendall(random.Random(7).randbytes(5000))


ANSWERS = {  # what is sent back, whatever was asked
    "nothing": lambda c: None,
    "garbage": garbage,
    "another_protocol": lambda c: c.sendall(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"),
    "status_500": lambda c: c.sendall(reply(500, b'{"code":"INTERNAL","message":"no"}')),
    "status_500_in_html": lambda c: c.sendall(reply(500, b"<html>Bad Gateway</html>", "text/html")),
    "status_503_retry_after_garbage": lambda c: c.sendall(
        b"HTTP/1.1 503 X\r\nRetry-After: soon\r\nSpate-Protocol: 1\r\nContent-Length: 0\r\n\r\n"),
    "status_200_empty": lambda c: c.sendall(reply(200, b"", PACK)),
    "status_200_html": lambda c: c.sendall(reply(200, b"<html>Welcome to the portal</html>", "text/html")),
    "status_200_json_nonsense": lambda c: c.sendall(reply(200, b'{"version":"many","id":[],"workspace":{}}')),
    "status_200_deep_json": lambda c: c.sendall(reply(200, b"[" * 60000)),
    "status_204": lambda c: c.sendall(b"HTTP/1.1 204 No Content\r\nSpate-Protocol: 1\r\n\r\n"),
    "status_999": lambda c: c.sendall(reply(999, b"")),
    "cut_reply": lambda c: c.sendall(reply(200, record(7, 0), PACK, length=4000)),
    "cut_in_the_status_line": lambda c: c.sendall(b"HTTP/1.1 20"),
    "wrong_messagepack": lambda c: c.sendall(reply(200, b"\xc1\xc1\xdf\xff\xff\xff\xff", PACK)),
    "messagepack_that_claims_4_billion": lambda c: c.sendall(reply(200, b"\xdd\xff\xff\xff\xff", PACK)),
    "outcomes_out_of_range": lambda c: c.sendall(reply(200, record(5, 1) + record(1 << 40, 1, 9, 9), PACK)),
    "version_7": lambda c: c.sendall(reply(200, record(7, 0), PACK)),
    "version_0": lambda c: c.sendall(reply(200, record(0, 0), PACK)),
    "version_of_64_bits": lambda c: c.sendall(reply(200, record((1 << 64) - 1, 0), PACK)),
    "trailing_garbage": lambda c: c.sendall(reply(200, record(7, 0) + b"\x00" * 100, PACK)),
    "newer_protocol": lambda c: c.sendall(reply(200, record(7, 0), PACK, protocol=99)),
    "state_with_a_version_of_minus_one": lambda c: c.sendall(state(-1)),
    "redirect_to_itself": lambda c: c.sendall(
        b"HTTP/1.1 307 X\r\nLocation: /\r\nSpate-Protocol: 1\r\nContent-Length: 0\r\n\r\n"),
    "missing_that_was_not_sent": lambda c: c.sendall(reply(
        422, b'{"code":"MANIFEST_INVALID","message":"x","missing":[{"index":99999,"hash":"zz"}]}')),
    "drip": drip,
    "endless": endless,
    "no_end_of_headers": no_end_of_headers,
}

# Well-formed: a daemon may believe them until it meets the hub that it knows.
BELIEVABLE = {"version_0", "version_of_64_bits", "version_7"}


class Liar:
    """Listens on @port; reads a request, sends one of ANSWERS, hangs up."""

    def __init__(self, port, kind):
        self.answer, self.asked = ANSWERS[kind], 0
        self.s = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                c, _ = self.s.accept()
            except OSError:
                return
            threading.Thread(target=self.one, args=(c,), daemon=True).start()

    def one(self, c):
        with c:
            try:
                if self.request(c):
                    self.asked += 1
                    self.answer(c)
                    c.shutdown(socket.SHUT_WR)
                    c.settimeout(5)
                    while c.recv(65536):
                        pass
            except OSError:
                pass

    def request(self, c):
        data = b""
        while b"\r\n\r\n" not in data:
            more = c.recv(65536)
            if not more:
                return False
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        left = 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                left = int(line.split(b":")[1]) - len(body)
        while left > 0:
            more = c.recv(65536)
            if not more:
                return False
            left -= len(more)
        return True

    def stop(self):
        self.s.shutdown(socket.SHUT_RDWR)
        self.s.close()


def write(path, data):
    with open(path, "w") as f:
        f.write(data)


def lines(w):
    return [line for line in open(w.log).read().splitlines() if " hub: " not in line]


def lied_to(w, watch, kind, i):
    """The hub has been replaced by a liar of this kind while there is work."""
    said = len(lines(w))
    liar = Liar(w.port, kind)
    try:
        write(f"{w.tree}/f{i}", kind)
        if kind not in BELIEVABLE:
            os.rename(f"{w.tree}/moved", f"{w.tree}/moving")
            os.rename(f"{w.tree}/moving", f"{w.tree}/moved{i}")
            os.mkdir(f"{w.tree}/moved")
        wait_for(lambda: liar.asked >= (1 if kind in BELIEVABLE else 2), f"{kind}: asked")
        check(watch.p.poll() is None, f"{kind}: the daemon died: {watch.p.poll()}")
        if kind not in BELIEVABLE:
            wait_for(lambda: w.status()["last_error"], f"{kind}: status does not say what is wrong")
            done = w.flush(code=None, timeout=1)
            check(not done["durable"], f"{kind}: durable on the word of a liar: {done}")
    finally:
        liar.stop()
    new = lines(w)[said:]
    check(len(new) <= 5, f"{kind}: {len(new)} lines of log for one trouble: {new[:8]}")


def cycle(kinds):
    with World() as w:
        hub = w.hub()
        os.mkdir(f"{w.tree}/moved")
        write(f"{w.tree}/moved/f", "f")
        watch = w.watch("--jobs", "2")
        version = w.flush()["version"]
        for i, kind in enumerate(kinds):
            hub.stop()
            lied_to(w, watch, kind, i)
            hub = w.hub()
            # A path that was blamed for what the liar said is tried again by and by.
            wait_for(lambda: w.flush(code=None)["durable"], f"{kind}: durable again")
            done = w.exact(kind)
            check(done["version"] > version, f"{kind}: version {done['version']} after {version}")
            version = done["version"]
        counters = w.status()["counters"]
        check(counters["conflicts"] == 0, f"false conflicts: {counters}")
        check(watch.stop() == 0, "drain")


KINDS = list(ANSWERS)
PARTS = 8


def a_start(kind):
    with World() as w:
        write(f"{w.tree}/f", "f")
        hub = w.hub()
        hub.stop()
        liar = Liar(w.port, kind)
        watch = w.watch(word="")
        wait_for(lambda: liar.asked >= 2, f"{kind}: two tries")
        check(watch.p.poll() is None, f"{kind}: the daemon ended: {watch.p.poll()}")
        liar.stop()
        w.hub()
        wait_for(lambda: w.run("status", w.tree, "--state", w.state, "--json", code=None).returncode == 0, kind)
        w.exact(kind)


def refused_then_moved(rounds):
    """The move is acknowledged after the new directory of that name was given up."""
    with World() as w:
        hub = w.hub()
        os.mkdir(f"{w.tree}/moved")
        write(f"{w.tree}/moved/f", "f")
        w.watch()
        w.flush()
        for i in range(rounds):
            hub.stop()
            liar = Liar(w.port, "endless")
            os.rename(f"{w.tree}/moved", f"{w.tree}/moved{i}")
            os.mkdir(f"{w.tree}/moved")
            wait_for(lambda: "moved" in [u["path"] for u in w.status()["unreadable"]], "the new one is refused")
            liar.stop()
            hub = w.hub()
            wait_for(lambda: w.flush(code=None)["durable"], "durable again")
            w.exact(f"round {i}")


def hostile_log(writer):
    """What a foreign server calls a writer is no command to the terminal."""
    with World() as w:
        liar = Liar(w.port, "nothing")
        body = b'{"workspace":"w","newest":1,"more":false,"versions":[{"version":1,"writer":"%s"}]}' % writer
        liar.answer = lambda c: c.sendall(reply(200, body))
        text = w.run("log", f"http://127.0.0.1:{liar.s.getsockname()[1]}/w").stdout
        liar.stop()
        check(text.endswith("by ?\n") and text[:-1].isprintable(), repr(text))


def case(name, f, arg):
    """Side by side, since they mostly wait for the next try."""
    name = f"U8_{name}"
    future = pool.submit(f, arg) if len(sys.argv) < 2 or name in sys.argv else None

    def test():
        future.result()

    test.__name__ = name
    return test


pool = ThreadPoolExecutor(PARTS)
main([case(f"a_hub_that_answers_wrongly_part_{k + 1}", cycle, KINDS[k::PARTS]) for k in range(PARTS)] +
     [case(f"a_start_with_a_hub_that_answers_wrongly_{kind}", a_start, kind)
      for kind in ("garbage", "status_500", "status_200_html", "wrong_messagepack", "cut_reply")] +
     [case("a_log_does_not_command_the_terminal", hostile_log, rb"\u001b[2Jx\u0007")] +
     [case("a_name_that_was_refused_is_not_forgotten_when_what_had_it_has_moved", refused_then_moved, 2)])
