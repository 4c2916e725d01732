#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A training that is killed and started again ends as one that was never stopped: bit for bit on the
same grid (data.pipeline.tensor), beyond rounding on another one.

    tests/test_restart.py build/palimpsest [MPIRUN...]
"""
import glob
import os
import shutil

import numpy as np

import runs
from job import Job

HALF = 5  # updates between a checkpoint and the end of a comparison
TOLERANCE = 1e-5  # of a loss on another grid, relative

# Rows that stand in the middle of books of different lengths, an odd memory, dropout, a validation
# within, several windows in an update from some update on.
BASE = {"model.width": "16", "model.feed_forward": "24", "model.heads": "4",
        "model.memory": "12", "model.compressed_memory": "7", "model.compression_rate": "2",
        "model.dropout": "0.1", "model.attention_dropout": "0.1", "batch.rows": "4",
        "train.decay": "1000", "train.warmup": "5", "train.update_every": "2",
        "train.update_every_after": "7", "train.evaluate_every": "4",
        "checkpoint.every": str(HALF), "checkpoint.keep": "100000", "checkpoint.async": "true"}
TEXT = {**runs.TEXT, "train": [900, 370, 610, 50, 1200, 440, 290, 770, 130, 1500, 1010, 530]}

# name: (what differs from BASE, grids)
CASES = {
    "conv_attention": ({}, ("1.1.1", "2.1.1", "1.2.1", "1.1.2", "2.2.2")),
    "odd_rows": ({"batch.rows": "5", "parallel.row_groups": "2", "model.layers": "3",
                  "model.memory": "10,0,8", "model.compressed_memory": "5,0,3"},
                 ("2.2.1", "1.3.1")),
    "zeros_most_used": ({"model.compression": "most_used", "model.compression_loss": "none",
                         "model.empty_memory": "zeros", "model.positions": "temporal"},
                        ("1.1.1", "1.2.2")),
    "dilated_autoencoding": ({"model.compression": "dilated", "model.dilations": "1,2",
                              "model.compression_loss": "autoencoding",
                              "model.tie_embeddings": "false"}, ("1.1.2",)),
    "task": ({"model.compression_loss": "task", "model.bptt_windows": "2",
              "train.update_every": "3"}, ("1.2.1",)),
    "transformer_xl_lanes": ({"model.compressed_memory": "0", "model.compression_loss": "none",
                              "data.reset_memory": "never"}, ("2.1.1",)),
    "adaptive": ({"model.adaptive_cutoffs": "104,112", "model.adaptive_divisor": "2"},
                 ("1.1.1", "2.2.2")),
    "synchronous": ({"checkpoint.async": "false", "train.recompute": "layer"}, ("1.1.2",)),
}
CROSSED = ("1.1.1", "2.1.1", "1.2.2", "2.2.2")
LOGGED = ("loss", "compression_loss", "gradient_norm", "compression_gradient_norm",
          "learning_rate", "tokens", "windows")


def shape_of(grid):
    data, pipeline, tensor = (int(size) for size in grid.split("."))
    return data * pipeline * tensor, {"parallel.data": data, "parallel.pipeline": pipeline,
                                      "parallel.tensor": tensor}


def config_of(test, name, changes, grid):
    ranks, shape = shape_of(grid)
    path = os.path.join(test.folder, f"{name}.{grid}.ini")
    runs.write_config(path, {**runs.TINY, **BASE, "data.path": test.data, **changes, **shape})
    return ranks, path


def train(test, ranks, config, folder, updates, *more):
    test.program(ranks, "train", config, "--run", folder, "--set", f"train.updates={updates}",
                 *more)
    return runs.Run(test, folder)


def newest(folder):
    """The update of the newest checkpoint; 0 before the first."""
    try:
        name = os.readlink(os.path.join(folder, "checkpoints", "latest"))
    except OSError:
        return 0
    return int(name[len("step-"):-len(".h5")])


def step(folder, update):
    return os.path.join(folder, "checkpoints", f"step-{update:08d}.h5")


def kill_after(test, ranks, config, folder, wanted):
    """SIGKILL for the whole job some time after this checkpoint; -> the newest one."""
    job = Job(test, ranks, "train", config, "--run", folder, "--set", "train.updates=1000000")
    test.check(job.wait_for(lambda: newest(folder) >= wanted), f"{folder}: runs until it is killed")
    job.kill()
    job.end()
    return newest(folder)


# ---- the same grid ------------------------------------------------------------------------------

def check_same_lines(test, name, run, straight):
    for kind, fields in (("train", LOGGED), ("evaluate", ("update", "nats", "tokens"))):
        one, two = run.metrics(kind), straight.metrics(kind)
        test.check(len(one) == len(two), f"{name}: {len(one)} {kind} lines, not {len(two)}")
        for field in fields:
            test.check([line[field] for line in one] == [line[field] for line in two],
                       f"{name}: {field} in {kind} lines")
    updates = [line["update"] for line in run.metrics("train")]
    test.check(updates == list(range(1, len(updates) + 1)), f"{name}: every update once")


def check_same_file(test, name, one, two):
    first, second = runs.datasets(one), runs.datasets(two)
    test.check(first.keys() == second.keys(), f"{name}: names in checkpoints")
    for key in first.keys() & second.keys():
        test.check(first[key].tobytes() == second[key].tobytes(), f"{name}: {key} differs")


def check_killed(test, case, changes, grid):
    name = f"{case} on {grid}"
    ranks, config = config_of(test, case, changes, grid)
    folder = os.path.join(test.folder, f"{case}.{grid}")
    at = kill_after(test, ranks, config, folder + ".killed", 2 * HALF)
    end = at + HALF + 2
    run = train(test, ranks, config, folder + ".killed", end)
    test.check(f"resumed from {folder}.killed/checkpoints/step-{at:08d}.h5" in run.log(),
               f"{name}: resumes from update {at}")
    straight = train(test, ranks, config, folder, end)
    check_same_lines(test, name, run, straight)
    check_same_file(test, name, step(run.folder, end), step(straight.folder, end))
    in_books = runs.datasets(step(straight.folder, at))["cursors/offset"]
    test.check((in_books > 0).any(), f"{name}: rows stand in the middle of documents")


# ---- other grids --------------------------------------------------------------------------------

def check_crossed(test):
    """From each grid's checkpoint to each other grid; and there and back without an update."""
    at, end = 2 * HALF, 3 * HALF
    config = {grid: config_of(test, "crossed", {}, grid) for grid in CROSSED}
    for grid in CROSSED:
        folder = os.path.join(test.folder, f"from.{grid}")
        train(test, *config[grid], folder, at)
    for grid in CROSSED:
        saved = step(os.path.join(test.folder, f"from.{grid}"), at)
        wanted = None
        for other in (grid, *(g for g in CROSSED if g != grid)):
            folder = os.path.join(test.folder, f"{grid}.to.{other}")
            run = train(test, *config[other], folder, end, "--resume", saved)
            losses = np.array([line["loss"] for line in run.metrics("train")])
            wanted = losses if wanted is None else wanted
            off = np.abs(losses / wanted - 1.0).max()
            test.check(len(losses) == HALF, f"{grid} to {other}: {HALF} updates are logged")
            test.check(off <= TOLERANCE, f"{grid} to {other}: a loss is off by {off:.2g}")

            away, back = folder + ".away", folder + ".back"
            train(test, *config[other], away, at, "--resume", saved)
            check_same_file(test, f"{grid} to {other}", saved, step(away, at))
            if other == CROSSED[-1]:
                train(test, *config[grid], back, at, "--resume", step(away, at))
                check_same_file(test, f"{grid} to {other} and back", saved, step(back, at))


