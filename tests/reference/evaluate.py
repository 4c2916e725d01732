"""Nats of every token of every document of a split.

    python3 evaluate.py CONFIG.ini CHECKPOINT.h5 DATA.h5 SPLIT      prints nats per token

reset_memory = document: every document starts from empty memory.
reset_memory = never: the documents follow each other in one row that keeps its memory.
"""
import sys

import numpy as np
import torch

from data import document_windows, read_split
from model import empty_memories, read_window
from settings import from_ini
from train import as_tensors, read_weights


def evaluate(settings, arrays, split, dtype=torch.float64):
    """arrays: {name: weight}. -> {document name: nats (tokens,)}"""
    weights = as_tensors(arrays, settings, dtype)
    memories = empty_memories(settings, dtype)
    result = {}
    with torch.no_grad():
        for name, document in zip(split.names, split.documents):
            if settings.reset_memory == "document":
                memories = empty_memories(settings, dtype)
            parts = []
            for window in document_windows(document, settings.window):
                nats, memories, _ = read_window(
                    torch.tensor(window.inputs), torch.tensor(window.targets), memories,
                    weights, settings)
                parts.append(nats.numpy())
            result[name] = np.concatenate(parts) if parts else np.zeros(0)
    return result


def main():
    config, checkpoint, data, split = sys.argv[1:]
    settings = from_ini(open(config).read())
    nats = evaluate(settings, read_weights(checkpoint), read_split(data, split))
    for name, values in nats.items():
        print(f"document={name} tokens={len(values)} loss={values.mean():.6f}")


if __name__ == "__main__":
    main()
