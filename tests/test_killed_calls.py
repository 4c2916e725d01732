#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A run that is killed at each call that renames, removes or cuts a file in its folder, or makes a
folder or link there (not: that creates or writes a file): while it saves and removes old
checkpoints, goes back over bad updates, or begins a branch at an older checkpoint. The next start
goes on with the bits of a run that was not killed; every update, and every return to a checkpoint,
stands once in the metrics; and what is called a checkpoint is one of the run's own.

    tests/test_killed_calls.py build/palimpsest
"""
import os
import re
import shutil
import signal
import subprocess
import sys

import runs
from test_bad_steps import BASE, spoilt

SHIM = os.path.join(os.path.dirname(os.path.abspath(sys.argv[1])), "tests", "libkilled_calls.so")
UPDATES, EVERY = 8, 2
MOST_CALLS = 200  # more than any of these runs makes


class Killing:
    """One way to start, killed at one call after another."""

    def __init__(self, test, name, config):
        self.test, self.name, self.config, self.calls = test, name, config, 0
        self.folder = os.path.join(test.folder, name)

    def start(self, *more, call=None):
        """-> its status, killed at this call"""
        environment = dict(os.environ)
        if call is not None:
            environment.update(LD_PRELOAD=SHIM, KILLED_FOLDER=self.folder, KILLED_CALL=str(call))
        done = subprocess.run([self.test.binary, "train", self.config, "--run", self.folder, *more],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, env=environment, timeout=runs.SECONDS)
        if done.returncode not in (0, -signal.SIGKILL):
            print(done.stdout.decode(errors="replace")[-2000:])
        return done.returncode

    def at_each(self, before, *more):
        """After each kill, until there is no such call any more. before: puts the folder there."""
        for call in range(MOST_CALLS):
            shutil.rmtree(self.folder, ignore_errors=True)
            before(self.folder)
            status = self.start(*more, call=call)
            what = f"{self.name}, call {call}"
            if status != -signal.SIGKILL:
                self.test.check(status == 0, f"{what}: status {status}")
                break
            self.calls += 1
            yield what, runs.Run(self.test, self.folder)
        self.test.check(self.calls > 5, f"{self.name}: only {self.calls} calls")
        print(f"{self.name}: killed at {self.calls} calls", flush=True)


def names(run):
    return sorted(os.listdir(os.path.join(run.folder, "checkpoints")))


def losses(run):
    return [(line["update"], line["loss"]) for line in run.metrics("train")]


def check_same(test, what, run, straight):
    test.check(run.metrics("rewind") == straight.metrics("rewind"), f"{what}: rewinds")
    test.check_same_bits(what, run, straight)
    left = [name for name in names(run) if not re.fullmatch(r"latest|step-\d{8}\.h5", name)
            and not name.endswith(".rewound")]
    test.check(left == [], f"{what}: {left} in the folder")


def check_going_on(test, name, changes, bad):
    """Saving, removing, going back."""
    config = os.path.join(test.folder, name + ".ini")
    runs.write_config(config, {**runs.TINY, **BASE, "data.path": test.data,
                               "train.updates": str(UPDATES), "checkpoint.every": str(EVERY),
                               "checkpoint.async": "false", "checkpoint.keep": "2", **changes})
    with spoilt(*bad):
        test.program(1, "train", config, "--run", "straight." + name)
        straight = runs.Run(test, os.path.join(test.folder, "straight." + name))
        killing = Killing(test, name, config)
        for what, run in killing.at_each(lambda folder: None):
            test.check(killing.start() == 0, f"{what}: the next start")
            check_same(test, what, run, straight)
    return straight


def check_branch(test):
    """The run has 8 updates; a branch begins at the fourth. Killed, the folder still holds the old
    run, or what is there of it up to the fourth update; and goes on to its own losses."""
    config = os.path.join(test.folder, "branch.ini")
    runs.write_config(config, {**runs.TINY, **BASE, "data.path": test.data,
                               "train.updates": str(UPDATES), "checkpoint.every": str(EVERY)})
    old = os.path.join(test.folder, "old")
    test.program(1, "train", config, "--run", old)
    before = {name: open(os.path.join(old, "checkpoints", name), "rb").read()
              for name in names(runs.Run(test, old)) if name != "latest"}
    test.program(1, "train", config, "--run", "longer", "--set", f"train.updates={UPDATES + 2}")
    longer = runs.Run(test, os.path.join(test.folder, "longer"))

    killing = Killing(test, "branch", config)
    older = os.path.join(killing.folder, "checkpoints", "step-00000004.h5")
    branch = ("--resume", older, "--set", "train.lr_peak=1e-3", "--set", "train.updates=4")
    for what, run in killing.at_each(lambda folder: shutil.copytree(old, folder, symlinks=True),
                                     *branch):
        kept = {re.sub(r"\.left$", "", name):
                open(os.path.join(run.folder, "checkpoints", name), "rb").read()
                for name in names(run) if name.startswith("step-")}
        test.check(kept == before, f"{what}: a checkpoint is lost")
        test.check(killing.start("--set", f"train.updates={UPDATES + 2}") == 0, f"{what}: goes on")
        test.check(losses(run) == losses(longer), f"{what}: every loss once")

    # Twice from the same one: what the first branch has saved does not replace what the run had.
    shutil.rmtree(killing.folder)
    shutil.copytree(old, killing.folder, symlinks=True)
    for rate in ("1e-3", "2e-3"):
        test.program(1, "train", config, "--run", killing.folder, "--resume", older, "--set",
                     f"train.lr_peak={rate}")
    run = runs.Run(test, killing.folder)
    for update in range(6, UPDATES + 1, EVERY):
        name = f"step-{update:08d}.h5"
        files = [name, name + ".left", name + ".left.2"]
        test.check(set(files) <= set(names(run)), f"branches: {names(run)}")
        with open(os.path.join(run.folder, "checkpoints", name + ".left"), "rb") as file:
            test.check(file.read() == before[name], f"branches: {name}.left is the first one")


def check_overtaken(test):
    """A start that was stopped when it had looked for checkpoints, and goes on when another run has
    been through in its folder."""
    config, folder = os.path.join(test.folder, "branch.ini"), os.path.join(test.folder, "overtaken")
    arguments = ["train", config, "--run", folder]
    environment = {**os.environ, "LD_PRELOAD": SHIM, "KILLED_FOLDER": folder, "KILLED_CALL": "0",
                   "KILLED_SIGNAL": str(int(signal.SIGSTOP))}
    late = subprocess.Popen([test.binary, *arguments, "--resume", "none"], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment)
    _, what = os.waitpid(late.pid, os.WUNTRACED)
    test.check(os.WIFSTOPPED(what), f"overtaken: status {what}")
    test.program(1, *arguments)
    run = runs.Run(test, folder)
    before = (losses(run), names(run))
    late.send_signal(signal.SIGCONT)
    said = late.communicate(timeout=runs.SECONDS)[0].decode(errors="replace")
    test.check(late.returncode == 72, f"overtaken: status {late.returncode}: {said}")
    test.check("another run has changed the checkpoints" in said, f"overtaken: {said}")
    test.check((losses(run), names(run)) == before, "overtaken: the folder is as it was")


def main():
    if not os.path.exists(SHIM):
        print(f"skipped: kills at single calls; {SHIM} is not built")
        return 77
    test = runs.Test()
    check_going_on(test, "saves", {}, (1000,))
    straight = check_going_on(test, "rewinds", {"checkpoint.every": "4", "train.max_skips": "2"},
                              (5, 0, 2))
    test.check(len(straight.metrics("rewind")) > 0, "rewinds: none")
    check_branch(test)
    check_overtaken(test)
    return test.finish()


if __name__ == "__main__":
    runs.start(main)
