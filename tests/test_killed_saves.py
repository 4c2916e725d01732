#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A training that saves all the time is killed again and again, as a whole or one rank of it, and
started again: the newest checkpoint is always whole, none is lost but the one that was being
written, and in the end all losses are those of a training that was never stopped.

    tests/test_killed_saves.py build/palimpsest [--kills=20] [MPIRUN...]
"""
import glob
import os
import random
import re
import signal
import sys
import time

import runs
from job import Job

# Large enough that a save takes some time, small enough that many updates are made.
CONFIG = {"model.width": "64", "model.heads": "4", "model.feed_forward": "64",
          "model.memory": "256", "model.compressed_memory": "128", "model.dropout": "0.1",
          "batch.rows": "4", "train.decay": "100000", "train.warmup": "5",
          "train.log_every": "1000000", "checkpoint.every": "1"}
ENDLESS = ("--set", "train.updates=100000000")
# Ways to save, one kill after another.
WAYS = (("checkpoint.async=true",), ("checkpoint.async=false",),
        ("checkpoint.async=false", "checkpoint.transfer=collective"))


def sets(assignments):
    return [word for assignment in assignments for word in ("--set", assignment)]


def latest(folder):
    """The update of the newest checkpoint that has its name; 0 before the first."""
    steps = glob.glob(os.path.join(folder, "checkpoints", "step-*.h5"))
    return max((int(os.path.basename(path)[len("step-"):-len(".h5")]) for path in steps),
               default=0)


def left_over(folder):
    """What stands beside the checkpoints."""
    return [name for name in os.listdir(os.path.join(folder, "checkpoints"))
            if name != "latest" and not re.fullmatch(r"step-\d{8}\.h5", name)]


def saving(folder):
    return glob.glob(os.path.join(folder, "checkpoints", "*.part"))


class Killing:
    def __init__(self, test, ranks, config, folder):
        self.test, self.ranks, self.config, self.folder = test, ranks, config, folder
        self.name = f"{ranks} ranks"
        self.during_saves = 0

    def wait_for(self, job, wanted):
        if not job.wait_for(wanted):
            self.test.check(False, f"{self.name}: no save to be killed in: {job.printed()[-1000:]}")

    def kill_once(self, way, whole):
        """-> the newest checkpoint just before the kill"""
        job = Job(self.test, self.ranks, "train", self.config, "--run", self.folder, *ENDLESS,
                  *sets(way))
        before = latest(self.folder)
        self.wait_for(job, lambda: latest(self.folder) > before)
        time.sleep(random.uniform(0.0, 0.05))
        if random.random() < 0.8:
            self.wait_for(job, lambda: saving(self.folder))
            time.sleep(random.uniform(0.0, 0.01))
        newest = latest(self.folder)
        self.during_saves += bool(saving(self.folder))
        if whole:
            job.kill()
        else:
            job.signal(signal.SIGKILL, alone=True)
        job.end(20)
        return newest

    def check_after(self, newest, what):
        found = latest(self.folder)
        self.test.check(found >= newest, f"{what}: {newest} was there, {found} is")
        out = self.test.program(1, "verify", os.path.join(self.folder, "checkpoints",
                                                         f"step-{found:08d}.h5"))
        self.test.check("whole" in out, f"{what}: the newest checkpoint")

    def run(self, kills):
        for number in range(kills):
            way = WAYS[number % len(WAYS)]
            whole = self.ranks == 1 or number % 2 == 0
            newest = self.kill_once(way, whole)
            self.check_after(newest, f"{self.name}, kill {number}")
        self.check_end()

    def check_end(self):
        """Started once more it goes on to an end, and all its losses are those of a run that was
        never stopped."""
        end = latest(self.folder) + 3
        length = ("--set", f"train.updates={end}")
        self.test.program(self.ranks, "train", self.config, "--run", self.folder, *length)
        straight = self.folder + ".straight"
        self.test.program(self.ranks, "train", self.config, "--run", straight, *length, "--set",
                          "checkpoint.every=0")
        left = left_over(self.folder)
        self.test.check(not left, f"{self.name}: {left} is left over")
        self.test.check_same_bits(f"{self.name}, {end} updates", runs.Run(self.test, self.folder),
                                  runs.Run(self.test, straight))


def main():
    kills = 20
    for argument in sys.argv[2:]:
        if argument.startswith("--kills="):
            kills = int(argument[len("--kills="):])
            sys.argv.remove(argument)
    test = runs.Test({**runs.TEXT, "train": [9000, 3700, 6100, 500, 12000, 4400]})
    shapes = {1: {}, 2: {"parallel.tensor": "2"}, 3: {"parallel.data": "3"}}
    shares = {1: kills // 4, 2: kills - kills // 4 - kills // 4, 3: kills // 4}
    random.seed(1)
    saves = 0
    for ranks, shape in shapes.items():
        config = os.path.join(test.folder, f"{ranks}.ini")
        runs.write_config(config, {**runs.TINY, **CONFIG, "data.path": test.data, **shape})
        killing = Killing(test, ranks, config, os.path.join(test.folder, f"on.{ranks}"))
        killing.run(shares[ranks])
        saves += killing.during_saves
    print(f"{kills} kills, {saves} of them while a checkpoint was being written")
    test.check(saves >= kills // 3, "too few kills met a save")
    return test.finish()


if __name__ == "__main__":
    runs.start(main)
