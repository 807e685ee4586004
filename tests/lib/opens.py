# SPDX-License-Identifier: MIT
"""opens.py - who opens a file is seen by inotify, also when it is done through io_uring."""
import ctypes, os, struct

libc = ctypes.CDLL(None, use_errno=True)
IN_OPEN, IN_Q_OVERFLOW, IN_NONBLOCK = 0x20, 0x4000, 0o4000


class Opens:
    """Watches the files themselves, not their directories: a listing is not an open of theirs."""

    def __init__(self, paths):
        self.fd = libc.inotify_init1(IN_NONBLOCK)
        self.paths = {}
        for path in paths:
            wd = libc.inotify_add_watch(self.fd, os.fsencode(path), IN_OPEN)
            if wd < 0:
                raise OSError(ctypes.get_errno(), "inotify_add_watch", path)
            self.paths[wd] = path

    def seen(self):
        """The files opened since the last call, in order."""
        out = []
        while True:
            try:
                data = os.read(self.fd, 1 << 16)
            except BlockingIOError:
                return out
            at = 0
            while at < len(data):
                wd, mask, _, n = struct.unpack_from("iIII", data, at)
                at += 16 + n
                out.append("more than were kept" if mask & IN_Q_OVERFLOW else self.paths[wd])

    def close(self):
        os.close(self.fd)
