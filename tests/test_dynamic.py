#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Dynamic evaluation (`evaluate --dynamic`): every loss is that of the weights before they learned
from it. Held against a training on the same text, against plain evaluation where no update comes
in time, and on grids against one rank.

    tests/test_dynamic.py build/palimpsest [MPIRUN...]
"""
import csv
import hashlib
import json
import math
import os
import subprocess

import h5py
import numpy as np

import runs

SHORT = "PALIMPSEST_TESTS_SHORT" in os.environ  # under the sanitizers
SOME = [90, 37, 64, 5, 101]
TEXT = {"train": SOME, "validation": [40], "test": SOME}  # `test` is made to be `train` below
RATE = "0.003"
MODEL = {"model.layers": "2", "model.width": "16", "model.heads": "4", "model.feed_forward": "32",
         "model.window": "8", "model.memory": "8", "model.compressed_memory": "4",
         "model.compression_rate": "2", "data.shuffle": "false", "model.dropout": "0.2",
         "model.attention_dropout": "0.1"}
# One rank's numbers on others: rounding goes into weights at every update.
TOLERANCE = 1e-4
# (grid, --dynamic-windows, --dynamic-rows)
GRIDS = (("1.2.2", 3, 2),) if SHORT else (("1.1.2", 1, 1), ("1.2.1", 3, 1), ("2.1.1", 1, 2),
                                          ("1.2.2", 3, 2), ("2.2.1", 2, 3))


def same_text(test):
    """The test split gets the training split's documents."""
    with h5py.File(test.data, "r+") as file:
        for name in ("tokens", "offsets", "words", "bytes", "names"):
            del file["test"][name]
            file["test"][name] = file["train"][name][()]
        counts = np.bincount(file["train/tokens"][()], minlength=int(file.attrs["vocabulary"]))
        del file["tokenizer/counts"]
        file["tokenizer/counts"] = counts.astype("int64")


def documents(test):
    with h5py.File(test.data, "r") as file:
        return [name.decode() for name in file["test/names"][()]]


def dynamic(test, run, *more, windows=1, rows=1, rate=RATE, ranks=1):
    """-> JSON object, all losses in the order of the documents, standard output"""
    losses = os.path.join(test.folder, "dynamic.h5")
    out = test.program(ranks, "evaluate", run.folder, "--data", test.data, "--dynamic",
                       "--dynamic-windows", str(windows), "--dynamic-rows", str(rows),
                       "--dynamic-rate", rate, "--losses", losses, "--json",
                       "--set", "parallel.threads=1", *more)
    found = runs.datasets(losses)
    nats = [found[f"documents/{name}/dynamic_nats"].astype("float64") for name in documents(test)]
    return json.loads(out.strip().splitlines()[-1]), nats, out


def windows_of(nats, length):
    return [document[at:at + length] for document in nats
            for at in range(0, len(document), length)]


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def check_against_training(test, start):
    """Begun with the same weights, a training on the text logs the losses of each update before it
    is made: those are the dynamic ones."""
    found, nats, _ = dynamic(test, start)
    windows = windows_of(nats, 8)
    training = test.train("training", {
        **MODEL, "model.dropout": "0", "model.attention_dropout": "0", "batch.rows": "1",
        "train.updates": str(len(windows)), "train.lr_start": RATE, "train.lr_peak": RATE,
        "train.lr_end": RATE, "train.warmup": "1"})
    logged = [line["loss"] for line in training.metrics("train")]
    test.check_close("losses of a training", [part.mean() for part in windows], logged, 1e-6)
    compression = [line["compression_loss"] for line in training.metrics("train")]
    test.check(max(compression) > 0, "the training has a compression loss")
    test.check(found["dynamic_updates"] == len(windows), "an update for every window")
    test.check(math.isclose(sum(part.sum() for part in nats), found["dynamic_nats"],
                            rel_tol=1e-14), "single losses add up to the total")
    test.check(logged[0] > logged[-1] + 0.1, "the text can be learned")


def check_against_plain(test, start):
    """Where the only update comes at the end, every window was predicted by the checkpoint."""
    plain, losses = start.evaluate(1)
    before = digest(start.checkpoint())
    found, nats, _ = dynamic(test, start, windows=1000)
    test.check(found["dynamic_updates"] == 1, "one update at the end")
    for name, document in zip(documents(test), nats):
        test.check_close(f"losses of {name} before the first update", document, losses[name], 1e-6)
    learned, _, _ = dynamic(test, start)
    test.check(learned["dynamic_nats"] < 0.9 * plain["nats"], "what is learned helps")
    test.check(digest(start.checkpoint()) == before, "the checkpoint is another afterwards")


