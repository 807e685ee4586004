# SPDX-License-Identifier: MIT
"""proxy.py - an HTTP proxy between a client and a hub that misbehaves by request, seeded.

FAULTS maps a name to a function of an Exchange: one request of a client, with the ways to forward and to answer it.
A connection is kept alive on both sides as long as a fault leaves it whole.
"""
import collections, email.utils, random, socket, struct, threading, time

FAULTS = {}
TROUBLE = OSError, ValueError


def fault(f):
    FAULTS[f.__name__] = f
    return f


class Closed(Exception):
    """Nothing more is to be done with this connection of the client."""


class Stream:
    """A socket that is read by whole HTTP messages."""

    def __init__(self, s):
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.s, self.data = s, b""

    def fill(self):
        part = self.s.recv(1 << 18)
        if not part:
            raise ConnectionError("the end")
        self.data += part

    def message(self, bodyless=False):
        """(head with its empty line, body)"""
        while b"\r\n\r\n" not in self.data:
            self.fill()
        head, _, rest = self.data.partition(b"\r\n\r\n")
        n = 0
        for line in head.split(b"\r\n")[1:]:
            if line.lower().startswith(b"content-length:"):
                n = 0 if bodyless else int(line.split(b":")[1])
        parts, got = [rest], len(rest)
        self.data = b""
        while got < n:
            parts.append(self.s.recv(1 << 18))
            if not parts[-1]:
                raise ConnectionError("the end")
            got += len(parts[-1])
        body = b"".join(parts)
        body, self.data = body[:n], body[n:]
        return head + b"\r\n\r\n", body

    def reset(self):
        """RST instead of FIN."""
        self.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self):
        # A thread that reads it keeps the descriptor; both directions end all the same.
        try:
            self.s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.s.close()


class Exchange:
    """A request between a client and the hub."""

    def __init__(self, proxy, client, up, head, body):
        self.proxy, self.client, self.up = proxy, client, up
        self.head, self.body = head, body
        self.r = proxy.random()

    def hub(self):
        if not self.up.get("hub"):
            self.up["hub"] = Stream(socket.create_connection(("127.0.0.1", self.proxy.target), 60))
        return self.up["hub"]

    def hang_up_hub(self):
        if self.up.get("hub"):
            self.up.pop("hub").close()

    def forward(self):
        """(head, body) of the hub's reply. A connection that the hub has ended meanwhile is made again."""
        for last in (False, True):
            fresh = not self.up.get("hub")
            try:
                hub = self.hub()
                hub.s.sendall(self.head + self.body)
                reply = hub.message(bodyless=self.head.startswith(b"HEAD"))
                break
            except TROUBLE:
                self.hang_up_hub()
                if fresh or last:
                    raise Closed
        if b"\r\nconnection: close\r\n" in reply[0].lower():
            self.hang_up_hub()
        return reply

    def answer(self, head, body=b""):
        self.client.s.sendall(head + body)
        if b"\r\nconnection: close\r\n" in head.lower():
            raise Closed

    def say(self, status, *headers, body=b"", kind="application/json"):
        lines = [f"HTTP/1.1 {status} X", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *headers, "", ""]
        self.answer("\r\n".join(lines).encode(), body)


def with_length(head, n):
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"content-length:")]
    return b"\r\n".join([lines[0], b"Content-Length: %d" % n, *lines[1:]])


# --- faults ---------------------------------------------------------------------------------------

@fault
def delay(x):
    time.sleep(x.r.random() * .3)
    x.answer(*x.forward())


@fault
def drop_request(x):
    raise Closed


@fault
def drop_reply(x):
    x.forward()
    raise Closed


@fault
def duplicate(x):
    """As a proxy does that tries again by itself; the second reply counts."""
    x.forward()
    x.answer(*x.forward())


@fault
def duplicate_later(x):
    """The copy of a request that was lost on its way comes when everybody has gone on."""
    x.answer(*x.forward())
    late = Exchange(x.proxy, None, {}, x.head, x.body)

    def send():
        time.sleep(x.r.random() * .5)
        try:
            late.forward()
        except Closed:
            pass
        late.hang_up_hub()
    threading.Thread(target=send, daemon=True).start()


@fault
def cut_reply(x):
    head, body = x.forward()
    whole = head + body
    x.client.s.sendall(whole[:x.r.randrange(len(whole))])
    raise Closed


