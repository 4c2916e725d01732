# SPDX-License-Identifier: Apache-2.0
"""What the Python tests of whole runs share: a small text, a tiny model, the program on some ranks,
and its files as dictionaries of arrays. Scripts call start(main) and build a Test in main.
"""
import json
import math
import os
import subprocess
import sys
import tempfile
import time

try:
    import h5py
    import numpy as np
except ImportError as error:
    print(f"skipped: {error} for {sys.executable}; Debian's packages belong to /usr/bin/python3")
    sys.exit(77)

LAUNCHER = ["mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none"]
SECONDS = 240  # that a program may take: ranks that share busy cores wait for each other long

TINY = {
    "model.layers": "2", "model.width": "8", "model.heads": "2", "model.feed_forward": "16",
    "model.window": "8", "model.memory": "8", "model.compressed_memory": "4",
    "model.compression_rate": "4", "model.compression": "conv",
    "model.compression_loss": "attention", "model.positions": "separate", "model.norm": "pre",
    "model.tie_embeddings": "true", "batch.rows": "2", "train.updates": "4", "train.seed": "1",
    "train.lr_peak": "3e-3", "train.warmup": "2", "train.log_every": "1",
    "train.evaluate_every": "0", "parallel.threads": "1",
}

# Lengths in bytes: shorter than a window, a multiple of one, longer than window and memories.
TEXT = {
    "train": [700, 130, 256, 64, 401, 333, 90, 511, 47, 5, 620, 240, 77, 300],
    "validation": [150],
    "test": [203, 61],
}
WORDS = "the whale sea and of old a ship night wind Ahab said upon dark water".split()


def text_of(length, seed):
    state, text = seed, ""
    while len(text) < length:
        state = state * 16807 % 2147483647
        text += WORDS[state % len(WORDS)] + " "
    return text[:length]


def write_text(folder, text):
    for number, (split, lengths) in enumerate(text.items()):
        os.makedirs(os.path.join(folder, split))
        for i, length in enumerate(lengths):
            name = f"{number + 1}{i + 1:02d}.txt"
            with open(os.path.join(folder, split, name), "w") as file:
                file.write(text_of(length, 100 * number + i + 1))


# ---- files --------------------------------------------------------------------------------------

def datasets(path):
    """{path in the file: array}, without the configuration and the checksums: these differ where
    ranks wrote other parts"""
    found = {}
    with h5py.File(path, "r") as file:
        file.visititems(lambda name, item: found.update({name: item[()]})
                        if isinstance(item, h5py.Dataset) else None)
    return {name: array for name, array in found.items()
            if name != "configuration" and not name.startswith("checksums/")}


def attributes(path):
    with h5py.File(path, "r") as file:
        found = dict(file.attrs)
    return {name: value.decode() if isinstance(value, bytes) else value
            for name, value in found.items()}


def stored_config(path):
    with h5py.File(path, "r") as file:
        return parse_config(file["/configuration"][0].decode())


def parse_config(text):
    """{section.key: value} of INI text"""
    values, section = {}, None
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("["):
            section = line[1:-1]
        elif line and not line.startswith("#"):
            key, value = line.split("=", 1)
            values[f"{section}.{key.strip()}"] = value.strip()
    return values


def read_config(path):
    with open(path) as file:
        return parse_config(file.read())


def write_config(path, values):
    sections = {}
    for key, value in values.items():
        section, name = key.split(".")
        sections.setdefault(section, []).append(f"{name} = {value}\n")
    with open(path, "w") as file:
        for section, lines in sections.items():
            file.write(f"[{section}]\n" + "".join(lines))


# ---- runs ---------------------------------------------------------------------------------------