# ---- another memory -----------------------------------------------------------------------------

def check_other_memory(test):
    """The newest slots are kept; what the file does not have is empty."""
    ranks, config = config_of(test, "memory", {}, "1.1.2")
    folder = os.path.join(test.folder, "memory")
    train(test, ranks, config, folder, HALF)
    before = runs.datasets(step(folder, HALF))
    for memory, compressed in ((8, 4), (20, 9), (12, 0), (0, 7)):
        name = f"memory.{memory}.{compressed}"
        other = os.path.join(test.folder, name)
        train(test, ranks, config, other, HALF, "--resume", folder, "--set",
              f"model.memory={memory}", "--set", f"model.compressed_memory={compressed}")
        after = runs.datasets(step(other, HALF))
        for layer in ("00", "01"):
            for kind, slots in (("recent", memory), ("compressed", compressed)):
                here = f"memory/layers/{layer}"
                old, new = before[f"{here}/{kind}"], after[f"{here}/{kind}"]
                kept = min(slots, old.shape[1])
                test.check(new.shape[1] == slots, f"{name}: {kind} slots")
                test.check(np.array_equal(new[:, slots - kept:], old[:, old.shape[1] - kept:]),
                           f"{name}: the newest {kind} slots of layer {layer}")
                test.check(not new[:, :slots - kept].any(), f"{name}: older {kind} slots are zero")
                valid = np.minimum(before[f"{here}/valid_{kind}"], slots)
                test.check(np.array_equal(after[f"{here}/valid_{kind}"], valid),
                           f"{name}: valid {kind} slots")