@fault
def cut_request(x):
    whole = x.head + x.body
    x.hub().s.sendall(whole[:x.r.randrange(len(whole))])
    x.hang_up_hub()
    raise Closed


@fault
def reset(x):
    if x.r.random() < .5:
        x.forward()
    x.client.reset()
    raise Closed


@fault
def reset_hub(x):
    whole = x.head + x.body
    x.hub().s.sendall(whole[:x.r.randrange(len(whole) + 1)])
    x.up.pop("hub").reset()
    raise Closed


@fault
def busy(x):
    """408, 425, 429, 500, 502, 503, 504 before or after the hub saw it, with and without a time to come back."""
    if x.r.random() < .5:
        x.forward()
    date = email.utils.formatdate(time.time() + x.r.randrange(-3, 2), usegmt=True)
    when = x.r.choice([[], ["Retry-After: 1"], ["Retry-After: 0"], [f"Retry-After: {date}"], ["Retry-After: soon"]])
    x.say(x.r.choice([408, 425, 429, 500, 502, 503, 504]), *when, body=b'{"code":"BUSY","message":"later"}')


@fault
def html(x):
    page = b"<html><title>502</title>" + b"<p>Bad Gateway</p>" * x.r.choice([1, 5000])
    x.say(x.r.choice([500, 502, 503]), body=page, kind="text/html")


@fault
def portal(x):
    """A 200 of something that is not the hub."""
    x.say(200, body=b"<html>Please accept our terms</html>", kind="text/html")


@fault
def redirect(x):
    x.say(x.r.choice([301, 302, 307, 308]), "Location: http://127.0.0.1:1/elsewhere")


@fault
def length_too_long(x):
    head, body = x.forward()
    x.client.s.sendall(with_length(head, len(body) + x.r.randrange(1, 5000)) + body)
    raise Closed


@fault
def length_too_short(x):
    """What is left over stands before the next reply, if somebody waits for one."""
    head, body = x.forward()
    x.answer(with_length(head, x.r.randrange(len(body)) if body else 0), body)


@fault
def garbage(x):
    if x.r.random() < .5:
        x.forward()
    x.client.s.sendall(x.r.randbytes(x.r.randrange(1, 3000)))
    raise Closed