class Run:
    """A finished training."""

    def __init__(self, test, folder):
        self.test, self.folder = test, folder

    def metrics(self, kind=None):
        with open(os.path.join(self.folder, "metrics.jsonl")) as file:
            lines = [json.loads(line) for line in file]
        return [line for line in lines if kind in (None, line["kind"])]

    def log(self):
        with open(os.path.join(self.folder, "log.txt")) as file:
            return file.read()

    def checkpoint(self):
        return os.path.realpath(os.path.join(self.folder, "checkpoints", "latest"))

    def evaluate(self, ranks=1, *more):
        """-> the JSON object of the last line, {document: nats of its tokens}"""
        losses = os.path.join(self.folder, "losses.h5")
        out = self.test.program(ranks, "evaluate", self.folder, "--data", self.test.data,
                                "--set", "parallel.threads=1", "--losses", losses, "--json", *more)
        found = {name.split("/")[1]: array for name, array in datasets(losses).items()}
        return json.loads(out.strip().splitlines()[-1]), found


class Test:
    def __init__(self, text=None):
        self.binary = os.path.abspath(sys.argv[1])
        self.launcher = sys.argv[2:] or LAUNCHER
        self.folder, self.failures, self.checks = os.getcwd(), 0, 0
        self.started = time.monotonic()
        write_text(os.path.join(self.folder, "text"), text or TEXT)
        self.data = os.path.join(self.folder, "data.h5")
        self.program(1, "prepare", "text", "-o", self.data)

    def program(self, ranks, *arguments):
        """Its standard output; a failure ends the test."""
        start = [] if ranks == 1 else [*self.launcher, "-n", str(ranks)]
        done = subprocess.run([*start, self.binary, *arguments], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=SECONDS)
        if done.returncode != 0:
            print(done.stderr.decode(errors="replace")[-4000:])
            sys.exit(f"status {done.returncode} on {ranks} ranks: palimpsest "
                     + " ".join(arguments))
        return done.stdout.decode(errors="replace")

    def train(self, name, changes=None, ranks=1, config_file=None):
        folder = os.path.join(self.folder, name)
        if config_file is None:
            config_file = os.path.join(self.folder, name + ".ini")
            write_config(config_file, {**TINY, "data.path": self.data, **(changes or {})})
        self.program(ranks, "train", config_file, "--run", folder)
        return Run(self, folder)

    def check(self, good, what):
        self.checks += 1
        if not good:
            self.failures += 1
            print(f"FAILED: {what}")

    def check_same_bits(self, name, a, b):
        """Losses as logged, and every number of the checkpoints."""
        for key in ("loss", "compression_loss", "gradient_norm", "tokens"):
            self.check([line[key] for line in a.metrics("train")] ==
                       [line[key] for line in b.metrics("train")], f"{name}: {key} in metrics")
        one, two = datasets(a.checkpoint()), datasets(b.checkpoint())
        self.check(one.keys() == two.keys(), f"{name}: names in checkpoints")
        for key in one.keys() & two.keys():
            self.check(one[key].tobytes() == two[key].tobytes(), f"{name}: {key} differs")

    def check_close(self, name, found, wanted, tolerance):
        """Largest difference relative to the largest value."""
        found, wanted = np.asarray(found, "float64"), np.asarray(wanted, "float64")
        if found.shape != wanted.shape:
            self.check(False, f"{name}: {found.shape} instead of {wanted.shape} numbers")
            return
        size = np.abs(wanted).max(initial=0.0)
        off = np.abs(found - wanted).max(initial=0.0)
        self.check(off <= tolerance * size, f"{name}: off by {off:.3g}, largest value {size:.3g}")

    def finish(self):
        print(f"{self.checks} checks, {self.failures} failed, "
              f"{math.ceil(time.monotonic() - self.started)} s")
        return 1 if self.failures else 0


def start(main):
    """Runs main() in a folder that is removed after it."""
    if len(sys.argv) < 2:
        sys.exit(f"use: {sys.argv[0]} PALIMPSEST [MPIRUN...]")
    sys.argv[1] = os.path.abspath(sys.argv[1])
    os.environ.update(OMP_WAIT_POLICY="passive", OMP_NUM_THREADS="1")
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory(dir=memory) as shared:
        # What ranks that are killed leave of the memory that they share.
        os.environ["OMPI_MCA_btl_vader_backing_directory"] = shared
        os.chdir(folder)
        try:
            status = main()
        finally:
            os.chdir("/")
    sys.exit(status)
