#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Data parallel on 1, 2, 3 and 4 ranks: what is trained and measured does not depend on how rows
are spread over ranks, beyond rounding; and on the same ranks it repeats bit for bit.

    tests/test_data_parallel.py build/palimpsest [MPIRUN...]
"""
import runs

# Numbers of ranks that are held against one.
RANKS = {"conv_attention": (2, 3, 4), "uneven_rows": (2, 3, 4), "task_loss": (3,),
         "most_used": (4,)}
UPDATES = 20

CASES = {
    "conv_attention": {"batch.rows": "12", "model.dropout": "0.1",
                       "model.attention_dropout": "0.1"},
    "uneven_rows": {"batch.rows": "5", "model.dropout": "0.1", "train.update_every": "2"},
    "task_loss": {"batch.rows": "5", "model.compression_loss": "task",
                  "train.update_every": "2"},
    "most_used": {"batch.rows": "12", "model.compression": "most_used",
                  "model.compression_loss": "none", "data.reset_memory": "never"},
}
SETTINGS = {"train.updates": str(UPDATES), "train.evaluate_every": "10",
            "model.memory": "16", "model.compressed_memory": "8", "train.warmup": "5"}

# Sums over rows are taken in another order; twenty updates of Adam carry that on.
LOSS_TOLERANCE = 1e-5
NATS_TOLERANCE = 1e-6
# Adam divides by the gradient's own size, so rounding can show where a gradient is almost zero.
WEIGHT_TOLERANCE = 1e-3


def losses(run, kind="train", field="loss"):
    return [line[field] for line in run.metrics(kind)]


def compare(test, name, run, alone):
    found = losses(run)
    test.check(len(found) == UPDATES, f"{name}: {len(found)} updates")
    test.check_close(f"{name}: losses", found, losses(alone), LOSS_TOLERANCE)
    # Relative to each value too: losses are all of one size.
    worst = max(abs(a - b) / b for a, b in zip(found, losses(alone)))
    test.check(worst <= LOSS_TOLERANCE, f"{name}: a loss is off by {worst:.2g} relative")
    test.check_close(f"{name}: validation", losses(run, "evaluate", "nats"),
                     losses(alone, "evaluate", "nats"), LOSS_TOLERANCE)
    test.check(losses(run, "train", "tokens") == losses(alone, "train", "tokens"),
               f"{name}: counted tokens")
    mine, other = runs.datasets(run.checkpoint()), runs.datasets(alone.checkpoint())
    test.check(mine.keys() == other.keys(), f"{name}: tensors in the checkpoint")
    for key in ("cursors/document", "cursors/offset", "cursors/epoch",
                "memory/layers/01/valid_recent", "memory/layers/01/valid_compressed"):
        test.check((mine[key] == other[key]).all(), f"{name}: {key}")
    for key in mine:
        if key.startswith("weights/"):
            test.check_close(f"{name}: {key}", mine[key], other[key], WEIGHT_TOLERANCE)
    return worst


def check_training(test, name, changes):
    alone = test.train(name + "_on_1", {**SETTINGS, **changes})
    compression = losses(alone, "train", "compression_loss")
    test.check((max(compression) > 0) == (name in ("conv_attention", "uneven_rows")),
               f"{name}: compression loss")
    for ranks in RANKS[name]:
        run = test.train(f"{name}_on_{ranks}", {**SETTINGS, **changes}, ranks)
        worst = compare(test, f"{name} on {ranks} ranks", run, alone)
        print(f"{name} on {ranks} ranks: losses within {worst:.1e}")
    return alone, run


def check_repetition(test, name, changes):
    for ranks in (1, 3):
        first = runs.Run(test, f"{test.folder}/{name}_on_{ranks}")
        again = test.train(f"{name}_again_on_{ranks}", {**SETTINGS, **changes}, ranks)
        test.check_same_bits(f"{name} again on {ranks} ranks", first, again)


def check_evaluation(test, run, grids):
    """Other ranks and other rows read the documents in another order, none twice, none never."""
    split = ("--split", "train")
    alone, nats = run.evaluate(1, *split)
    test.check(len(nats) == len(runs.TEXT["train"]), "losses of every document")
    test.check(sorted(array.size for array in nats.values()) == sorted(runs.TEXT["train"]),
               "losses of every token")
    for ranks, rows in grids:
        result, found = run.evaluate(ranks, *split, "--rows", str(rows))
        name = f"evaluation on {ranks} ranks with {rows} rows"
        test.check_close(name, result["nats"], alone["nats"], NATS_TOLERANCE)
        test.check(all(result[key] == alone[key] for key in ("tokens", "bytes", "words")), name)
        test.check(found.keys() == nats.keys(), f"{name}: documents")
        for document in found.keys() & nats.keys():
            test.check_close(f"{name}: {document}", found[document], nats[document],
                             LOSS_TOLERANCE)


def check_generation(test, alone, parallel):
    for run in (alone, parallel):
        arguments = ("generate", run.folder, "--prompt", "the whale", "--tokens", "30",
                     "--set", "parallel.threads=1")
        text = test.program(1, *arguments)
        test.check(text.startswith("the whale"), "a generated text begins with the prompt")
        test.check(test.program(1, *arguments) == text, "the same seed gives the same text")


def main():
    test = runs.Test()
    for name, changes in CASES.items():
        alone, parallel = check_training(test, name, changes)
        if name == "conv_attention":
            check_repetition(test, name, changes)
            check_generation(test, alone, parallel)
            check_evaluation(test, parallel, ((1, 1), (1, 3), (2, 8), (3, 8), (4, 5)))
        if name == "most_used":
            check_evaluation(test, parallel, ((3, 8),))
    return test.finish()


if __name__ == "__main__":
    runs.start(main)