@fault
def drip(x):
    head, body = x.forward()
    whole = head + body
    step = max(1, len(whole) // 40)
    for at in range(0, len(whole), step):
        x.client.s.sendall(whole[at:at + step])
        time.sleep(.01)


@fault
def continues(x):
    """Replies before the reply that say nothing."""
    for _ in range(x.r.randrange(1, 4)):
        x.client.s.sendall(x.r.choice([b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 102 Processing\r\nX: y\r\n\r\n"]))
    x.answer(*x.forward())


@fault
def empty(x):
    if x.r.random() < .5:
        x.forward()
    x.say(x.r.choice([200, 200, 204]), "Spate-Protocol: 1")


@fault
def stall(x):
    """Says nothing for a while, before or after the hub saw it, and hangs up."""
    if x.r.random() < .5:
        x.forward()
    time.sleep(.5 + x.r.random())
    raise Closed


@fault
def refuse(x):
    """Nobody listens for a while, and all connections are gone."""
    x.proxy.leave(.2 + x.r.random() * .5)
    raise Closed


@fault
def keep(x):
    """A commit is on its way until somebody lets it through, whatever becomes of its sender."""
    if b"/bulk" not in x.head.split(b"\r\n")[0]:
        return x.proxy.pass_on(x)
    x.proxy.kept.append(x)
    x.proxy.let_go.wait(60)
    raise Closed


@fault
def swap(x):
    """The last reply to a request of the same kind, whoever's it was, and whether the hub sees this one or not."""
    other = x.proxy.last_reply(x.head)
    if not other or x.r.random() < .5:
        reply = x.forward()
    x.answer(*(other or reply))


# --- the proxy ------------------------------------------------------------------------------------

class Proxy:
    """A port before the hub's. Without faults it passes everything on, replies @late seconds later."""

    def __init__(self, target, seed=1, late=0):
        self.target, self.late = target, late
        self.mu = threading.Lock()
        self.r = random.Random(seed)
        self.names, self.rate = [], 0
        self.limit = None  # most bytes of a request's body
        self.largest = 0  # body that was passed on, in bytes
        self.injected = collections.Counter()
        self.requests = 0
        self.in_flight = self.in_flight_max = 0
        self.kept, self.let_go = [], threading.Event()
        self.replies = {}  # the last one passed on, by kind of request
        self.streams = set()
        self.over = False
        self.port = 0
        self.listen()

    def listen(self):
        self.s = socket.create_server(("127.0.0.1", self.port), backlog=128)
        self.port = self.s.getsockname()[1]
        threading.Thread(target=self.serve, args=(self.s,), daemon=True).start()

    def random(self):
        with self.mu:
            return random.Random(self.r.random())

    def set(self, names, rate):
        """From now on a request meets one of these with this probability."""
        with self.mu:
            self.names, self.rate = list(names), rate

    def calm(self):
        self.set([], 0)

    def let_through(self):
        """What was kept arrives. (head, body) of each reply, which nobody waits for any more."""
        late = [Exchange(self, None, {}, x.head, x.body) for x in self.kept]
        replies = [x.forward() for x in late]
        for x in late:
            x.hang_up_hub()
        self.let_go.set()
        return replies

    def hang_up(self, s):
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        s.close()

    def leave(self, seconds):
        """Refuse connections for a while; one absence at a time."""
        with self.mu:
            if self.s is None:
                return
            s, self.s = self.s, None
            streams = list(self.streams)
        self.hang_up(s)
        for stream in streams:
            stream.reset()
        time.sleep(seconds)
        with self.mu:
            if not self.over:
                self.listen()

    def close(self):
        with self.mu:
            self.over = True
            s, self.s = self.s, None
            streams = list(self.streams)
        if s:
            self.hang_up(s)
        for stream in streams:
            stream.close()

    def serve(self, s):
        while True:
            try:
                c, _ = s.accept()
            except OSError:
                return
            threading.Thread(target=self.talk, args=(Stream(c),), daemon=True).start()

    def talk(self, client):
        up = {}
        with self.mu:
            self.streams.add(client)
        try:
            while True:
                self.one(client, up)
        except (Closed, *TROUBLE):
            pass
        finally:
            with self.mu:
                self.streams.discard(client)
            client.close()
            if up.get("hub"):
                up["hub"].close()

    def choose(self, body):
        with self.mu:
            self.requests += 1
            self.in_flight += 1
            self.in_flight_max = max(self.in_flight_max, self.in_flight)
            if self.limit is not None and len(body) > self.limit:
                self.injected["limit"] += 1
                return lambda x: x.say(413, body=b"<html>Request Entity Too Large</html>", kind="text/html")
            if self.names and self.r.random() < self.rate:
                name = self.r.choice(self.names)
                self.injected[name] += 1
                return FAULTS[name]
            self.largest = max(self.largest, len(body))
        return self.pass_on

    def last_reply(self, head, reply=None):
        method, target = head.split(b" ")[:2]
        kind = target.rsplit(b"/", 1)[1] if method == b"POST" else None
        if kind and reply:
            self.replies[kind] = reply
        return self.replies.get(kind)

    def pass_on(self, x):
        reply = x.forward()
        self.last_reply(x.head, reply)
        time.sleep(self.late)
        x.answer(*reply)

    def one(self, client, up):
        x = Exchange(self, client, up, *client.message())
        do = self.choose(x.body)
        try:
            do(x)
        finally:
            with self.mu:
                self.in_flight -= 1


class Link:
    """A slow link to a hub: what a client sends arrives at so many bytes a second. Counts them."""

    def __init__(self, target, bytes_s):
        self.target, self.bytes_s, self.sent = target, bytes_s, 0
        self.s = socket.socket()
        self.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)  # of a link that holds little
        self.s.bind(("127.0.0.1", 0))
        self.s.listen(64)
        self.port = self.s.getsockname()[1]
        self.turn = threading.Lock()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.s.accept()
            except OSError:
                return
            try:
                hub = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                client.close()
                continue
            for a, b, slow in (client, hub, True), (hub, client, False):
                threading.Thread(target=self.carry, args=(a, b, slow), daemon=True).start()

    def carry(self, a, b, slow):
        try:
            while part := a.recv(1 << 13 if slow else 1 << 16):
                if slow and self.bytes_s:
                    with self.turn:  # all connections share it
                        time.sleep(len(part) / self.bytes_s)
                        self.sent += len(part)
                elif slow:
                    self.sent += len(part)
                b.sendall(part)
        except OSError:
            pass
        for s in a, b:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.s.close()
