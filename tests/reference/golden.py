"""The committed reference values, golden.h5: one group per configuration.

    /NAME/values     int16, all arrays of the result one after another, compressed
    /NAME/layout     compressed JSON: [[array name, shape, step], ...] in the order of `values`
    /NAME/initial    compressed JSON: {weight name: [sum, sum of squares, sum of absolute values]}

To keep the file small every array is counted in steps of 1/32767 of its largest value, which
rounds by 1.5e-5 of it: far below the tolerance of the comparison. nan is the count -32768.
"""
import json
import os

import h5py
import numpy as np

PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden.h5")
STEPS = 32767
NAN = -32768
INITIAL_TOLERANCE = 1e-6


def counted(array):
    """-> the array in int16 steps, and the step"""
    array = np.asarray(array, dtype=np.float64).ravel()
    largest = np.nanmax(np.abs(array), initial=0.0)
    step = largest / STEPS if largest > 0 else 1.0
    return np.where(np.isnan(array), NAN, np.round(array / step)).astype(np.int16), step


def restored(counts, step, shape):
    """The array that `counted` was given, as float64."""
    return np.where(counts == NAN, np.nan, counts * step).reshape(shape)


def summary(initial):
    """Three sums per initial weight: enough to say whether they are the same."""
    sums = {}
    for name, array in initial.items():
        w = array.astype(np.float64)
        sums[name] = [float(w.sum()), float((w ** 2).sum()), float(np.abs(w).sum())]
    return sums


def json_bytes(value):
    return np.frombuffer(json.dumps(value).encode(), np.uint8)


def write_compressed(group, name, values):
    group.create_dataset(name, data=values, chunks=values.shape, shuffle=True,
                         compression="gzip", compression_opts=9)


def write(path, name, initial, result):
    """Adds or replaces one configuration."""
    layout, parts = [], []
    for key in sorted(result):
        counts, step = counted(result[key])
        layout.append([key, list(np.shape(result[key])), step])
        parts.append(counts)
    values = np.concatenate(parts)
    with h5py.File(path, "a") as file:
        if name in file:
            del file[name]
        group = file.create_group(name)
        write_compressed(group, "values", values)
        write_compressed(group, "layout", json_bytes(layout))
        write_compressed(group, "initial", json_bytes(summary(initial)))


def read(path, name):
    """-> (summary of the initial weights, result), or None where there is none"""
    with h5py.File(path, "r") as file:
        if name not in file:
            return None
        group = file[name]
        values = group["values"][:]
        layout = json.loads(group["layout"][:].tobytes())
        initial = json.loads(group["initial"][:].tobytes())
    result, at = {}, 0
    for key, shape, step in layout:
        size = int(np.prod(shape))
        result[key] = restored(values[at:at + size], step, shape)
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
