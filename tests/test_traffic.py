#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bytes that ranks send, from metrics.jsonl, and the share of rolling memory that one rank holds,
against the formulas of mpi/README.md.

    tests/test_traffic.py build/palimpsest [MPIRUN...]
"""
import re

import runs

# Sizes of slices are multiples of 16, as tensors in the flat buffers are.
LAYERS, WIDTH, HEADS, HIDDEN, WINDOW, RATE, VOCABULARY = 3, 96, 6, 96, 12, 2, 257
MEMORY, COMPRESSED, ROWS, WINDOWS = (12, 24, 12), (6, 12, 18), 4, 2
NUMBER_BYTES, TOLERANCE = 4, 0.01

SETTINGS = {
    "model.layers": str(LAYERS), "model.width": str(WIDTH), "model.heads": str(HEADS),
    "model.feed_forward": str(HIDDEN), "model.window": str(WINDOW),
    "model.compression_rate": str(RATE), "model.memory": ",".join(map(str, MEMORY)),
    "model.compressed_memory": ",".join(map(str, COMPRESSED)), "batch.rows": str(ROWS),
    "train.update_every": str(WINDOWS), "train.updates": "12", "data.reset_memory": "never",
    "model.norm": "pre", "model.tie_embeddings": "true",
}
CUTOFFS, DIVISOR = (100, 150), 2
CASES = {
    "attention loss": {},
    "most used": {"model.compression": "most_used", "model.compression_loss": "none"},
    "recomputed layers": {"train.recompute": "layer"},
    "bfloat16": {"train.type": "bfloat16"},
    "adaptive": {"model.adaptive_cutoffs": ",".join(map(str, CUTOFFS)),
                 "model.adaptive_divisor": str(DIVISOR)},
    "most used, bfloat16": {"model.compression": "most_used", "model.compression_loss": "none",
                            "train.type": "bfloat16"},
    "recomputed bfloat16": {"train.type": "bfloat16", "train.recompute": "layer"},
}
GRIDS = ((2, 1, 1), (3, 1, 1), (1, 3, 1), (1, 1, 2), (1, 1, 3), (2, 1, 2), (1, 2, 2))
# Of given numbers of layers, whatever balancing by cost would choose.
STAGES = {1: (3,), 2: (2, 1), 3: (1, 1, 1)}


def part_of(count, parts, part):
    return count // parts + (part < count % parts)


def tables_of(parts, part, adaptive):
    """Of one rank: numbers of the embedding's tables, and those of tied projections."""
    if not adaptive:
        return part_of(VOCABULARY, parts, part) * WIDTH, 0
    edges = (0, *CUTOFFS, VOCABULARY)
    rows = [end - first + (len(CUTOFFS) if first == 0 else 0)
            for first, end in zip(edges, edges[1:])]
    widths = [WIDTH // DIVISOR ** i for i in range(len(rows))]
    return (sum(part_of(n, parts, part) * width for n, width in zip(rows, widths)),
            sum(width * WIDTH for width in widths[1:]))


def weights_of(stage, stages, parts, part, conv, adaptive):
    """Weights of one rank: what is split over the tensor group, and what is whole on each; and
    those that both ends have."""
    first = sum(STAGES[stages][:stage])
    layers = range(first, first + STAGES[stages][stage])
    table, projections = tables_of(parts, part, adaptive)
    split = shared = 0
    for _ in layers:
        split += (6 * WIDTH * WIDTH + 3 * WIDTH + 2 * WIDTH * HIDDEN + HIDDEN) // parts
        shared += 6 * WIDTH + (RATE * WIDTH * WIDTH if conv else 0)
    last = stage == stages - 1
    if stage == 0 or last:
        split += table
        shared += projections
    own_projection = WIDTH * WIDTH if adaptive else 0
    if stage == 0:
        shared += own_projection
    if last:
        split += part_of(VOCABULARY, parts, part)
        shared += 2 * WIDTH + own_projection
    return split, shared, table + projections


def sent_by(stage, grid, part, changes):
    """Numbers that one rank sends in an update, by kind; one of two bytes is half a number."""
    data, stages, parts = grid
    first = sum(STAGES[stages][:stage])
    layers = range(first, first + STAGES[stages][stage])
    rows, others = ROWS / data, (parts - 1) / parts
    conv = changes.get("model.compression", "conv") == "conv"
    adaptive = "model.adaptive_cutoffs" in changes
    split, shared, tied = weights_of(stage, stages, parts, part, conv, adaptive)
    ends = (stage == 0) + (stage == stages - 1)
    token_rows = WINDOWS * rows * WINDOW
    per_layer = 12 if changes.get("train.recompute") == "layer" else 8
    size = 1 / 2 if changes.get("train.type") == "bfloat16" else 1
    typed = per_layer // 2 * len(layers) + (stage == stages - 1)
    sent = {
        "activations": others * token_rows * WIDTH
        * (per_layer * len(layers) + 2 * ends - typed * (1 - size))
        + (3 * (parts - 1) * token_rows if stage == stages - 1 else 0),
        "memory": size * 2 * others * WINDOWS * rows * WIDTH
        * sum(MEMORY[l] + COMPRESSED[l] for l in layers),
        "compression": (size if conv else 1) * 2 * others * len(layers) * token_rows * (WIDTH / RATE if conv else 1),
        "pipeline": token_rows / parts * WIDTH * ((stage > 0) + (stage < stages - 1)),
        "weights": (data - 1) / data * (split + shared),
    }
    sent["gradients"] = sent["weights"]
    if parts > 1:
        sent["gradients"] += 2 * others * shared
    if stages > 1 and ends:
        sent["gradients"] += tied
    return sent


def mean_sent(grid, changes):
    _, stages, parts = grid
    ranks = [sent_by(stage, grid, part, changes)
             for stage in range(stages) for part in range(parts)]
    return {kind: NUMBER_BYTES * sum(rank[kind] for rank in ranks) / len(ranks)
            for kind in ranks[0]}


def memory_share(grid):
    """Of the rank with the most: 1 / (data pipeline tensor) where rows and layers divide."""
    data, stages, parts = grid
    ends = [sum(STAGES[stages][:stage]) for stage in range(stages + 1)]
    slots = [m + n for m, n in zip(MEMORY, COMPRESSED)]
    most = max(sum(slots[first:end]) for first, end in zip(ends, ends[1:]))
    return -(-ROWS // data) * most / parts / (ROWS * sum(slots))


def main():
    test = runs.Test()
    for name, changes in CASES.items():
        for grid in GRIDS if not changes else ((1, 2, 2),):
            data, stages, parts = grid
            settings = {**SETTINGS, **changes, "parallel.data": str(data),
                        "parallel.pipeline": str(stages), "parallel.tensor": str(parts),
                        "parallel.layers_per_stage": ",".join(map(str, STAGES[stages]))}
            label = f"{name}, data {data} x pipeline {stages} x tensor {parts}"
            run = test.train(label.replace(" ", "_"), settings, ranks=data * stages * parts)
            share = re.search(r"rolling memory: .* on one rank \(1/([0-9.]+)\)", run.log())
            test.check(share and abs(float(share[1]) * memory_share(grid) - 1) <= TOLERANCE,
                       f"{label}: of the memory one rank has {share and share[0]}, not "
                       f"1/{1 / memory_share(grid):.4g}")
            found = run.metrics("train")[-1]  # every memory is full by now
            for kind, expected in mean_sent(grid, changes).items():
                measured = found[f"bytes_{kind}"]
                test.check(abs(measured - expected) <= TOLERANCE * max(expected, 1),
                           f"{label}: {measured:.0f} bytes of {kind}, the formula gives "
                           f"{expected:.0f}")
    return test.finish()


if __name__ == "__main__":
    runs.start(main)
