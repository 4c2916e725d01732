# SPDX-License-Identifier: Apache-2.0
"""The program, going on in the background, for tests that stop and kill it."""
import os
import random
import signal
import subprocess
import tempfile
import time

import runs

STOPPED = 75  # exit status


def waits_for_signals(pid):
    """One of its threads does, all have them blocked."""
    with open(f"/proc/{pid}/status") as file:
        blocked = next((line for line in file if line.startswith("SigBlk")), "SigBlk: 0")
    return bool(int(blocked.split()[1], 16) >> (signal.SIGUSR1 - 1) & 1)


class Job:
    def __init__(self, test, ranks, *arguments):
        self.test, self.ranks = test, ranks
        launcher = [] if ranks == 1 else [*test.launcher, "-n", str(ranks)]
        self.out = tempfile.TemporaryFile()
        self.process = subprocess.Popen([*launcher, test.binary, *arguments],
                                        stdin=subprocess.DEVNULL, stdout=self.out, stderr=self.out)

    def pids(self):
        """Of the ranks."""
        if self.ranks == 1:
            return [self.process.pid]
        found = subprocess.run(["pgrep", "-P", str(self.process.pid)], stdout=subprocess.PIPE)
        return [int(word) for word in found.stdout.split()]

    def listens(self):
        """Every rank has begun to heed signals."""
        pids = self.pids()
        return len(pids) == self.ranks and all(map(self.heeds, pids))

    def heeds(self, pid):
        """It is the program (no longer the launcher that forked it), and waits for signals."""
        try:
            return (os.path.samefile(f"/proc/{pid}/exe", self.test.binary)
                    and waits_for_signals(pid))
        except OSError:
            return False

    def wait_for(self, wanted):
        """-> whether it came before the job ended"""
        limit = time.monotonic() + runs.SECONDS
        while self.process.poll() is None and time.monotonic() < limit:
            if wanted():
                return True
            time.sleep(0.001)
        return False

    def signal(self, number, alone=False):
        """To all ranks, or to any one of them."""
        pids = self.pids()
        self.send(number, [random.choice(pids)] if alone and pids else pids)

    def kill(self):
        """All ranks, of which mpirun gives each a process group of its own, and mpirun."""
        self.send(signal.SIGKILL, [*self.pids(), self.process.pid])

    @staticmethod
    def send(number, pids):
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def end(self, seconds=60):
        """-> status, everything that was printed"""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.test.check(False, f"still running {seconds} s after it should have ended")
            self.kill()
            self.process.wait()
        return self.process.returncode, self.printed()

    def printed(self):
        self.out.seek(0)
        return self.out.read().decode(errors="replace")
