"""Reads data.h5, and says which tokens each row reads in which window of training."""
from dataclasses import dataclass

import h5py
import numpy as np

from settings import DOCUMENT_TOKEN


@dataclass
class Split:
    """The documents of one split, in the file's order."""
    names: list
    documents: list         # of int64 arrays of tokens
    words: list             # per document
    sizes: list             # per document, in bytes


@dataclass
class Window:
    """What one row reads in one window."""
    inputs: np.ndarray      # (n,) n <= T
    targets: np.ndarray     # (n,)
    first: bool             # the first window of its document, or of its lane
    last: bool


def read_split(path, split):
    with h5py.File(path, "r") as file:
        expected = {"format": "palimpsest-data", "version": 2, "tokenizer": "bytes",
                    "vocabulary": 257, "document_token": DOCUMENT_TOKEN}
        for key, value in expected.items():
            found = file.attrs[key]
            found = found.decode() if isinstance(found, bytes) else found
            if found != value:
                raise ValueError(f"{path}: attribute {key} is {found!r}, expected {value!r}")
        group = file[split]
        tokens = group["tokens"][:].astype(np.int64)
        offsets = group["offsets"][:]
        names = [name.decode() if isinstance(name, bytes) else str(name)
                 for name in group["names"][:]]
        words, sizes = group["words"][:].tolist(), group["bytes"][:].tolist()
    documents = [tokens[begin:end] for begin, end in zip(offsets[:-1], offsets[1:])]
    return Split(names, documents, words, sizes)


def windows(inputs, targets, T):
    """Cuts one document (or lane) into windows of T; the last may be shorter."""
    cuts = range(0, len(targets), T)
    return [Window(inputs[at:at + T], targets[at:at + T], at == 0, at + T >= len(targets))
            for at in cuts]


def document_windows(document, T):
    return windows(shifted(document), document, T)


def shifted(document):
    """Inputs of a document: <doc>, then all tokens but the last."""
    return np.concatenate([[DOCUMENT_TOKEN], document[:-1]])


def lane_windows(document, rows, T):
    """Cuts one stream into contiguous lanes; the first len % rows of them get one token more."""
    lanes, begin = [], 0
    inputs = shifted(document)
    for row in range(rows):
        end = begin + len(document) // rows + (row < len(document) % rows)
        lanes.append(windows(inputs[begin:end], document[begin:end], T))
        begin = end
    return lanes


def training_windows(split, rows, T):
    """Endlessly yields a list of R windows: what the rows read side by side.

    One document: lanes, each read again and again. Several: a row takes the next document when
    its own ends; when several rows end together the lower row takes first.
    """
    lanes = lane_windows(split.documents[0], rows, T) if len(split.documents) == 1 else None
    taken = 0
    waiting = [[] for _ in range(rows)]
    while True:
        for row in range(rows):
            if waiting[row]:
                continue
            if lanes:
                waiting[row] = list(lanes[row])
            else:
                document = split.documents[taken % len(split.documents)]
                waiting[row] = document_windows(document, T)
                taken += 1
        yield [queue.pop(0) for queue in waiting]
