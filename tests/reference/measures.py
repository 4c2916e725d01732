"""What a report measures, by the reference: attention by bucket and the compression loss of each
layer, over a split, in double precision.

    python3 measures.py CONFIG.ini CHECKPOINT.h5 DATA.h5 SPLIT

Attention: per window of a document whose memory is full, the mean weight over heads and queries on
every slot, summed over six buckets each of compressed memory, memory and window; then the mean over
windows, weighted by their queries, and the deviation from it.
"""
import sys

import numpy as np
import torch

import model
from data import document_windows, read_split
from settings import from_ini
from train import as_tensors, read_weights

BUCKETS = 6


def by_bucket(weights):
    return [float(part.sum()) for part in np.array_split(weights, BUCKETS)]


def sample(memory, probabilities, settings):
    """18 numbers, or None where the memory is not full."""
    N, M = memory.compressed.shape[0], memory.recent.shape[0]
    if memory.valid_compressed < N or memory.valid_recent < M:
        return None
    slots = probabilities.mean(dim=(0, 1)).numpy()
    window = np.zeros(settings.window)
    window[:len(slots) - N - M] = slots[N + M:]
    return by_bucket(slots[:N]) + by_bucket(slots[N:N + M]) + by_bucket(window)


def mean_and_deviation(samples):
    """samples: [(18 numbers, queries)] -> (18, 2), how many samples, how many queries"""
    if not samples:
        return np.zeros((18, 2)), 0, 0
    values = np.array([value for value, _ in samples])
    queries = np.array([count for _, count in samples], dtype=float)[:, None]
    mean = (queries * values).sum(axis=0) / queries.sum()
    variance = (queries * (values - mean) ** 2).sum(axis=0) / queries.sum()
    return np.stack([mean, np.sqrt(variance)], axis=1), len(samples), int(queries.sum())


def measure(settings, arrays, split, dtype=torch.float64):
    """-> {layer or "mean": mean_and_deviation()}, {layer: (sum, count)}"""
    weights = as_tensors(arrays, settings, dtype)
    seen = []
    attention = model.attention

    def watched(a, memory, *more):
        y, probabilities = attention(a, memory, *more)
        seen.append(sample(memory, probabilities, settings))
        return y, probabilities

    samples = {layer: [] for layer in [*range(settings.layers), "mean"]}
    losses = {layer: np.zeros(2) for layer in range(settings.layers)}
    model.attention = watched
    try:
        with torch.no_grad():
            for document in split.documents:
                memories = model.empty_memories(settings, dtype)
                for window in document_windows(document, settings.window):
                    seen.clear()
                    _, memories, parts = model.read_window(
                        torch.tensor(window.inputs), torch.tensor(window.targets), memories,
                        weights, settings)
                    queries = len(window.targets)
                    for layer, found in enumerate(seen):
                        losses[layer] += [float(part) for part in parts[layer]]
                        if found is not None:
                            samples[layer].append((found, queries))
                    if all(found is not None for found in seen):
                        samples["mean"].append((np.mean(seen, axis=0), queries))
    finally:
        model.attention = attention
    return {layer: mean_and_deviation(found) for layer, found in samples.items()}, losses


def main():
    config, checkpoint, data, split = sys.argv[1:]
    settings = from_ini(open(config).read())
    attention, losses = measure(settings, read_weights(checkpoint), read_split(data, split))
    for layer, (values, samples, queries) in attention.items():
        print(f"layer={layer} samples={samples} queries={queries} "
              + " ".join(f"{mean:.4f}" for mean, _ in values))
    for layer, (total, count) in losses.items():
        print(f"layer={layer} compression_loss={total / count if count else 0.0:.6g}")


if __name__ == "__main__":
    main()
