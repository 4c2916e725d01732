#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Requests to stop, by a signal to all ranks or to one of them and by time limits, met at start-up,
in updates, in evaluations and in saves: the program ends with status 75 and a checkpoint, and a
training that was stopped again and again has the bits of one that never was.

    tests/test_stopping.py build/palimpsest [--stops=9] [MPIRUN...]

With few stops only three ranks are stopped.
"""
import json
import os
import random
import shutil
import signal
import sys
import time

import runs
from job import STOPPED, Job

EVERY = 2  # updates, between evaluations
# Evaluations and saves that last a while, and short updates.
CONFIG = {"model.width": "32", "model.heads": "4", "model.memory": "128", "model.dropout": "0.1",
          "batch.rows": "4", "train.warmup": "5", "train.decay": "1000", "train.updates": "60",
          "train.evaluate_every": str(EVERY), "checkpoint.every": "3", "train.log_every": "1000"}


def is_evaluating(folder):
    """The last line tells of an update after which is evaluated."""
    try:
        with open(os.path.join(folder, "metrics.jsonl")) as file:
            line = json.loads(file.read().splitlines()[-1])
    except (OSError, IndexError, ValueError):
        return False
    return line["kind"] == "train" and line["update"] % EVERY == 0


def is_ready(folder):
    """All is created and what follows are updates."""
    try:
        with open(os.path.join(folder, "log.txt")) as file:
            return "model: " in file.read()
    except OSError:
        return False


def is_saving(folder):
    place = os.path.join(folder, "checkpoints")
    return os.path.isdir(place) and any(name.endswith(".part") for name in os.listdir(place))


# Where a request comes: what has to be seen first, and seconds that may pass after it.
MOMENTS = {
    "start-up": (lambda folder: True, 0.3),
    "updates": (lambda folder: not is_evaluating(folder), 0.02),
    "evaluation": (is_evaluating, 0.01),
    "save": (is_saving, 0.002),
}
SIGNALS = (signal.SIGUSR1, signal.SIGTERM)


def check_stopped_run(test, ranks, shape, options, most):
    name = f"{ranks} ranks, {' '.join(options)}"
    changes = {**CONFIG, "data.path": test.data, **shape}
    if most < 9:  # where all is slow
        changes.update({"train.updates": "16", "model.window": "64", "model.memory": "64",
                        "model.width": "8", "model.heads": "2"})
    config = os.path.join(test.folder, f"stopped.{ranks}.ini")
    folder = os.path.join(test.folder, f"stopped.{ranks}")
    runs.write_config(config, {**runs.TINY, **changes})
    moments, stops, log = list(MOMENTS), 0, ""
    for number in range(40):
        moment, patience = MOMENTS[moments[number % len(moments)]]
        job = Job(test, ranks, "train", config, "--run", folder, *options)
        if job.wait_for(job.listens) and job.wait_for(lambda: moment(folder)):
            time.sleep(random.uniform(0.0, patience))
            job.signal(SIGNALS[number // len(moments) % 2], alone=number % 3 == 0)
        status, out = job.end()
        log += out
        if status == 0:
            break
        test.check(status == STOPPED, f"{name}: status {status}: {out[-3000:]}")
        test.check("with a checkpoint: SIG" in out, f"{name}: it says why it stops: {out[-3000:]}")
        stops += 1
        if stops >= most:
            test.program(ranks, "train", config, "--run", folder, *options)
            break
    else:
        test.check(False, f"{name}: does not come to an end")
    test.check(stops >= 2 * most // 3, f"{name}: stopped only {stops} times")
    if stops >= len(moments):
        test.check("tokens: SIG" in log, f"{name}: no evaluation was stopped")

    straight = test.train(f"straight.{ranks}", changes, ranks)
    stopped = runs.Run(test, folder)
    test.check_same_bits(name, stopped, straight)
    for key in ("update", "nats", "tokens"):
        test.check([line[key] for line in stopped.metrics("evaluate")] ==
                   [line[key] for line in straight.metrics("evaluate")],
                   f"{name}: {key} of evaluations")
    print(f"{name}: stopped {stops} times")


def check_second_request(test):
    """Whoever cannot wait sends SIGTERM again. And many signals do no harm to what is computed."""
    folder = os.path.join(test.folder, "impatient")
    job = Job(test, 1, "train", os.path.join(test.folder, "stopped.1.ini"), "--run", folder,
              "--set", "train.updates=1", "--set", "train.update_every=4096",
              "--set", "batch.rows=64", "--set", "model.layers=24")
    job.wait_for(lambda: is_ready(folder))
    time.sleep(0.5)  # it is in its update, which takes half a minute
    for _ in range(2000):
        job.signal(signal.SIGUSR1)
        time.sleep(0.0005)
    for _ in range(2):  # from the batch system and the launcher
        job.signal(signal.SIGTERM)
        time.sleep(0.05)
    time.sleep(2.5)
    test.check(job.process.poll() is None, "the first SIGTERM waits for the update")
    job.signal(signal.SIGTERM)
    status, out = job.end()
    test.check(status == -signal.SIGTERM, f"second SIGTERM: status {status}: {out[-3000:]}")


def check_evaluate(test):
    """evaluate stops too, and leaves nothing."""
    run = os.path.join(test.folder, "straight.1")
    losses = os.path.join(test.folder, "stopped-losses.h5")
    for ranks, alone in ((1, False), (3, True)):
        job = Job(test, ranks, "evaluate", run, "--data", test.data, "--split", "train",
                  "--rows", "1", "--losses", losses)
        job.wait_for(job.listens)
        job.signal(signal.SIGUSR1, alone)
        status, out = job.end()
        test.check(status == STOPPED, f"evaluate on {ranks}: status {status}: {out[-3000:]}")
        test.check("SIGUSR1" in out, f"evaluate on {ranks}: says why: {out[-3000:]}")
        test.check(not os.path.exists(losses), f"evaluate on {ranks}: no losses")


def check_prepare(test):
    """Stopped in the middle, also by a signal to one rank; one rank is held up meanwhile, so that
    the others cannot have finished."""
    with open("long.txt", "w") as file:
        file.write((runs.text_of(199999, 7) + "\n") * 500)
    before = sorted(os.listdir("."))
    for ranks, number, alone in ((1, signal.SIGTERM, False), (2, signal.SIGTERM, False),
                                 (3, signal.SIGUSR1, True), (3, signal.SIGTERM, True)):
        name = f"prepare on {ranks}, {number.name}{' to one' if alone else ''}"
        shutil.rmtree("long.h5.work", ignore_errors=True)
        job = Job(test, ranks, "prepare", "long.txt", "-o", "long.h5")
        job.wait_for(lambda: os.path.exists("long.h5.work"))
        held = random.choice(job.pids())
        os.kill(held, signal.SIGSTOP)
        time.sleep(0.05)
        job.signal(number, alone)
        os.kill(held, signal.SIGCONT)
        status, out = job.end()
        test.check(status == STOPPED, f"{name}: status {status}: {out[-3000:]}")
        test.check("of 100.0 MB: " + number.name in out and "it goes on from there" in out,
                   f"{name}: it says why it stops: {out[-3000:]}")
        left = set(os.listdir(".")) - set(before)
        test.check(left <= {"long.h5.work"}, f"{name}: {left} is left")
    test.program(2, "prepare", "long.txt", "-o", "long.h5")
    test.check(set(os.listdir(".")) - set(before) == {"long.h5"}, "stopped, and going on to the end")


def main():
    most = 9
    for argument in sys.argv[2:]:
        if argument.startswith("--stops="):
            most = int(argument[len("--stops="):])
            sys.argv.remove(argument)
    test = runs.Test({**runs.TEXT, "train": [9000, 3700, 6100, 500, 12000, 4400],
                      "validation": [6000, 3500]})
    random.seed(2)
    check_stopped_run(test, 3, {"parallel.data": "3"}, (), most)
    if most >= 9:
        check_stopped_run(test, 1, {}, (), most)
        check_second_request(test)
        check_stopped_run(test, 2, {"parallel.tensor": "2"}, ("--set", "checkpoint.async=false"),
                          most)
        check_evaluate(test)
        check_prepare(test)
    return test.finish()


if __name__ == "__main__":
    runs.start(main)
