"""The committed reference values, golden.h5: one group per configuration.

    /NAME/values     float32, all arrays of the result one after another, compressed
    /NAME/layout     JSON: [[array name, shape], ...] in the order of `values`
    /NAME/initial    JSON: {weight name: [sum, sum of squares, sum of |w|]} of the initial weights

To keep the file small every array is rounded to steps of 2^-17 of its largest value, far below
the tolerance of the comparison.
"""
import json
import os

import h5py
import numpy as np

PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden.h5")
STEPS = 2.0 ** 17
INITIAL_TOLERANCE = 1e-6


def rounded(array):
    """The array in steps of largest / 2^17, as float32."""
    array = np.asarray(array, dtype=np.float64)
    largest = np.nanmax(np.abs(array), initial=0.0)
    step = 2.0 ** np.ceil(np.log2(largest)) / STEPS if largest > 0 else 1.0
    return (np.round(array / step) * step).astype(np.float32)


def summary(initial):
    """Three sums per initial weight: enough to say whether they are the same."""
    sums = {}
    for name, array in initial.items():
        w = array.astype(np.float64)
        sums[name] = [float(w.sum()), float((w ** 2).sum()), float(np.abs(w).sum())]
    return sums


def write(path, name, initial, result):
    """Adds or replaces one configuration."""
    names = sorted(result)
    layout = [[key, list(np.shape(result[key]))] for key in names]
    values = np.concatenate([rounded(result[key]).ravel() for key in names])
    with h5py.File(path, "a") as file:
        if name in file:
            del file[name]
        group = file.create_group(name)
        group.create_dataset("values", data=values, compression="gzip", compression_opts=9,
                             shuffle=True, chunks=values.shape)
        group["layout"] = json.dumps(layout)
        group["initial"] = json.dumps(summary(initial))


def read(path, name):
    """-> (summary of the initial weights, result), or None where there is none"""
    with h5py.File(path, "r") as file:
        if name not in file:
            return None
        group = file[name]
        values = group["values"][:]
        layout = json.loads(group["layout"].asstr()[()])
        initial = json.loads(group["initial"].asstr()[()])
    result, at = {}, 0
    for key, shape in layout:
        size = int(np.prod(shape))
        result[key] = values[at:at + size].reshape(shape)
        at += size
    return initial, result


def initial_differences(expected, initial):
    """Names of initial weights that are not those the golden values were made from."""
    found = summary(initial)
    wrong = sorted(set(expected) ^ set(found))
    for name in sorted(set(expected) & set(found)):
        scale = max(expected[name][2], 1e-30)
        if np.max(np.abs(np.subtract(expected[name], found[name]))) > INITIAL_TOLERANCE * scale:
            wrong.append(name)
    return wrong
