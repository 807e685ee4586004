# SPDX-License-Identifier: MIT
"""slow.py - a proxy that makes a hub answer late."""
import socket, threading, time


class Slow:
    """Passes bytes on; those of the hub `delay` seconds late."""

    def __init__(self, port, delay):
        self.target, self.delay = port, delay
        self.s = socket.create_server(("127.0.0.1", 0))
        self.port = self.s.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                c, _ = self.s.accept()
                t = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                return
            threading.Thread(target=self.pump, args=(c, t, 0), daemon=True).start()
            threading.Thread(target=self.pump, args=(t, c, self.delay), daemon=True).start()

    def pump(self, a, b, delay):
        try:
            while data := a.recv(65536):
                time.sleep(delay)
                b.sendall(data)
        except OSError:
            pass
        for k in (a, b):
            try:
                k.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
