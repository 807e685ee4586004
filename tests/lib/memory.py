# SPDX-License-Identifier: MIT
"""memory.py - what processes use at most while something goes on."""
import threading


def anon_bytes(pid):
    """Memory that is the process's own: Pss_Anon and Pss_Shmem."""
    total = 0
    with open(f"/proc/{pid}/smaps_rollup") as f:
        for line in f:
            if line.startswith(("Pss_Anon:", "Pss_Shmem:")):
                total += int(line.split()[1]) << 10
    return total


class Peak(threading.Thread):
    """The most memory of each process, sampled each 20 ms."""

    def __init__(self, *pids):
        super().__init__(daemon=True)
        self.first = {pid: anon_bytes(pid) for pid in pids}
        self.most = dict(self.first)
        self.over = threading.Event()
        self.start()

    def run(self):
        while not self.over.wait(0.02):
            for pid in self.most:
                try:
                    self.most[pid] = max(self.most[pid], anon_bytes(pid))
                except OSError:
                    return  # it has ended

    def grown(self):
        """Bytes each process grew by, at most; ends the sampling."""
        self.over.set()
        self.join()
        return [self.most[pid] - self.first[pid] for pid in self.most]
