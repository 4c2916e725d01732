"""Writes golden.h5 anew from the program's initial weights and the reference's mathematics.

    python3 make_golden.py PALIMPSEST_BINARY [NAME ...]        all configurations by default

The column float32 is how far the reference in float32 is from itself in float64: a configuration
that comes near the tolerance stands at a kink (a relu, a tiny Adam step) and wants another seed.
Needs torch. Of the program only `prepare` and the initial checkpoint are used.
"""
import os
import sys
import tempfile

import torch

import configs
import golden
import program
import reference
from difference import difference


def make(binary, names):
    palimpsest = program.Program(binary)
    if set(names) == set(configs.CONFIGS) and os.path.exists(golden.PATH):
        os.remove(golden.PATH)
    with tempfile.TemporaryDirectory() as folder:
        data = program.prepare(palimpsest, folder)
        for name in names:
            path = data[configs.values(name)["corpus"]]
            run = os.path.join(folder, "runs", name)
            os.makedirs(run)
            initial = program.initial_weights(palimpsest, name, path, run)
            result = reference.results(name, path, initial)
            golden.write(golden.PATH, name, initial, result)
            rounded = reference.results(name, path, initial, dtype=torch.float32)
            print(f"golden {name:27s} float32 {difference(rounded, result).error:.1e}", flush=True)
    print(f"{len(names)} configurations, {os.path.getsize(golden.PATH)} bytes")


def main():
    binary, *names = sys.argv[1:]
    make(binary, names or list(configs.CONFIGS))


if __name__ == "__main__":
    main()
