"""Trains from an initial checkpoint, and returns everything a checkpoint and the log would hold.

    python3 train.py CONFIG.ini INITIAL.h5 DATA.h5          prints the losses of the updates

The result is one flat dict of numpy arrays:
    weights/NAME  first_moment/NAME  second_moment/NAME
    memory/layers/NN/{recent,compressed,valid_recent,valid_compressed}
    loss (updates,)   compression_loss (updates,)
A row that stands between two documents has no specified memory: its slots are nan, its counts -1.
"""
import sys

import h5py
import numpy as np
import torch

from data import read_split, training_windows
from model import empty_memories, read_window
from optimizer import Adam, clip_groups, windows_in_update
from parameters import all_shapes
from settings import from_ini

torch.set_num_threads(1)
UNSPECIFIED_COUNT = -1


def read_weights(path):
    """All arrays under /weights of a checkpoint: {name: array}."""
    found = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = item[:]

    with h5py.File(path, "r") as file:
        file["weights"].visititems(visit)
    return found


def as_tensors(arrays, settings, dtype=torch.float64):
    """Weights as tensors; names what is missing or has another shape."""
    for name, shape in all_shapes(settings).items():
        if name not in arrays:
            raise ValueError(f"/weights/{name} is missing")
        if arrays[name].shape != shape:
            raise ValueError(f"/weights/{name} is {arrays[name].shape}, expected {shape}")
    return {name: torch.tensor(array, dtype=dtype) for name, array in arrays.items()}


# ---- one update --------------------------------------------------------------------------------

def start_window(memories, window, settings, dtype):
    """The memories with which a row reads the window."""
    if memories is None or (window.first and settings.reset_memory == "document"):
        return empty_memories(settings, dtype)
    return memories


def mean_compression_loss(sums, counts, settings):
    """Per layer sum / count; then the mean over the layers that have compressed memory."""
    layers = [l for l in range(settings.layers) if settings.compressed_memory[l] > 0]
    means = [sums[l] / counts[l] if counts[l] else torch.zeros(()) for l in layers]
    return sum(means) / len(means) if means else torch.zeros(())


def update_losses(weights, memories, batches, settings):
    """Reads the windows of one update (batches: a list of lists of R windows).

    -> task loss, compression loss, the rows' memories
    """
    dtype = next(iter(weights.values())).dtype
    nats, targets = torch.zeros((), dtype=dtype), 0
    sums, counts = [0.0] * settings.layers, [0] * settings.layers
    memories = [row and [memory.detached() for memory in row] for row in memories]
    for batch in batches:
        for row, window in enumerate(batch):
            memory = start_window(memories[row], window, settings, dtype)
            row_nats, memories[row], losses = read_window(
                torch.tensor(window.inputs), torch.tensor(window.targets), memory,
                weights, settings)
            nats, targets = nats + row_nats.sum(), targets + len(window.targets)
            for layer, (loss, count) in enumerate(losses):
                sums[layer], counts[layer] = sums[layer] + loss, counts[layer] + count
    return nats / targets, mean_compression_loss(sums, counts, settings), memories


def gradients_of(loss, weights):
    """d loss / d weights; zero where the loss does not depend on a weight."""
    if not loss.requires_grad:
        return {name: torch.zeros_like(w) for name, w in weights.items()}
    values = torch.autograd.grad(loss, list(weights.values()), allow_unused=True,
                                 retain_graph=True)
    return {name: torch.zeros_like(w) if g is None else g
            for (name, w), g in zip(weights.items(), values)}


# ---- the whole run -----------------------------------------------------------------------------

def memory_arrays(memories, batch, settings):
    """The rows' memories as checkpoints hold them."""
    kept = settings.reset_memory == "never"
    specified = np.array([kept or not window.last for window in batch])
    result = {}
    for layer in range(settings.layers):
        rows = [row[layer] for row in memories]
        for name in ("recent", "compressed"):
            values = np.stack([getattr(row, name).numpy() for row in rows])
            values[~specified] = np.nan
            counts = np.array([getattr(row, "valid_" + name) for row in rows])
            counts[~specified] = UNSPECIFIED_COUNT
            result[f"memory/layers/{layer:02d}/{name}"] = values
            result[f"memory/layers/{layer:02d}/valid_{name}"] = counts
    return result


def train(settings, initial, split, dtype=torch.float64):
    """initial: {name: array}; split: the training documents. -> the result described above."""
    weights = as_tensors(initial, settings, dtype)
    adam = Adam(weights)
    stream = training_windows(split, settings.rows, settings.window)
    memories = [None] * settings.rows
    log = {"loss": [], "compression_loss": []}

    for update in range(1, settings.updates + 1):
        batches = [next(stream) for _ in range(windows_in_update(update, settings))]
        weights = {name: w.detach().requires_grad_() for name, w in weights.items()}
        task, compression, memories = update_losses(weights, memories, batches, settings)
        gradients = clip_groups(gradients_of(task + compression, weights), settings.clip)
        with torch.no_grad():
            weights = adam.step(weights, gradients, update, settings)
        log["loss"].append(float(task))
        log["compression_loss"].append(float(compression))

    result = {key: np.array(values) for key, values in log.items()}
    kinds = {"weights": weights, "first_moment": adam.first, "second_moment": adam.second}
    for kind, tensors in kinds.items():
        for name, value in tensors.items():
            result[f"{kind}/{name}"] = value.detach().numpy()
    result.update(memory_arrays(memories, batches[-1], settings))
    return result


def main():
    config, initial, data = sys.argv[1:]
    settings = from_ini(open(config).read())
    result = train(settings, read_weights(initial), read_split(data, "train"))
    for update, (task, compression) in enumerate(zip(result["loss"], result["compression_loss"])):
        print(f"update={update + 1} loss={task:.6f} compression_loss={compression:.6e}")


if __name__ == "__main__":
    main()