# ---- every way to the disk ----------------------------------------------------------------------

def check_transfers(test):
    """By pwrite, and by each component of MPI-IO, the file has the same content."""
    ranks, config = config_of(test, "transfers", {"checkpoint.async": "false"}, "2.1.2")
    wanted = None
    for way in ("direct", "independent:romio321", "independent:ompio", "collective:romio321",
                "collective:ompio"):
        transfer, _, component = way.partition(":")
        folder = os.path.join(test.folder, "by." + way.replace(":", "."))
        if component:
            os.environ["OMPI_MCA_io"] = component
        run = train(test, ranks, config, folder, HALF, "--set", f"checkpoint.transfer={transfer}")
        os.environ.pop("OMPI_MCA_io", None)
        test.check((f"MPI-IO by {component}\n" in run.log()) == bool(component),
                   f"{way}: the log names the component")
        wanted = wanted or step(folder, HALF)
        check_same_file(test, way, wanted, step(folder, HALF))


# ---- smaller numbers ----------------------------------------------------------------------------

def check_bfloat16(test):
    ranks, config = config_of(test, "halves", {"checkpoint.memory_type": "bfloat16"}, "1.1.2")
    folder = os.path.join(test.folder, "halves")
    train(test, ranks, config, folder, HALF)
    whole = os.path.join(test.folder, "wholes")
    train(test, ranks, config, whole, HALF, "--set", "checkpoint.memory_type=float32")
    found, wanted = runs.datasets(step(folder, HALF)), runs.datasets(step(whole, HALF))
    for key in wanted:
        if key.startswith("memory/") and "valid" not in key:
            bits = wanted[key].astype("float32").view("uint32")
            rounded = ((bits + 0x7fff + (bits >> 16 & 1)) >> 16 << 16).astype("uint32")
            test.check(np.array_equal(found[key].astype("float32"), rounded.view("float32")),
                       f"bfloat16: {key} is rounded to nearest")
        else:
            test.check(found[key].tobytes() == wanted[key].tobytes(), f"bfloat16: {key}")
    with runs.h5py.File(step(folder, HALF)) as file:
        memory = file["memory/layers/00/recent"]
        test.check(memory.id.get_storage_size() == 2 * memory.size, "bfloat16: two bytes a number")
    # Saved again without an update: what was rounded stays as it is.
    again = os.path.join(test.folder, "again")
    train(test, ranks, config, again, HALF, "--resume", folder)
    check_same_file(test, "bfloat16 again", step(folder, HALF), step(again, HALF))
    train(test, ranks, config, again, 2 * HALF)


def main():
    test = runs.Test(TEXT)
    for case, (changes, grids) in CASES.items():
        for grid in grids:
            check_killed(test, case, changes, grid)
            for left in glob.glob(os.path.join(test.folder, f"{case}.{grid}*", "checkpoints")):
                shutil.rmtree(left)
    check_crossed(test)
    check_other_memory(test)
    check_transfers(test)
    check_bfloat16(test)
    return test.finish()


if __name__ == "__main__":
    runs.start(main)
