#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every process grid (data.pipeline.tensor) trains the model that one rank trains, beyond rounding;
begins with its bits; and repeats its own bits.

    tests/test_grids.py build/palimpsest [--only=CASE,CASE] [MPIRUN...]
"""
import sys

import numpy as np

import runs

UPDATES = 20
LOSS_TOLERANCE = 1e-5  # of each loss, relative
# Of the largest compression loss: it is a mean of squares of differences of 1e-3 between numbers of
# about 1, which are rounded.
COMPRESSION_TOLERANCE = 1e-5
# Of weights and memory, absolute: Adam divides by the gradient's own size, so rounding can show
# where a gradient is almost zero.
TENSOR_TOLERANCE = 1e-4
MOMENT_TOLERANCE = 1e-3  # of the largest moment of its tensor
NATS_TOLERANCE = 1e-6    # of the same weights, relative

# Short documents: in every run some end, each row's at another time.
TEXT = {**runs.TEXT, "train": [90, 37, 61, 5, 120, 44, 29, 77, 13, 150, 101, 53]}

BASE = {"model.width": "12", "model.feed_forward": "24", "model.heads": "2",
        "model.compressed_memory": "6", "model.compression_rate": "2", "batch.rows": "3",
        "train.updates": str(UPDATES), "train.warmup": "5"}
THREE_LAYERS = {"model.layers": "3", "model.width": "24", "model.heads": "6",
                "model.window": "12", "model.memory": "12"}
# The space and the letters to g, those to o, to v, and the rest.
ADAPTIVE = {"model.adaptive_cutoffs": "104,112,119", "model.adaptive_divisor": "2",
            "model.width": "16", "model.heads": "4"}
DROPOUT = {"model.dropout": "0.1", "model.attention_dropout": "0.1"}
NO_LOSS = {"model.compression_loss": "none"}
TENSOR_AND_BOTH = ("1.1.2", "1.2.2")

# name: (what differs from BASE, grids that are held against one rank)
CASES = {
    # Later two windows in an update; four rows: they do not divide by three.
    "conv_attention": ({**THREE_LAYERS, **DROPOUT, "batch.rows": "4", "train.update_every": "2",
                        "train.update_every_after": "11", "train.evaluate_every": "20"},
                       ("2.1.1", "3.1.1", "1.2.1", "1.3.1", "1.1.2", "1.1.3", "2.2.1", "2.1.2",
                        "1.2.2", "2.2.2")),
    # A memory that is no multiple of the window, one shorter than it, and none.
    "odd_memory": ({"model.layers": "3", "model.width": "16", "model.heads": "4",
                    "model.memory": "10,6,0", "model.compressed_memory": "7,5,2"},
                   ("1.1.4", "1.3.1", "1.2.2")),
    "some_compress": ({"model.layers": "3", "model.memory": "8,12,0",
                       "model.compressed_memory": "0,5,0"}, TENSOR_AND_BOTH),
    "transformer_xl": ({**NO_LOSS, **DROPOUT, "model.compressed_memory": "0",
                        "model.memory": "12"}, ("1.2.2",)),
    "mean": ({**NO_LOSS, "model.compression": "mean", "model.tie_embeddings": "false",
              "data.reset_memory": "never"}, TENSOR_AND_BOTH),
    "max": ({**NO_LOSS, **DROPOUT, "model.compression": "max"}, TENSOR_AND_BOTH),
    "most_used": ({**NO_LOSS, "model.compression": "most_used", "model.positions": "contiguous"},
                  TENSOR_AND_BOTH),
    "dilated": ({"model.compression": "dilated", "model.dilations": "1,2", "model.memory": "12",
                 "model.tie_embeddings": "false", "train.recompute": "attention"},
                TENSOR_AND_BOTH),
    "dilated_autoencoding": ({**DROPOUT, "model.compression": "dilated", "model.dilations": "1,3",
                              "model.compression_loss": "autoencoding",
                              "train.update_every": "2"}, ("1.1.2",)),
    "autoencoding": ({**DROPOUT, "model.compression_loss": "autoencoding", "model.norm": "post",
                      "model.activation": "gelu", "model.positions": "temporal",
                      "model.empty_memory": "zeros"}, ("2.1.1", *TENSOR_AND_BOTH)),
    "task": ({**DROPOUT, "model.compression_loss": "task", "model.bptt_windows": "2",
              "train.update_every": "3"}, TENSOR_AND_BOTH),
    "untrained": ({**NO_LOSS, "model.norm": "post", "model.empty_memory": "zeros"},
                  TENSOR_AND_BOTH),
    "adaptive": ({**ADAPTIVE, **DROPOUT, "train.update_every": "2"},
                 ("2.1.1", "1.2.1", "1.1.4", "2.2.2")),
    # A tail of fewer tokens than ranks.
    "adaptive_untied": ({**ADAPTIVE, "model.adaptive_cutoffs": "104,119,120",
                         "model.tie_embeddings": "false", "model.norm": "post",
                         "train.evaluate_every": "20"}, ("1.1.2", "1.2.2")),
    # Three stages, and never more than one micro-batch.
    "one_row": ({**DROPOUT, "model.layers": "3", "batch.rows": "1"}, ("1.3.1",)),
    # Five rows in two replicas are three and two, each cut into two groups.
    "row_groups": ({**DROPOUT, "batch.rows": "5", "parallel.row_groups": "2",
                    "train.recompute": "layer", "train.evaluate_every": "20"}, ("1.2.1", "2.2.1")),
}
# Stages by hand, otherwise than by cost.
STAGES = {("some_compress", "1.2.2"): "2,1", ("odd_memory", "1.2.2"): "1,2"}
REPEATED = (("conv_attention", "2.2.2"), ("odd_memory", "1.1.4"), ("task", "1.2.2"), ("adaptive", "2.2.2"))

# The model with the most tensors, which every grid can hold.
INITIAL = {"model.layers": "3", "model.width": "24", "model.heads": "12", "model.window": "24",
           "model.memory": "24,4,0", "model.compressed_memory": "12,6,0", "batch.rows": "4",
           "model.compression": "dilated", "model.compression_loss": "autoencoding",
           "model.tie_embeddings": "false", "train.updates": "0"}
GRIDS = ("2.1.1", "3.1.1", "1.2.1", "1.3.1", "1.1.2", "1.1.3", "1.1.4", "2.2.1", "2.1.2", "1.2.2",
         "2.2.2")


def train(test, name, changes, grid):
    data, pipeline, tensor = (int(size) for size in grid.split("."))
    shape = {"parallel.data": str(data), "parallel.pipeline": str(pipeline),
             "parallel.tensor": str(tensor)}
    return test.train(name, {**BASE, **changes, **shape}, data * pipeline * tensor)


def column(run, kind, field):
    return [line[field] for line in run.metrics(kind)]


def relative(found, wanted):
    """The largest difference of one number, relative to it."""
    if len(found) != len(wanted):
        return np.inf
    return max((abs(a - b) / abs(b) if b else abs(a) for a, b in zip(found, wanted)), default=0.0)


def distance(found, wanted):
    if found.shape != wanted.shape:
        return np.inf
    return np.abs(found.astype("float64") - wanted.astype("float64")).max(initial=0.0)


# ---- training -----------------------------------------------------------------------------------

def compare_metrics(test, name, run, alone):
    test.check(len(column(run, "train", "loss")) == UPDATES, f"{name}: {UPDATES} updates")
    worst = relative(column(run, "train", "loss"), column(alone, "train", "loss"))
    test.check(worst <= LOSS_TOLERANCE, f"{name}: a loss is off by {worst:.2g} relative")
    test.check_close(f"{name}: compression losses", column(run, "train", "compression_loss"),
                     column(alone, "train", "compression_loss"), COMPRESSION_TOLERANCE)
    nats = relative(column(run, "evaluate", "nats"), column(alone, "evaluate", "nats"))
    test.check(nats <= LOSS_TOLERANCE, f"{name}: validation off by {nats:.2g} relative")
    test.check(column(run, "train", "tokens") == column(alone, "train", "tokens"),
               f"{name}: counted tokens")
    return worst


def compare_tensors(test, name, run, alone):
    mine, other = runs.datasets(run.checkpoint()), runs.datasets(alone.checkpoint())
    test.check(mine.keys() == other.keys(), f"{name}: names in the checkpoint")
    worst = 0.0
    for key in sorted(mine.keys() & other.keys()):
        off = distance(mine[key], other[key])
        if key.startswith("cursors/") or "/valid_" in key:
            test.check(off == 0, f"{name}: {key} is {mine[key]} instead of {other[key]}")
        elif key.startswith("optimizer/"):
            limit = MOMENT_TOLERANCE * np.abs(other[key]).max(initial=0.0)
            test.check(off <= limit, f"{name}: {key} off by {off:.2g}, more than {limit:.2g}")
        else:
            test.check(off <= TENSOR_TOLERANCE, f"{name}: {key} off by {off:.2g}")
            worst = max(worst, off)
    return worst


def check_text(test, name, alone):
    """The comparison means something: documents ended here and there, in parts of a window."""
    cursors = runs.datasets(alone.checkpoint())
    config = {**runs.TINY, **runs.read_config(alone.folder + "/config.ini")}
    rows, window = int(config["batch.rows"]), int(config["model.window"])
    tokens = np.diff([0, *column(alone, "train", "tokens")])
    full = rows * window * np.array(column(alone, "train", "windows"))
    partial = full - tokens
    test.check((partial > 0).any() and (partial % window != 0).any(), f"{name}: partial windows")
    test.check((partial == 0).any(), f"{name}: whole windows")
    test.check(len(set(cursors["cursors/offset"])) > rows // 2, f"{name}: rows are apart")
    if config["model.compression_loss"] in ("attention", "autoencoding"):
        test.check(max(column(alone, "train", "compression_loss")) > 0,
                   f"{name}: something is compressed")


def check_training(test, name, changes, grids):
    alone = train(test, f"{name}_1.1.1", changes, "1.1.1")
    check_text(test, name, alone)
    for grid in grids:
        stages = {"parallel.layers_per_stage": STAGES.get((name, grid), "0")}
        run = train(test, f"{name}_{grid}", {**changes, **stages}, grid)
        loss = compare_metrics(test, f"{name} on {grid}", run, alone)
        tensor = compare_tensors(test, f"{name} on {grid}", run, alone)
        print(f"{name} on {grid}: losses within {loss:.1e}, weights and memory {tensor:.1e}",
              flush=True)


def check_repetition(test, name, grid):
    first = runs.Run(test, f"{test.folder}/{name}_{grid}")
    again = train(test, f"{name}_{grid}_again", CASES[name][0], grid)
    test.check_same_bits(f"{name} again on {grid}", first, again)


# ---- what does not depend on the grid at all ----------------------------------------------------

def check_beginning(test):
    """step-00000000 has the same bits on every grid."""
    wanted = runs.datasets(train(test, "initial_1.1.1", INITIAL, "1.1.1").checkpoint())
    for grid in GRIDS:
        run = train(test, f"initial_{grid}", INITIAL, grid)
        found = runs.datasets(run.checkpoint())
        test.check(run.checkpoint().endswith("step-00000000.h5"), f"{grid}: initial checkpoint")
        test.check(found.keys() == wanted.keys(), f"{grid}: names in the initial checkpoint")
        for key in found.keys() & wanted.keys():
            test.check(found[key].tobytes() == wanted[key].tobytes(), f"initial {key} on {grid}")


def check_evaluation(test, name):
    """A checkpoint of one grid is read by others."""
    for trained, wish in (("1.1.1", "tensor"), (CASES[name][1][-1], "pipeline")):
        run = runs.Run(test, f"{test.folder}/{name}_{trained}")
        alone, nats = run.evaluate(1)
        result, found = run.evaluate(2, "--set", f"parallel.{wish}=2")
        what = f"evaluation of {name} from {trained} with {wish} 2"
        off = relative([result["nats"]], [alone["nats"]])
        test.check(off <= NATS_TOLERANCE, f"{what}: nats off by {off:.2g} relative")
        test.check(found.keys() == nats.keys(), f"{what}: documents")
        for document in found.keys() & nats.keys():
            test.check_close(f"{what}: {document}", found[document], nats[document],
                             LOSS_TOLERANCE)


def main():
    only = sys.argv[2:] and sys.argv[2].startswith("--only=")
    cases = sys.argv.pop(2)[len("--only="):].split(",") if only else list(CASES)
    test = runs.Test(TEXT)
    for name in cases:
        check_training(test, name, *CASES[name])
    if not only:
        for name, grid in REPEATED:
            check_repetition(test, name, grid)
        check_beginning(test)
    check_evaluation(test, cases[0])
    return test.finish()


if __name__ == "__main__":
    runs.start(main)
