#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bad updates: NaN in one row's activations, or a text unlike all before it. One is skipped, by all
ranks alike; after several in a row the run goes back to a checkpoint and on behind the text; and
runs that are stopped or killed anywhere in this end with the bits of runs that are not.

    tests/test_bad_steps.py build/palimpsest [--short] [MPIRUN...]

With --short one grid each goes once through what can happen.
"""
import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import time

import numpy as np

import runs
from job import STOPPED, Job
from test_restart import check_same_file, shape_of, step

TOLERANCE = 1e-5         # of a loss on another grid, relative
TENSOR_TOLERANCE = 1e-4  # of weights and memory there, absolute
EVERY = 5                # updates between checkpoints
ROW = 3                  # with three data ranks also the number of a row of padding

BASE = {"model.width": "16", "model.feed_forward": "24", "model.heads": "4",
        "model.memory": "12", "model.compressed_memory": "7", "model.compression_rate": "2",
        "model.dropout": "0.1", "model.attention_dropout": "0.1", "batch.rows": "4",
        "data.shuffle": "false", "train.decay": "1000", "train.warmup": "5",
        "train.evaluate_every": "4", "train.max_skips": "3",
        "checkpoint.every": str(EVERY), "checkpoint.keep": "100000"}
TEXT = {**runs.TEXT, "train": [900, 370, 610, 1200, 440, 290, 770, 130, 1500, 1010, 530]}
GRIDS = ("1.1.1", "1.1.2", "1.2.1", "3.1.1", "2.1.2")

# name: (what differs from BASE, the first window that is spoilt, grids)
SINGLE = {
    "conv": ({}, 7, GRIDS),
    # In the middle of an update of three windows, rows in two groups.
    "task": ({"model.compression_loss": "task", "model.bptt_windows": "2", "model.layers": "3",
              "train.update_every": "3", "parallel.row_groups": "2"}, 13, ("1.1.2", "1.2.1")),
    # Nothing else empties a memory here, and empty slots are read.
    "never": ({"model.compression": "most_used", "model.compression_loss": "none",
               "model.empty_memory": "zeros", "model.norm": "post", "model.tie_embeddings": "false",
               "data.reset_memory": "never", "train.recompute": "layer"}, 7, ("1.1.1", "2.1.2")),
}


@contextlib.contextmanager
def spoilt(window, row=ROW, count=1):
    os.environ["PALIMPSEST_TEST_NAN"] = f"{window}:{row}:{count}"
    yield
    del os.environ["PALIMPSEST_TEST_NAN"]


def train(test, name, grid, changes, updates, *more):
    ranks, shape = shape_of(grid)
    config = os.path.join(test.folder, f"{name}.{grid}.ini")
    runs.write_config(config, {**runs.TINY, **BASE, "data.path": test.data, **changes, **shape})
    folder = os.path.join(test.folder, f"{name}.{grid}")
    test.program(ranks, "train", config, "--run", folder, "--set", f"train.updates={updates}",
                 *more)
    return runs.Run(test, folder)


def column(run, field, kind="train"):
    return [line[field] for line in run.metrics(kind)]


def skipped(run):
    return [line["update"] for line in run.metrics("train") if "skipped" in line]


def check_whole(test, name, run, updates):
    test.check(column(run, "update") == list(range(1, updates + 1)), f"{name}: every update once")
    evaluated = list(range(4, updates + 1, 4))
    test.check(column(run, "update", "evaluate") == evaluated, f"{name}: every evaluation once")


def check_same_run(test, name, one, two, updates):
    for field in ("update", "loss", "gradient_norm", "tokens", "learning_rate"):
        test.check(column(one, field) == column(two, field), f"{name}: {field} in train lines")
    test.check(column(one, "nats", "evaluate") == column(two, "nats", "evaluate"),
               f"{name}: evaluations")
    check_same_file(test, name, step(one.folder, updates), step(two.folder, updates))
    first, second = (runs.attributes(step(run.folder, updates)) for run in (one, two))
    for key in ("windows", "tokens", "skips", "rewinds", "furthest", "recent_losses"):
        test.check(first[key] == second[key], f"{name}: {key} {first[key]} and {second[key]}")


def check_close(test, name, run, alone, updates):
    """To one rank: losses, weights, memory; and which updates were skipped."""
    test.check(skipped(run) == skipped(alone), f"{name}: skips what one rank skips")
    test.check(column(run, "from", "rewind") == column(alone, "from", "rewind"), f"{name}: rewinds")
    pairs = [(a, b) for a, b in zip(column(run, "loss"), column(alone, "loss")) if a and b]
    off = max(abs(a / b - 1.0) for a, b in pairs)
    test.check(off <= TOLERANCE, f"{name}: a loss is off by {off:.2g}")
    mine, other = (runs.datasets(step(which.folder, updates)) for which in (run, alone))
    for key in mine:
        limit = 0.0 if key.startswith("cursors") or "valid" in key else TENSOR_TOLERANCE
        off = np.abs(mine[key].astype("float64") - other[key]).max(initial=0.0)
        test.check(off <= limit, f"{name}: {key} off by {off:.2g}")


# ---- one bad update -----------------------------------------------------------------------------

def check_memory(test, name, found, clean):
    """The spoilt row's is empty; others' is that of a run without a bad update."""
    for key in (key for key in found if key.startswith("memory/")):
        others = [row for row in range(len(found[key])) if row != ROW]
        test.check(found[key][others].tobytes() == clean[key][others].tobytes(),
                   f"{name}: {key} of other rows")
        test.check(clean[key][ROW].any(), f"{name}: {key} would hold something")
        empty_is_full = "valid" in key and "never" in name  # zeros are read there, and valid
        test.check(empty_is_full or not found[key][ROW].any(), f"{name}: {key} of the spoilt row")


def check_single(test, case, changes, window, grid):
    name = f"{case} on {grid}"
    bad = window // int(changes.get("train.update_every", 1)) + 1
    end = bad + 6
    every = {**changes, "checkpoint.every": "1"}
    clean = train(test, case + ".clean", grid, every, bad)
    with spoilt(window):
        straight = train(test, case, grid, every, end)
        run = train(test, case + ".stopped", grid, every, bad)
        run = train(test, case + ".stopped", grid, every, end)
    lines = straight.metrics("train")
    check_whole(test, name, straight, end)
    test.check(skipped(straight) == [bad], f"{name}: {skipped(straight)} skipped, not {bad}")
    test.check(lines[bad - 1]["skipped"] == "loss" and lines[bad - 1]["loss"] is None,
               f"{name}: why {bad} is skipped")
    test.check(lines[bad - 1]["emptied_rows"] == 1, f"{name}: one row is emptied")
    test.check(column(straight, "loss")[:bad - 1] == column(clean, "loss")[:bad - 1],
               f"{name}: losses before are those of a clean run")
    test.check(None not in column(straight, "loss")[bad:], f"{name}: losses after it are finite")
    test.check(column(straight, "tokens")[:bad] == column(clean, "tokens"), f"{name}: tokens")

    found, before = (runs.datasets(step(run.folder, update)) for update in (bad, bad - 1))
    unspoilt = runs.datasets(step(clean.folder, bad))
    for key in found:
        if key.startswith(("weights/", "optimizer/", "detector/")):
            test.check(found[key].tobytes() == before[key].tobytes(), f"{name}: {key} moves")
        if key.startswith("cursors/"):
            test.check(found[key].tobytes() == unspoilt[key].tobytes(), f"{name}: {key} goes on")
    check_memory(test, name, found, unspoilt)
    state = runs.attributes(step(run.folder, bad))
    test.check((state["skips"], state["scheduled"]) == (1, bad - 1), f"{name}: one skip in the state")
    test.check(not os.path.exists(step(straight.folder, bad)), f"{name}: {bad} is not saved")
    test.check(runs.attributes(step(straight.folder, bad + 1))["skips"] == 0, f"{name}: 0 skips")
    check_same_run(test, name + ", stopped", run, straight, end)
    if grid != "1.1.1":
        with spoilt(window):
            alone = train(test, case, "1.1.1", every, end)
        check_close(test, name, straight, alone, end)


# ---- many in a row ------------------------------------------------------------------------------

def check_kept(test, name, grid, changes, run, end):
    """Two more checkpoints of stops than are kept: the one to go back to stays."""
    few = {**changes, "checkpoint.keep": "2"}
    for updates in (6, 7, end):
        kept = train(test, "kept", grid, few, updates)
        there = [os.path.exists(step(kept.folder, update)) for update in (5, 6, 7)]
        test.check(updates != 7 or there == [True] * 3, f"{name}: kept {there}")
    test.check(kept.metrics("rewind") == run.metrics("rewind"), f"{name}: with few kept")
    test.check(column(kept, "loss") == column(run, "loss"), f"{name}: losses with few kept")
    left = sorted(os.listdir(os.path.join(kept.folder, "checkpoints")))
    test.check(left == ["latest", "step-00000015.h5", "step-00000016.h5"], f"{name}: {left}")


def check_rewind(test, grid, changes, stops=(9, 8, 7)):
    """Windows 7, 8 and 9 are bad, which are updates 8 to 10; checkpoints are of 5, 10, 15, ..."""
    name, end, to = f"rewind on {grid}", 16, EVERY
    clean = train(test, "straight", grid, changes, end)
    with spoilt(7, count=3):
        run = train(test, "rewind", grid, changes, end)
        # Between two skips; after the rewind at the second update 8; before the bad ones, with a
        # checkpoint that a run which is not stopped does not have.
        for updates in stops:
            stopped = train(test, f"stopped{updates}", grid, changes, updates)
            rewound = step(stopped.folder, updates) + ".rewound"
            with open(rewound, "w"):  # as of an earlier return
                pass
            stopped = train(test, f"stopped{updates}", grid, changes, end)
            check_same_run(test, f"{name}, stopped at {updates}", stopped, run, end)
            test.check(run.metrics("rewind") == stopped.metrics("rewind"), f"{name}: lines")
            check_whole(test, f"{name}, stopped at {updates}", stopped, end)
            there = os.listdir(os.path.join(stopped.folder, "checkpoints"))
            left = [name for name in there if f"{updates:08d}" in name]
            test.check(left == [os.path.basename(rewound)], f"{name}: {left}")
            test.check(os.path.getsize(rewound) > 0, f"{name}: it is the last one")
        if stops:
            check_kept(test, name, grid, changes, run, end)
    check_whole(test, name, run, end)
    wanted = {"kind": "rewind", "update": to, "from": 10, "reason": "loss", "skipped": 3,
              "rewinds": 1}
    test.check(run.metrics("rewind") == [wanted], f"{name}: {run.metrics('rewind')}")
    test.check(column(run, "loss")[:to] == column(clean, "loss")[:to], f"{name}: losses before")
    test.check(skipped(run) == [] and None not in column(run, "loss"), f"{name}: finite losses")
    test.check(column(run, "learning_rate") == column(clean, "learning_rate"), f"{name}: schedule")
    test.check("going back to" in run.log() and "step-00000005.h5" in run.log(), f"{name}: log")

    found, wanted = (runs.datasets(step(which.folder, to)) for which in (run, clean))
    data = runs.datasets(step(clean.folder, 10))
    for key in found:
        if key.startswith(("weights/", "optimizer/", "detector/")):
            test.check(found[key].tobytes() == wanted[key].tobytes(), f"{name}: {key} of before")
        elif key.startswith("cursors/"):
            test.check(found[key].tobytes() == data[key].tobytes(), f"{name}: {key} stays")
        else:
            test.check(not found[key].any(), f"{name}: {key} is empty")
    state, before = (runs.attributes(step(which.folder, to)) for which in (run, clean))
    test.check(state["windows"] == 10 and before["windows"] == 5, f"{name}: windows go on")
    test.check(state["tokens"] == before["tokens"], f"{name}: tokens go back")
    test.check((state["rewinds"], state["furthest"], state["skips"]) == (1, 10, 0),
               f"{name}: counters after it")
    test.check(runs.attributes(step(run.folder, end))["rewinds"] == 0, f"{name}: it came further")
    if grid != "1.1.1":
        check_close(test, name, run, runs.Run(test, os.path.join(test.folder, "rewind.1.1.1")),
                    end)


def fails(test, name, grid, changes, updates, *words):
    ranks, shape = shape_of(grid)
    config = os.path.join(test.folder, f"{name}.{grid}.ini")
    folder = os.path.join(test.folder, f"{name}.{grid}")
    runs.write_config(config, {**runs.TINY, **BASE, "data.path": test.data, **changes, **shape})
    start = [] if ranks == 1 else [*test.launcher, "-n", str(ranks)]
    done = subprocess.run([*start, test.binary, "train", config, "--run", folder, "--set",
                           f"train.updates={updates}"], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=runs.SECONDS)
    said = done.stderr.decode(errors="replace")
    for word in words:
        test.check(word in said, f"{name} on {grid}: no '{word}' in: {said}")
    return done.returncode, runs.Run(test, folder)


def check_ends(test, grid):
    """Nothing to go back to; and nothing that helps."""
    with spoilt(2, count=3):
        status, _ = fails(test, "nowhere", grid, {}, 16, "update 5: training has diverged",
                          "the loss is not finite", "no checkpoint to go back to", "train.lr_peak")
    test.check(status == 70, f"no checkpoint on {grid}: status {status}")
    with spoilt(7, count=1000):
        status, run = fails(test, "hopeless", grid, {}, 16, "update 8: training has diverged",
                            "3 times", "past update 10")
    test.check(status == 70, f"no progress on {grid}: status {status}")
    test.check(column(run, "from", "rewind") == [10, 8, 8], f"{grid}: three rewinds")
    test.check(column(run, "rewinds", "rewind") == [1, 2, 3], f"{grid}: three rewinds")
    # The bad text is left behind: the run can be had on from there.
    run = train(test, "hopeless", grid, {}, 16)
    test.check(None not in column(run, "loss") and len(column(run, "loss")) == 16,
               f"{grid}: goes on when it can")


def check_damaged(test, grid):
    """The newest checkpoint is damaged while the run goes on: back to the one before it."""
    name, every = f"damaged on {grid}", 190
    ranks, shape = shape_of(grid)
    config = os.path.join(test.folder, f"damaged.{grid}.ini")
    folder = os.path.join(test.folder, f"damaged.{grid}")
    changes = {**BASE, **LONGER, **shape, "checkpoint.every": str(every), "train.log_every": "100"}
    runs.write_config(config, {**runs.TINY, "data.path": test.data, **changes})
    with spoilt(540, count=3):
        job = Job(test, ranks, "train", config, "--run", folder, "--set", "train.updates=555")
        test.check(job.wait_for(lambda: os.path.exists(step(folder, 2 * every))), f"{name}: saves")
        os.truncate(step(folder, 2 * every), 5000)
        status, out = job.end()
    run = runs.Run(test, folder)
    test.check(status == 0, f"{name}: status {status}: {out[-2000:]}")
    lines = [(line["from"], line["update"]) for line in run.metrics("rewind")]
    test.check(lines == [(543, every)], f"{name}: rewinds {lines}")
    test.check(f"step-{2 * every:08d}.h5: " in run.log(), f"{name}: the damaged one is named")
    test.check(column(run, "update") == list(range(1, 556)), f"{name}: every update once")


# ---- killed and stopped anywhere ----------------------------------------------------------------

LONGER = {"model.width": "48", "model.feed_forward": "96", "train.evaluate_every": "0",
          "checkpoint.every": "2"}
LONG, BAD = 48, (14, 10)  # updates; first window and number of those that are bad: three rewinds
PATIENCE = 0.12           # seconds


def lines_of(folder):
    """Bytes of metrics, which a start may cut first."""
    try:
        return os.path.getsize(os.path.join(folder, "metrics.jsonl"))
    except OSError:
        return 0


def check_anywhere(test, grid, request, times):
    name = f"signal {request} on {grid}"
    ranks, _ = shape_of(grid)
    with spoilt(BAD[0], count=BAD[1]):
        straight = train(test, "anywhere", grid, LONGER, LONG)
        test.check(len(straight.metrics("rewind")) == 3, f"{name}: rewinds")
        folder = os.path.join(test.folder, f"anywhere.{int(request)}.{grid}")
        config = os.path.join(test.folder, f"anywhere.{grid}.ini")
        arguments = ("train", config, "--run", folder, "--set", f"train.updates={LONG}")
        hits = 0
        for _ in range(times):
            before = lines_of(folder)
            job = Job(test, ranks, *arguments)
            job.wait_for(lambda: lines_of(folder) not in (before, 0))
            time.sleep(random.uniform(0.0, PATIENCE))
            job.signal(request)
            status, out = job.end()
            hits += status != 0
            if status == 0:
                break
            good = request == signal.SIGKILL or status == STOPPED
            test.check(good, f"{name}: status {status}: {out[-3000:]}")
        test.program(ranks, *arguments)
    run = runs.Run(test, folder)
    test.check(hits > 0, f"{name}: never in time")
    check_same_run(test, name, run, straight, LONG)
    lines = [line for line in run.metrics("rewind") if line not in straight.metrics("rewind")]
    test.check(lines == [], f"{name}: other rewinds: {lines}")
    places = re.findall(r"resumed from .*step-0*(\d+)\.h5", run.log())
    print(f"{name}: {hits} times, on from {' '.join(places)}", flush=True)


# ---- spikes -------------------------------------------------------------------------------------

# Row 1 reads 131 windows of words, then windows of signs that no other text has, then words.
SIGNS = {"short": 2, "long": 4}
SPIKES = {"batch.rows": "2", "model.dropout": "0", "model.attention_dropout": "0",
          "data.shuffle": "false", "train.spike_z": "3", "train.max_skips": "3",
          "train.evaluate_every": "0", "train.lr_peak": "1e-2", "checkpoint.every": "65"}
FIRST = 132  # update


def write_signs(test, name, windows):
    folder = os.path.join(test.folder, name)
    runs.write_text(folder, {"train": [1700, 8 * (FIRST - 1), 8 * windows, 900],
                             "validation": [150], "test": [203]})
    with open(os.path.join(folder, "train", "103.txt"), "w") as file:
        file.write("#$%&(@[<" * windows)
    data = os.path.join(test.folder, name + ".h5")
    test.program(1, "prepare", folder, "-o", data)
    return data


def check_spikes(test, grid):
    end = FIRST + 8
    for length, windows in SIGNS.items():
        name = f"{length} spike on {grid}"
        data = {**SPIKES, "data.path": write_signs(test, f"{length}.{grid}", windows)}
        off = train(test, length + ".off", grid, {**data, "train.spike_z": "0"}, end)
        run = train(test, length, grid, data, end)
        stopped = train(test, length + ".stopped", grid, data, FIRST)
        stopped = train(test, length + ".stopped", grid, data, end)
        check_same_run(test, name + ", stopped", stopped, run, end)
        test.check(column(off, "loss")[:130] == column(run, "loss")[:130],
                   f"{name}: the same losses before")
        test.check(skipped(off) == [], f"{name}: nothing is skipped without train.spike_z")
        losses, which = column(run, "loss"), skipped(run)
        if windows < 3:
            test.check(which == list(range(FIRST, FIRST + windows)), f"{name}: skips {which}")
            test.check(run.metrics("rewind") == [], f"{name}: no rewind")
            held = [loss for i, loss in enumerate(losses) if i + 1 not in which][-128:]
        else:
            # Three are skipped, back to 130, where the last one is skipped in the first update.
            test.check(column(run, "from", "rewind") == [FIRST + 2], f"{name}: rewinds")
            test.check(column(run, "reason", "rewind") == ["spike"], f"{name}: reason")
            test.check(which == [131], f"{name}: skips {which} after it")
            held = [loss for i, loss in enumerate(losses) if i + 1 not in which][-128:]
        test.check(all(line["skipped"] == "spike" and line["loss_z"] > 3
                       for line in run.metrics("train") if "skipped" in line), f"{name}: why")
        window = runs.datasets(step(run.folder, end))["detector/losses"]
        test.check(window.tolist() == held, f"{name}: the window is that of accepted losses")


# ---- the hook -----------------------------------------------------------------------------------

def check_hook(test):
    for value in ("", "7", "7:4", "x:1", "7:1:0", "-1:0", "7:1:2:3", "7:1:"):
        os.environ["PALIMPSEST_TEST_NAN"] = value
        status, run = fails(test, "hook", "1.1.2", {}, 1, "PALIMPSEST_TEST_NAN=" + value,
                            "WINDOW:ROW[:COUNT]")
        test.check(status == 64 and not os.path.exists(run.folder), f"hook '{value}': {status}")
    del os.environ["PALIMPSEST_TEST_NAN"]


def main():
    short = "--short" in sys.argv[2:3]
    if short:
        sys.argv.pop(2)
    test = runs.Test(TEXT)
    random.seed(3)
    if short:
        check_single(test, "task", *SINGLE["task"][:2], "1.1.2")
        check_rewind(test, "1.1.1", {}, ())
        check_rewind(test, "2.1.1", {}, (8,))
        check_ends(test, "1.2.1")
        return test.finish()
    for case, (changes, window, grids) in SINGLE.items():
        for grid in grids:
            check_single(test, case, changes, window, grid)
    for grid in GRIDS:
        check_rewind(test, grid, {"checkpoint.async": "false"} if grid == "1.2.1" else {},
                     (9, 8, 7) if grid in ("1.1.1", "2.1.2") else (8,))
    for grid in ("1.1.1", "1.2.1"):
        check_ends(test, grid)
    for grid in ("2.1.1", "1.2.1"):
        check_spikes(test, grid)
    check_damaged(test, "1.1.2")
    check_anywhere(test, "1.1.1", signal.SIGKILL, 8)
    check_anywhere(test, "1.1.2", signal.SIGKILL, 5)
    check_anywhere(test, "1.1.1", signal.SIGTERM, 8)
    check_anywhere(test, "1.2.1", signal.SIGUSR1, 5)
    check_hook(test)
    return test.finish()


if __name__ == "__main__":
    runs.start(main)
