"""Runs `palimpsest` and reads its files into the flat dict of arrays that train.py returns."""
import json
import os
import subprocess

import h5py
import numpy as np

import configs
import corpus

KINDS = {"weights": "weights", "optimizer/first_moment": "first_moment",
         "optimizer/second_moment": "second_moment", "memory": "memory"}


class Program:
    """The binary, what starts it, and settings added to every configuration."""

    def __init__(self, binary, launcher=(), overrides=None):
        self.command = [*launcher, os.path.abspath(binary)]
        self.overrides = overrides or {}

    def run(self, *arguments):
        done = subprocess.run([*self.command, *arguments], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace")
        if done.returncode != 0:
            tail = "\n    ".join(done.stdout.strip().splitlines()[-8:])
            raise RuntimeError(f"palimpsest {arguments[0]}: exit status {done.returncode}\n"
                               f"    {tail}")


def prepare(program, folder):
    """Writes the corpora and their data.h5 files. -> {corpus: path of data.h5}"""
    paths = {}
    for name, contents in corpus.CORPORA.items():
        text, data = os.path.join(folder, name), os.path.join(folder, name + ".h5")
        corpus.write_corpus(text, contents)
        program.run("prepare", text, "--tokenizer", "bytes", "-o", data)
        paths[name] = data
    return paths


def checkpoint_path(run, update):
    return os.path.join(run, "checkpoints", f"step-{update:08d}.h5")


def train(program, name, data, folder):
    """Initial checkpoint in folder/initial, the trained one in folder/trained."""
    config = os.path.join(folder, "config.ini")
    with open(config, "w") as file:
        file.write(configs.ini_text(name, data, program.overrides))
    program.run("train", config, "--set", "train.updates=0",
                "--run", os.path.join(folder, "initial"))
    program.run("train", config, "--run", os.path.join(folder, "trained"))


def evaluate(program, name, data, folder):
    """Per-token nats of the test split in folder/losses.h5."""
    checkpoint = checkpoint_path(os.path.join(folder, "trained"), configs.BASE["train.updates"])
    changes = []
    for key, value in configs.EVALUATION.get(name, {}).items():
        changes += ["--set", f"{key}={value}"]
    program.run("evaluate", checkpoint, "--data", data, "--split", "test",
                "--losses", os.path.join(folder, "losses.h5"), *changes)


# ---- reading -----------------------------------------------------------------------------------

def datasets(path):
    """Every dataset of an HDF5 file: {path: array}."""
    found = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    return found


def read_checkpoint(path):
    """Weights, moments and memory under the names of train.py."""
    result = {}
    for path_in_file, array in datasets(path).items():
        for prefix, kind in KINDS.items():
            if path_in_file.startswith(prefix + "/"):
                result[kind + path_in_file[len(prefix):]] = array
    return result


def read_initial(folder):
    """{name: array} of the initial weights."""
    found = read_checkpoint(checkpoint_path(os.path.join(folder, "initial"), 0))
    return {name[len("weights/"):]: array for name, array in found.items()
            if name.startswith("weights/")}


def read_log(run):
    """The losses of all updates in RUN/metrics.jsonl; a loss that is not there counts as 0."""
    with open(os.path.join(run, "metrics.jsonl")) as file:
        lines = [json.loads(line) for line in file if line.strip()]
    lines = sorted((line for line in lines if line["kind"] == "train"), key=lambda l: l["update"])
    return {key: np.array([line.get(key) or 0.0 for line in lines], dtype=np.float64)
            for key in ("loss", "compression_loss")}


def read_nats(folder):
    """{nats/NAME: per-token nats} of the evaluation."""
    found = datasets(os.path.join(folder, "losses.h5"))
    return {"nats/" + name[len("documents/"):-len("/nats")]: array
            for name, array in found.items()
            if name.startswith("documents/") and name.endswith("/nats")}


def results(program, name, data, folder):
    """Runs one configuration in `folder`. -> (initial weights, flat dict of results)"""
    train(program, name, data, folder)
    evaluate(program, name, data, folder)
    run = os.path.join(folder, "trained")
    found = read_checkpoint(checkpoint_path(run, configs.BASE["train.updates"]))
    found.update(read_log(run))
    found.update(read_nats(folder))
    return read_initial(folder), found