def check_names(test, start):
    """Nobody takes the number for a plain one."""
    folder = os.path.join(test.folder, "report")
    found, nats, out = dynamic(test, start, "--report", folder, windows=2, rows=2)
    total = found["dynamic_nats"]
    test.check(found["protocol"] == "dynamic", "protocol")
    for name in ("loss", "nats", "bits_per_byte", "word_perplexity"):
        test.check(name not in found and "dynamic_" + name in found, f"JSON: {name}")
    for name, value in (("windows", 2), ("rows", 2), ("rate", float(RATE)), ("skipped", 0)):
        test.check(found["dynamic_" + name] == value, f"dynamic_{name}")
    words = ("DYNAMIC EVALUATION: weights were trained on the text before it was predicted",
             f"constant rate of {RATE}")
    with open(os.path.join(folder, "report.html")) as file:
        page = file.read()
    for word in words:
        test.check(word in out and word in page, f"not said: {word}")
    test.check("DYNAMIC EVALUATION, total" in out and "\ntotal " not in out, "the line of totals")
    with open(os.path.join(folder, "summary.json")) as file:
        test.check(json.load(file) == found, "summary.json")

    def table(name):
        with open(os.path.join(folder, name + ".csv"), newline="") as file:
            return list(csv.DictReader(file))
    test.check_close("documents.csv", [float(row["nats"]) for row in table("documents")],
                     [document.sum() for document in nats], 1e-12)
    for name in ("documents", "frequency", "attention", "compression"):
        test.check({row["protocol"] for row in table(name)} == {"dynamic"}, f"protocol in {name}")
        with open(os.path.join(folder, name + ".gp"), encoding="utf-8") as file:
            test.check('set title "dynamic evaluation"' in file.read(), f"title of {name}")
    test.check(math.isclose(sum(float(row["nats"]) for row in table("frequency")[:4]), total,
                            rel_tol=1e-12), "frequency.csv")
    for layer in ("0", "1", "mean"):
        weights = [float(row["mean"]) for row in table("attention") if row["layer"] == layer]
        test.check(len(weights) == 18 and abs(sum(weights) - 1) < 1e-6, f"attention of {layer}")
    test.check([row["layer"] for row in table("compression")] == ["0", "1"] and
               all(float(row["loss"]) > 0 for row in table("compression")), "compression.csv")


def check_grids(test, start):
    for grid, windows, rows in GRIDS:
        data, pipeline, tensor = (int(size) for size in grid.split("."))
        wanted, right, _ = dynamic(test, start, windows=windows, rows=rows)
        found, nats, _ = dynamic(
            test, start, "--set", f"parallel.data={data}", "--set", f"parallel.pipeline={pipeline}",
            "--set", f"parallel.tensor={tensor}", windows=windows, rows=rows,
            ranks=data * pipeline * tensor)
        test.check(found["dynamic_updates"] == wanted["dynamic_updates"], f"{grid}: updates")
        test.check_close(f"{grid}: losses", np.concatenate(nats), np.concatenate(right), TOLERANCE)


def refused(test, run, status, word, *arguments):
    done = subprocess.run([test.binary, "evaluate", run.folder, "--data", test.data, *arguments],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=runs.SECONDS)
    out = done.stdout.decode(errors="replace")
    test.check(done.returncode == status and word in out,
               f"status {done.returncode}, expected {status}: {' '.join(arguments)}: {out[-400:]}")


def check_refused(test, start):
    refused(test, start, 64, "give one of them", "--dynamic", "--sweep", "memory=4,8")
    refused(test, start, 64, "--dynamic-rows sets a key", "--dynamic", "--set", "batch.rows=2")
    refused(test, start, 64, "--dynamic-windows sets a key", "--dynamic", "--set",
            "train.update_every=2")
    refused(test, start, 64, "belong to --dynamic", "--dynamic-rate", "0.1")
    refused(test, start, 64, "belong to --dynamic", "--dynamic-windows", "2")
    refused(test, start, 64, "--dynamic has --dynamic-rows", "--dynamic", "--rows", "2")
    for name, value in (("windows", "0"), ("windows", "-1"), ("rows", "0"), ("rows", "100000")):
        refused(test, start, 64, f"--dynamic-{name} is 1 to", "--dynamic", f"--dynamic-{name}",
                value)
    for rate in ("0", "-1", "nan", "2", "inf"):
        refused(test, start, 64, "is a learning rate", "--dynamic", "--dynamic-rate", rate)
    refused(test, start, 70, "give a smaller rate than 1 ", "--dynamic", "--dynamic-rate", "1",
            "--set", "train.weight_decay=100", "--set", "train.max_skips=2")
    refused(test, start, 78, "one stream", "--dynamic", "--dynamic-rows", "2", "--set",
            "data.reset_memory=never")
    refused(test, start, 78, "train.update_every = 1", "--dynamic", "--set",
            "model.compression_loss=task")


def main():
    test = runs.Test(TEXT)
    same_text(test)
    start = test.train("start", {**MODEL, "train.updates": "0"})
    check_against_training(test, start)
    check_against_plain(test, start)
    check_names(test, start)
    check_grids(test, start)
    check_refused(test, start)
    return test.finish()


if __name__ == "__main__":
    runs.start(main)
