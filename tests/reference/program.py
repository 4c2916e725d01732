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


def read_log(run):
    """The losses of all updates in RUN/metrics.jsonl; a loss that is not there counts as 0."""
    with open(os.path.join(run, "metrics.jsonl")) as file:
        lines = [json.loads(line) for line in file if line.strip()]
    lines = sorted((line for line in lines if line["kind"] == "train"), key=lambda l: l["update"])
    return {key: np.array([line.get(key) or 0.0 for line in lines], dtype=np.float64)
            for key in ("loss", "compression_loss")}


def read_nats(path):
    """{nats/NAME: per-token nats} of an evaluation."""
    found = datasets(path)
    return {"nats/" + name[len("documents/"):-len("/nats")]: array
            for name, array in found.items()
            if name.startswith("documents/") and name.endswith("/nats")}


# ---- running ------------------------------------------------------------------------------------

def write_config(program, name, data, folder):
    """-> path of the INI file that the configuration runs from"""
    path = os.path.join(folder, "config.ini")
    with open(path, "w") as file:
        file.write(configs.ini_text(name, data, program.overrides))
    return path


def initial_weights(program, name, data, folder):
    """Trains no update, in folder/initial. -> {name: array} of the initial weights"""
    run = os.path.join(folder, "initial")
    config = write_config(program, name, data, folder)
    program.run("train", config, "--set", "train.updates=0", "--run", run)
    found = read_checkpoint(checkpoint_path(run, 0))
    return {key[len("weights/"):]: array for key, array in found.items()
            if key.startswith("weights/")}


def train(program, name, data, folder):
    """Trains all updates. -> the run's folder"""
    run = os.path.join(folder, "trained")
    program.run("train", write_config(program, name, data, folder), "--run", run)
    return run


def evaluate(program, name, data, checkpoint, losses):
    """Writes the per-token nats of the test split to the file `losses`."""
    changes = []
    for key, value in configs.EVALUATION.get(name, {}).items():
        changes += ["--set", f"{key}={value}"]
    program.run("evaluate", checkpoint, "--data", data, "--split", "test",
                "--losses", losses, *changes)


def results(program, name, data, folder):
    """Trains and evaluates one configuration in `folder`. -> the flat dict of results"""
    run = train(program, name, data, folder)
    checkpoint = checkpoint_path(run, configs.BASE["train.updates"])
    losses = os.path.join(folder, "losses.h5")
    evaluate(program, name, data, checkpoint, losses)
    return {**read_checkpoint(checkpoint), **read_log(run), **read_nats(losses)}
