#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The measures that a paper prints (`evaluate --report`, `--sweep`), on grids, against the losses
of single tokens, the file's own tokens and counts, and the reference in PyTorch; and what is
refused.

    tests/test_report.py build/palimpsest [MPIRUN...]
"""
import csv
import json
import math
import os
import shutil
import subprocess
import sys

import h5py
import numpy as np

import runs

SHORT = "PALIMPSEST_TESTS_SHORT" in os.environ  # under the sanitizers
TEXT = {"train": [700, 400, 256], "validation": [150], "test": [203, 61, 5, 90]}
# Memories that are no multiple of six, of the window, or not there at all.
MODEL = {"model.layers": "3", "model.width": "16", "model.heads": "4",
         "model.feed_forward": "32", "model.window": "8", "model.memory": "10,6,0",
         "model.compressed_memory": "7,5,2", "model.compression_rate": "2",
         "train.updates": "30", "train.lr_peak": "2e-2"}
GRIDS = ("1.1.2", "1.2.2") if SHORT else ("2.1.1", "1.1.2", "1.1.4", "1.3.1", "1.2.2")
WORDS = 60             # that somebody has published for the test split
SCALE = 40             # of the counts, so that every bucket has tokens
TOLERANCE = 2e-6       # of float32 sums in another order, relative to the largest number
REFERENCE = 1e-5       # of float32 against double
FILES = {"summary.json", "report.html",
         *(f"{name}.{end}" for name in ("documents", "frequency", "attention", "compression")
           for end in ("csv", "gp", "svg"))}
GNUPLOT = shutil.which("gnuplot") is not None


def mark(test):
    """What preparing of named data sets writes."""
    with h5py.File(test.data, "r+") as file:
        vocabulary = int(file.attrs["vocabulary"])
        counts = np.bincount(file["train/tokens"][()], minlength=vocabulary) * SCALE
        del file["tokenizer/counts"]
        file["tokenizer/counts"] = counts.astype("int64")
        file["test"].attrs["published_words"] = np.int64(WORDS)
        file.attrs["dataset"] = "wikitext-103"
    return counts


def expected_files(*without):
    return {name for name in FILES if (GNUPLOT or not name.endswith(".svg"))
            and name.split(".")[0] not in without}


def read_csv(folder, name):
    """[{column: text}]"""
    with open(os.path.join(folder, name + ".csv"), newline="") as file:
        return list(csv.DictReader(file))


def numbers(rows, column):
    return np.array([float(row[column]) for row in rows])


def evaluate(test, run, folder, *more, ranks=1):
    """-> the JSON object, standard output"""
    out = test.program(ranks, "evaluate", run.folder, "--data", test.data, "--report", folder,
                       "--set", "parallel.threads=1", "--json", *more)
    return json.loads(out.strip().splitlines()[-1]), out


def without_times(line):
    return {key: value for key, value in line.items()
            if key not in ("seconds", "tokens_per_second")}


# ---- one report ---------------------------------------------------------------------------------

def check_summary(test, plain, found, out, folder):
    test.check(without_times(found) == without_times(plain), "measuring changes a result")
    with open(os.path.join(folder, "summary.json")) as file:
        test.check(json.load(file) == found, "summary.json is the JSON of the last line")
    test.check(found["protocol"] == "plain", "protocol")
    test.check((found["words"], found["words_counted"]) == (WORDS, "published"), "words")
    test.check(math.isclose(found["word_perplexity"], math.exp(found["nats"] / WORDS),
                            rel_tol=1e-12), "word perplexity")
    test.check(f"{WORDS} words (published count of WikiText-103)" in out, "words, for people")


def check_documents(test, found, losses, folder):
    rows = read_csv(folder, "documents")
    with h5py.File(test.data, "r") as file:
        group = file["test"]
        names = [name.decode() for name in group["names"][()]]
        words, sizes = group["words"][()], group["bytes"][()]
    nats = np.array([losses[name].astype("float64").sum() for name in names])
    test.check([row["document"] for row in rows] == names, "names of documents")
    test.check_close("tokens", numbers(rows, "tokens"), [len(losses[name]) for name in names], 0)
    test.check_close("words", numbers(rows, "words"), words, 0)
    test.check_close("bytes", numbers(rows, "bytes"), sizes, 0)
    test.check_close("nats of documents", numbers(rows, "nats"), nats, 1e-12)
    test.check(math.isclose(numbers(rows, "nats").sum(), found["nats"], rel_tol=1e-14),
               "documents add up to the total")
    test.check(math.isclose(nats.sum(), found["nats"], rel_tol=1e-14),
               "single losses add up to the total")
    bits = nats / math.log(2) / sizes
    test.check_close("bits per byte", numbers(rows, "bits_per_byte"), bits, 1e-12)
    test.check_close("nats per token", numbers(rows, "nats_per_token"), nats / sizes, 1e-12)
    perplexity = np.exp(nats / words)
    test.check_close("perplexity", np.log(numbers(rows, "word_perplexity")), np.log(perplexity),
                     1e-12)
    test.check({row["words_counted"] for row in rows} == {"white space"}, "words of documents")
    test.check(numbers(rows, "rank").tolist() == (1 + np.argsort(np.argsort(bits))).tolist(),
               "rank of documents")


def check_frequency(test, found, losses, counts, folder):
    rows = read_csv(folder, "frequency")
    with h5py.File(test.data, "r") as file:
        tokens = file["test/tokens"][()]
        names = [name.decode() for name in file["test/names"][()]]
    nats = np.concatenate([losses[name] for name in names]).astype("float64")
    often = counts[tokens]
    masks = [often > 10000, (often >= 1000) & (often <= 10000), (often >= 100) & (often < 1000),
             often < 100]
    test.check([row["training_count"] for row in rows] ==
               ["> 10K", "1K-10K", "100-1K", "< 100", "all"], "names of frequency buckets")
    test.check({row["targets"] for row in rows} == {"bytes"}, "what the targets are")
    test.check(sum(mask.any() for mask in masks) >= 3, "the test's text has rare and frequent ones")
    for row, mask in zip(rows, [*masks, often >= 0]):
        name = row["training_count"]
        test.check(int(row["tokens"]) == mask.sum(), f"tokens of {name}")
        test.check(math.isclose(float(row["nats"]), nats[mask].sum(), rel_tol=1e-12, abs_tol=1e-12),
                   f"nats of {name}")
        if mask.any():
            test.check(math.isclose(float(row["perplexity"]), math.exp(nats[mask].mean()),
                                    rel_tol=1e-12), f"perplexity of {name}")
        else:
            test.check(row["perplexity"] == "", f"{name} is empty")
    test.check(math.isclose(numbers(rows[:4], "nats").sum(), found["nats"], rel_tol=1e-13),
               "frequency buckets add up to the total")
    test.check(sum(int(row["vocabulary"]) for row in rows[:4]) == len(counts), "vocabulary")


def attention_of(rows, layer):
    """{position 1..18: (mean, deviation)}, samples, queries"""
    rows = [row for row in rows if row["layer"] == str(layer)]
    values = {int(row["position"]): (float(row["mean"]), float(row["deviation"])) for row in rows}
    return values, {int(row["samples"]) for row in rows}, {int(row["queries"]) for row in rows}


def check_attention(test, folder, memory, compressed, window):
    rows = read_csv(folder, "attention")
    for layer, (M, N) in enumerate(zip(memory, compressed)):
        values, samples, queries = attention_of(rows, layer)
        test.check(abs(sum(mean for mean, _ in values.values()) - 1) < 1e-6,
                   f"attention of layer {layer} adds up to 1")
        test.check(len(samples) == len(queries) == 1, f"layer {layer}: one number of samples")
        segments = {"compressed memory": N, "memory": M, "window": window}
        for segment, slots in segments.items():
            found = [int(row["slots"]) for row in rows
                     if row["layer"] == str(layer) and row["segment"] == segment]
            parts = [len(part) for part in np.array_split(np.arange(slots), 6)] if slots else []
            test.check(found == parts, f"layer {layer}, {segment}: slots {found}, not {parts}")
    values, _, _ = attention_of(rows, "mean")
    test.check(abs(sum(mean for mean, _ in values.values()) - 1) < 1e-6, "the mean adds up to 1")


def check_reference(test, run, folder):
    """Attention and compression loss against the model in PyTorch."""
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "reference"))
    try:
        import torch  # noqa: F401
    except ImportError as error:
        print(f"skipped: the comparison with the reference: {error}")
        return
    from data import read_split
    from measures import measure
    from settings import from_ini
    from train import read_weights
    with open(os.path.join(run.folder, "config.ini")) as file:
        settings = from_ini(file.read())
    attention, losses = measure(settings, read_weights(run.checkpoint()),
                                read_split(test.data, "test"))
    rows = read_csv(folder, "attention")
    for layer, (wanted, samples, queries) in attention.items():
        found, found_samples, found_queries = attention_of(rows, layer)
        test.check(found_samples == {samples} and found_queries == {queries} and samples > 0,
                   f"layer {layer}: samples {found_samples}, not {samples}")
        off = max(np.abs(np.array(found[at]) - wanted[at - 1]).max() for at in found)
        left_out = [wanted[at - 1][0] for at in range(1, 19) if at not in found]
        test.check(off < REFERENCE, f"layer {layer}: attention is off by {off:.3g}")
        test.check(not any(left_out), f"layer {layer}: left out are {left_out}")
        test.check(np.ptp(wanted[:, 0]) > 1e-3, f"layer {layer}: attention is the same everywhere")
    rows = {int(row["layer"]): row for row in read_csv(folder, "compression")}
    for layer, (total, count) in losses.items():
        test.check((layer in rows) == (count > 0), f"compression loss of layer {layer}")
        if count > 0 and layer in rows:
            test.check(int(rows[layer]["terms"]) == count, f"terms of layer {layer}")
            test.check(math.isclose(float(rows[layer]["loss"]), total / count, rel_tol=1e-3),
                       f"compression loss of layer {layer} is {rows[layer]['loss']}, "
                       f"not {total / count}")


def check_page(test, folder, *words):
    with open(os.path.join(folder, "report.html")) as file:
        page = file.read()
    pictures = sum(name.endswith(".svg") for name in os.listdir(folder))
    test.check(page.count("data:image/svg+xml;base64,") == pictures, "pictures in the page")
    test.check("<script" not in page and "http" not in page.replace("http-equiv", ""),
               "the page is alone")
    for word in words:
        test.check(word in page, f"report.html does not say: {word}")


def check_same_report(test, name, folder, wanted):
    test.check(set(os.listdir(folder)) == set(os.listdir(wanted)), f"{name}: files")
    for table in ("documents", "frequency", "attention", "compression"):
        if not os.path.exists(os.path.join(wanted, table + ".csv")):
            continue
        rows, expected = read_csv(folder, table), read_csv(wanted, table)
        if len(rows) != len(expected):
            test.check(False, f"{name}: {table} has {len(rows)} rows, not {len(expected)}")
            continue
        for column in expected[0]:
            found, right = ([row[column] for row in part] for part in (rows, expected))
            test.check([text == "" for text in found] == [text == "" for text in right],
                       f"{name}: empty cells of {table} {column}")
            found, right = ([text or 0 for text in part] for part in (found, right))
            try:
                found, right = np.array(found, float), np.array(right, float)
            except ValueError:
                test.check(found == right, f"{name}: {table} {column}")
                continue
            # A perplexity's exponent has the rounding of its sum, times as many words as it has.
            if column == "word_perplexity":
                found, right = np.log(found), np.log(right)
            test.check_close(f"{name}: {table} {column}", found, right,
                             1e-3 if table == "compression" else 10 * TOLERANCE)


def check_one(test, run, counts):
    """-> the folder of a report by one rank"""
    plain, losses = run.evaluate(1)
    folder = os.path.join(test.folder, "new", "report")
    found, out = evaluate(test, run, folder)
    test.check(set(os.listdir(folder)) == expected_files(), f"files: {os.listdir(folder)}")
    check_summary(test, plain, found, out, folder)
    check_documents(test, found, losses, folder)
    check_frequency(test, found, losses, counts, folder)
    check_attention(test, folder, (10, 6, 0), (7, 5, 2), 8)
    check_reference(test, run, folder)
    check_page(test, folder, "plain evaluation", "published count of WikiText-103",
               "Targets are bytes")
    return folder


def grid_options(grid):
    names = ("data", "pipeline", "tensor")
    return [word for name, size in zip(names, grid.split("."))
            for word in ("--set", f"parallel.{name}={size}")]


def check_grids(test, run, wanted):
    for grid in GRIDS:
        folder = os.path.join(test.folder, "report-" + grid)
        evaluate(test, run, folder, *grid_options(grid),
                 ranks=math.prod(int(size) for size in grid.split(".")))
        check_same_report(test, grid, folder, wanted)


# ---- other models -------------------------------------------------------------------------------

def check_nothing_to_measure(test, run):
    """Without memory; an old data file; documents that never fill a memory. An earlier report's
    files go."""
    folder = os.path.join(test.folder, "nothing")
    evaluate(test, run, folder)
    old = os.path.join(test.folder, "old.h5")
    shutil.copy(test.data, old)
    with h5py.File(old, "r+") as file:
        del file["tokenizer"], file["test"].attrs["published_words"], file.attrs["dataset"]
    out = test.program(1, "evaluate", run.folder, "--data", old, "--report", folder, "--set",
                       "model.memory=0", "--set", "model.compressed_memory=0")
    test.check("words (counted by white space)" in out, "words of a data file without a count")
    test.check(set(os.listdir(folder)) == expected_files("frequency", "compression"),
               f"left of an earlier report: {os.listdir(folder)}")
    check_attention(test, folder, (0, 0, 0), (0, 0, 0), 8)
    check_page(test, folder, "does not say how often", "no layer has compressed memory",
               "counted by white space")
    test.program(1, "evaluate", run.folder, "--data", test.data, "--report", folder, "--set",
                 "model.memory=1000", "--set", "model.compressed_memory=0")
    test.check(set(os.listdir(folder)) == expected_files("attention", "compression"), "too short")
    check_page(test, folder, "in no window were")


def check_autoencoding(test):
    run = test.train("autoencoding", {**MODEL, "model.compression_loss": "autoencoding"})
    folder = os.path.join(test.folder, "autoencoding-report")
    evaluate(test, run, folder)
    check_reference(test, run, folder)
    other = os.path.join(test.folder, "autoencoding-tensor")
    evaluate(test, run, other, *grid_options("1.1.2"), ranks=2)
    check_same_report(test, "autoencoding", other, folder)


# ---- sizes --------------------------------------------------------------------------------------

SIZES = {"window": (4, 16)} if SHORT else \
    {"compressed_memory": (0, 2, 12), "memory": (0, 6, 16), "window": (4, 8, 16)}


def check_sweep(test, run):
    for key, sizes in SIZES.items():
        folder = os.path.join(test.folder, "sweep-" + key)
        ranks, grid = (2, grid_options("1.1.2")) if key == "window" else (1, [])
        _, out = evaluate(test, run, folder, *grid, "--split", "test", "--sweep",
                          f"{key}={','.join(map(str, sizes))}", ranks=ranks)
        lines = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
        rows = read_csv(folder, "sweep")
        test.check([line[key] for line in lines] == list(sizes), f"{key}: JSON of every size")
        test.check([int(row["value"]) for row in rows] == list(sizes), f"{key}: rows of sweep.csv")
        test.check(len({line["nats"] for line in lines}) == len(sizes), f"{key}: sizes matter")
        for size, line, row in zip(sizes, lines, rows):
            alone = test.program(ranks, "evaluate", run.folder, "--data", test.data, "--json",
                                 "--set", "parallel.threads=1", *grid, "--set",
                                 f"model.{key}={size}")
            alone = json.loads(alone.strip().splitlines()[-1])
            test.check(line["nats"] == alone["nats"] == float(row["nats"]),
                       f"{key} = {size}: {line['nats']} in a sweep, {alone['nats']} alone")
            test.check(float(row["word_perplexity"]) == alone["word_perplexity"], "perplexity")
            test.check(f"{key.replace('_', ' ')} {size}" in row["model"], f"sizes: {row['model']}")
        with open(os.path.join(folder, "summary.json"), encoding="utf-8") as file:
            test.check(json.load(file) == lines, f"{key}: summary.json")
        names = {"sweep.csv", "sweep.gp", "sweep.svg", "summary.json", "report.html"}
        test.check(set(os.listdir(folder)) == {n for n in names if GNUPLOT or n[-3:] != "svg"},
                   f"{key}: files of a sweep: {os.listdir(folder)}")
        check_page(test, folder, f"model.{key}", "published count of WikiText-103")


def complains(out):
    return ".gp" in out or "Warning" in out  # gnuplot does, and with a capital letter


def check_single(test, run):
    """One document, one size: gnuplot has nothing to say to a range of one point."""
    status, out = start(test, "evaluate", run.folder, "--data", test.data, "--split", "validation",
                        "--report", "single")
    test.check(status == 0 and not complains(out), f"one document: {out[-300:]}")
    test.check(len(read_csv("single", "documents")) == 1, "one document")
    status, out = start(test, "evaluate", run.folder, "--data", test.data, "--sweep", "memory=6",
                        "--report", "single", "--json")
    test.check(status == 0 and not complains(out), f"one size: {out[-300:]}")
    test.check('"split": "validation"' in out, f"a sweep is of the validation split: {out[-300:]}")
    test.check(not os.path.exists("single/documents.csv"), "left of an earlier report")


# ---- without memory a window is all that counts -------------------------------------------------

def check_no_memory(test, run):
    """Then losses do not depend on ranks, rows or where the document stands among others."""
    off = ["--set", "model.memory=0", "--set", "model.compressed_memory=0"]
    for window in ("4", "16"):
        wanted, losses = run.evaluate(1, *off, "--set", f"model.window={window}")
        total = sum(array.astype("float64").sum() for array in losses.values())
        test.check(math.isclose(total, wanted["nats"], rel_tol=1e-14), "sum of single losses")
        for ranks, more in ((1, ["--rows", "1"]), (2, ["--set", "parallel.data=2"])):
            found, parts = run.evaluate(ranks, *off, "--set", f"model.window={window}", *more)
            test.check(math.isclose(found["nats"], wanted["nats"], rel_tol=1e-7),
                       f"window {window} on {ranks} ranks: {found['nats']}, not {wanted['nats']}")
            for name, array in losses.items():
                test.check_close(f"losses of {name}", parts[name], array, 1e-5)
    # Documents cut at multiples of the window: what follows begins with another token before it.
    cut = os.path.join(test.folder, "cut.h5")
    shutil.copy(test.data, cut)
    with h5py.File(cut, "r+") as file:
        group = file["test"]
        offsets, names = group["offsets"][()], [n.decode() for n in group["names"][()]]
        pieces = [(name, at, min(at + 16, last)) for name, first, last in
                  zip(names, offsets[:-1], offsets[1:]) for at in range(first, last, 16)]
        for name in ("offsets", "names", "words", "bytes"):
            del group[name]
        sizes = [last - first for _, first, last in pieces]
        group["offsets"] = np.array([0, *np.cumsum(sizes)], dtype="int64")
        group["bytes"] = np.array(sizes, dtype="int64")
        group["words"] = np.ones(len(sizes), dtype="int64")
        group["names"] = np.array([f"{name}-{at:04d}" for name, at, _ in pieces], dtype="S16")
    whole, data = losses, test.data
    test.data = cut
    _, parts = run.evaluate(1, *off, "--set", "model.window=16")
    test.data = data
    for (name, at, last), document in zip(pieces, parts.values()):
        start = at - offsets[names.index(name)]
        # The first token of a window has the token before it as its input, which a cut takes away.
        if start == 0:
            test.check_close(f"{name} from 0", document, whole[name][:last - at], 1e-5)
    test.check(len(parts) == len(pieces), "all pieces were read")


# ---- what is refused ----------------------------------------------------------------------------

def start(test, *arguments, environment=None, ranks=1):
    """-> status, standard output and error"""
    launcher = [] if ranks == 1 else [*test.launcher, "-n", str(ranks)]
    done = subprocess.run([*launcher, test.binary, *arguments], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=runs.SECONDS,
                          env=environment)
    return done.returncode, done.stdout.decode(errors="replace")


def refused(test, status, word, *arguments, **more):
    found, out = start(test, *arguments, **more)
    line = " ".join(arguments[2:])
    test.check(found == status, f"status {found}, expected {status}: {line}: {out[-600:]}")
    test.check(word in out, f"'{word}' is not said: {line}: {out[-600:]}")
    test.check("nats/token" not in out, f"something was evaluated: {line}")


def check_refused(test, run):
    def no(status, word, *more, **how):
        refused(test, status, word, "evaluate", run.folder, "--data", test.data, *more, **how)

    os.makedirs("foreign")
    with open("foreign/notes.txt", "w") as file:
        file.write("mine")
    with open("file", "w") as file:
        file.write("mine")
    os.makedirs("half")
    with open("half/documents.csv", "w") as file:
        file.write("mine")
    no(73, "'notes.txt' is there", "--report", "foreign")
    no(73, "'notes.txt' is there", "--report", "foreign", ranks=2)
    no(73, "no report.html of an earlier report", "--report", "half")
    no(73, "a file of this name is there", "--report", "file")
    no(73, "a file of this name is there", "--report", "file/report", ranks=2)
    no(64, "1 to ", "--report", "")
    with open("foreign/notes.txt") as one, open("half/documents.csv") as two:
        test.check((one.read(), two.read()) == ("mine", "mine"), "a foreign file was changed")

    no(64, "expected compressed_memory=, memory= or window=", "--sweep", "model.rows=1,2")
    for values in ("", "a") if SHORT else ("", "1,", ",1", "a", "1;2", "-1", "99999999999", "1.5"):
        no(64, "sizes like memory=256,512,1024", "--sweep", f"memory={values}")
    no(64, "6 stands there twice", "--sweep", "memory=6,4,6")
    no(64, "--sweep sets a key that --set has", "--sweep", "memory=6", "--set", "model.memory=8")
    no(78, "memory: 7 cannot be: ", "--sweep", "memory=6,7")
    no(78, "window: 9 cannot be: ", "--sweep", "window=8,9", ranks=2)
    no(78, "window: 0 cannot be: ", "--sweep", "window=0")
    no(78, "window: 6 cannot be: ", "--sweep", "window=8,6", *grid_options("1.1.2"), ranks=2)
    no(64, "give one of them", "--sweep", "memory=6", "--losses", "l.h5")
    test.check(not os.path.exists("l.h5"), "losses of a sweep")


def check_no_weights(test):
    run = test.train("without", {"model.compressed_memory": "0", "model.compression_loss": "none"})
    refused(test, 78, "compressed_memory: 4 cannot be: ", "evaluate", run.folder, "--data",
            test.data, "--sweep", "compressed_memory=0,4")


def check_text_alone(test, run):
    """Only a test split, with a name that is cut within UTF-8 characters, and one without tokens."""
    for name, text in (("x" * 22 + "\u00fc" * 6, b"some text of a book " * 20), ("empty", b"")):
        os.makedirs(f"{name}/test")
        with open(f"{name}/test/{name}.txt", "wb") as file:
            file.write(text)
        test.program(1, "prepare", name, "--tokenizer-from", run.folder, "-o", "alone.h5")
        arguments = ("evaluate", run.folder, "--data", "alone.h5", "--report", "alone")
        if not text:
            for more in ((), ("--dynamic",), ("--sweep", "memory=6", "--split", "test")):
                refused(test, 65, "all its documents are empty", *arguments, *more)
            continue
        status, out = start(test, *arguments)
        test.check(status == 0 and not complains(out), f"a test split alone: {out[-300:]}")
        test.check(not os.path.exists("alone/frequency.csv"), "frequencies of no training split")
        if GNUPLOT:
            with open("alone/documents.svg", encoding="utf-8") as file:
                test.check("x" * 22 + "\u00fc" * 2 in file.read(), "the picture of a UTF-8 name")


def check_full_disk(test, run):
    """Disks of so many KiB: full with the first file, or with a later one."""
    for size in (4, 24):
        disk = os.path.join(test.folder, f"disk-{size}")
        os.makedirs(disk)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "none", disk],
                                 stderr=subprocess.DEVNULL).returncode == 0
        if not mounted:
            print("skipped: a full disk: no disk can be mounted here")
            return
        try:
            with open(os.path.join(disk, "report.html"), "w") as file:
                file.write("<!-- palimpsest report -->")
            ranks = 2 if size == 4 else 1
            status, out = start(test, "evaluate", run.folder, "--data", test.data, "--report",
                                disk, ranks=ranks)
            test.check(status == 74 and "No space left on device" in out,
                       f"a disk of {size} KiB: status {status}: {out[-300:]}")
            left = os.listdir(disk)
            test.check(not [name for name in left if name.endswith(".part")],
                       f"left on a full disk: {left}")
            with open(os.path.join(disk, "report.html"), encoding="utf-8") as file:
                wanted = "report -->" if size == 4 else "was not written to its end"
                test.check(wanted in file.read(), "an earlier report, or one that has begun")
            subprocess.run(["mount", "-o", "remount,size=2m", disk], check=True)
            evaluate(test, run, disk)
        finally:
            subprocess.run(["umount", disk], check=False)


def check_without_gnuplot(test, run):
    """With all other programs, some of which MPI wants."""
    os.makedirs("bin")
    for folder in os.environ["PATH"].split(":"):
        for name in os.listdir(folder) if os.path.isdir(folder) else []:
            link = os.path.join("bin", name)
            if not name.startswith("gnuplot") and not os.path.lexists(link):
                os.symlink(os.path.join(folder, name), link)
    status, out = start(test, "evaluate", run.folder, "--data", test.data, "--report", "unplotted",
                        environment={**os.environ, "PATH": os.path.abspath("bin")})
    test.check(status == 0, f"status {status} without gnuplot: {out[-400:]}")
    test.check(out.count("warning: gnuplot is not installed (Debian: gnuplot-nox)") == 1,
               "one warning without gnuplot")
    test.check(set(os.listdir("unplotted")) == {n for n in FILES if not n.endswith(".svg")},
               "files without gnuplot")
    if GNUPLOT:
        for name in ("documents", "frequency", "attention", "compression"):
            done = subprocess.run(["gnuplot", name + ".gp"], cwd="unplotted",
                                  stderr=subprocess.PIPE)
            test.check(done.returncode == 0 and not done.stderr,
                       f"gnuplot {name}.gp says: {done.stderr.decode()[:300]}")
            test.check(os.path.getsize(f"unplotted/{name}.svg") > 2000, f"{name}.svg")


def main():
    test = runs.Test(TEXT)
    counts = mark(test)
    run = test.train("run", MODEL)
    wanted = check_one(test, run, counts)
    check_grids(test, run, wanted)
    check_nothing_to_measure(test, run)
    check_autoencoding(test)
    check_sweep(test, run)
    check_single(test, run)
    check_no_memory(test, run)
    check_refused(test, run)
    check_no_weights(test)
    check_text_alone(test, run)
    check_full_disk(test, run)
    check_without_gnuplot(test, run)
    return test.finish()


if __name__ == "__main__":
    runs.start(main)
