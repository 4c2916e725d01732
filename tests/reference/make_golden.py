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

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden.h5")


def initial_weights(palimpsest, name, data, folder):
    """Runs `train` with no update."""
    config = os.path.join(folder, "config.ini")
    with open(config, "w") as file:
        file.write(configs.ini_text(name, data))
    palimpsest.run("train", config, "--set", "train.updates=0",
                   "--run", os.path.join(folder, "initial"))
    return program.read_initial(folder)


def make(binary, names):
    palimpsest = program.Program(binary)
    if set(names) == set(configs.CONFIGS) and os.path.exists(GOLDEN):
        os.remove(GOLDEN)
    with tempfile.TemporaryDirectory() as folder:
        data = program.prepare(palimpsest, folder)
        for name in names:
            path = data[configs.values(name)["corpus"]]
            run = os.path.join(folder, "runs", name)
            os.makedirs(run)
            initial = initial_weights(palimpsest, name, path, run)
            golden.write(GOLDEN, name, initial, reference.results(name, path, initial))
            print(f"golden {name}", flush=True)
    print(f"{len(names)} configurations, {os.path.getsize(GOLDEN)} bytes")


def main():
    binary, *names = sys.argv[1:]
    make(binary, names or list(configs.CONFIGS))


if __name__ == "__main__":
    main()
