#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The lines of Python in io/README.md do what is said there, on a run of this program.

    tests/test_examples.py build/palimpsest [MPIRUN...]
"""
import contextlib
import io
import os
import re

import numpy as np

import runs

PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "io", "README.md")


def lines_of_python():
    with open(PAGE) as page:
        return re.findall(r"^```python\n(.*?)^```", page.read(), re.DOTALL | re.MULTILINE)


def follow(lines):
    """-> what they print, the names that they leave"""
    printed, names = io.StringIO(), {}
    with contextlib.redirect_stdout(printed):
        exec(compile(lines, PAGE, "exec"), names)
    return printed.getvalue(), names


def check_checkpoint(test, lines, tensors):
    printed, names = follow(lines)
    test.check("update 4\n" in printed and "width = 8" in printed, "update, configuration")
    test.check(printed.count("reads document") == 2, "both rows are printed")
    test.check(printed.count("compressed slots") == 2, "both layers are printed")
    test.check(np.array_equal(names["table"], tensors["weights/embedding/table"]), "the table")


def check_safetensors(test, lines, tensors):
    wanted = {name[len("weights/"):].replace("/", "."): array for name, array in tensors.items()
              if name.startswith("weights/")}
    for ranks, kind in ((1, "float32"), (3, "float32"), (2, "bfloat16")):
        if os.path.exists("weights.safetensors"):
            os.remove("weights.safetensors")
        test.program(ranks, "convert", "RUN", "-o", "weights.safetensors", "--type", kind)
        printed, names = follow(lines)
        found = names["weights"]
        test.check(f"{len(wanted)} tensors" in printed, f"{kind}: the number of tensors")
        test.check(found.keys() == wanted.keys(), f"{kind}: names")
        test.check("width = 8" in names["configuration"], f"{kind}: configuration")
        for name in wanted:
            number = found[name].float().numpy()
            off = 0 if kind == "float32" else 2.0 ** -8
            close = np.abs(number - wanted[name]) <= off * np.abs(wanted[name])
            test.check(number.shape == wanted[name].shape and close.all(), f"{kind}: {name}")


def main():
    test = runs.Test()
    run = test.train("RUN", ranks=2)
    tensors = runs.datasets(run.checkpoint())
    checkpoint, safetensors = lines_of_python()
    check_checkpoint(test, checkpoint, tensors)
    for name in ("weights.h5", "half.h5"):
        kind = "bfloat16" if name == "half.h5" else "float32"
        test.program(2, "convert", "RUN", "-o", name, "--type", kind)
        test.check("whole" in test.program(1, "verify", name), f"{name} is whole")
        test.program(1, "evaluate", name, "--data", test.data)
    whole = runs.datasets("weights.h5")
    test.check(all(np.array_equal(whole[name], tensors[name]) for name in whole), "weights.h5")
    test.check(len(whole) == sum(name.startswith("weights/") for name in tensors),
               "weights.h5 has the weights alone")
    try:
        import torch  # noqa: F401 (the second example needs it)
    except ImportError:
        print("skipped: the example for PyTorch, which is not there")
    else:
        check_safetensors(test, safetensors, tensors)
    return test.finish()


if __name__ == "__main__":
    runs.start(main)
