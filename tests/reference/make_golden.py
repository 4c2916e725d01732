"""Writes golden.h5 anew from the program's initial weights and the reference's mathematics.

    python3 make_golden.py PALIMPSEST_BINARY [NAME ...]        all configurations by default

Needs torch. Of the program only `prepare` and the initial checkpoint are used.
"""
import os
import sys
import tempfile

import configs
import golden
import program
import reference


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
            golden.write(golden.PATH, name, initial, reference.results(name, path, initial))
            print(f"golden {name}", flush=True)
    print(f"{len(names)} configurations, {os.path.getsize(golden.PATH)} bytes")


def main():
    binary, *names = sys.argv[1:]
    make(binary, names or list(configs.CONFIGS))


if __name__ == "__main__":
    main()
