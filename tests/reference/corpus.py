"""A tiny corpus in PG-19's layout, the same bytes on every machine.

BOOKS   several training documents: shorter than one window, a multiple of the window, longer.
STREAM  one training document, which training cuts into lanes.
Lengths are in bytes; every test configuration has windows of 8 tokens.
"""
import os

import numpy as np

from data import read_split

TEST = {"validation": {301: 77, 302: 40}, "test": {401: 203, 402: 5, 403: 120, 404: 61}}
BOOKS = {"train": {101: 61, 102: 21, 103: 83, 104: 5, 105: 40, 106: 27, 107: 130, 108: 3}, **TEST}
STREAM = {"train": {101: 203}, **TEST}
CORPORA = {"books": BOOKS, "stream": STREAM}

WORDS = ("the whale sea and of old a ship night wind Ahab said, light upon dark "
         "water. sail café “no” never more\n wood\n\n hand").split(" ")


def generator(seed):
    """Numbers of a linear congruential generator (constants of Knuth's MMIX)."""
    state = seed
    while True:
        state = (state * 6364136223846793005 + 1442695040888963407) % 2 ** 64
        yield state >> 33


def document_bytes(identity, length):
    """Exactly `length` bytes of words; a character may be cut at the end, as bytes allow."""
    numbers, text = generator(identity), b""
    while len(text) < length:
        text += WORDS[next(numbers) % len(WORDS)].encode() + b" "
    return text[:length]


def write_corpus(folder, corpus):
    """Writes train/ID.txt, validation/ID.txt, test/ID.txt and metadata.csv (no header)."""
    lines = []
    for split, documents in corpus.items():
        os.makedirs(os.path.join(folder, split))
        for identity, length in documents.items():
            with open(os.path.join(folder, split, f"{identity}.txt"), "wb") as file:
                file.write(document_bytes(identity, length))
            lines.append(f'{identity},"Volume {identity}, the Whale",1851,'
                         f"http://www.gutenberg.org/ebooks/{identity}\n")
    with open(os.path.join(folder, "metadata.csv"), "w") as file:
        file.writelines(lines)


def data_errors(path, corpus):
    """What data.h5 has wrong about the corpus, as a list of sentences."""
    errors = []
    for split, documents in corpus.items():
        found = read_split(path, split)
        if len(found.names) != len(documents):
            errors.append(f"{split}: {len(found.names)} documents instead of {len(documents)}")
        for name, tokens, words, size in zip(found.names, found.documents, found.words,
                                             found.sizes):
            identity = int(os.path.splitext(os.path.basename(name))[0])
            text = document_bytes(identity, documents[identity])
            if not np.array_equal(tokens, np.frombuffer(text, np.uint8)):
                errors.append(f"{split}: the tokens of {name} are not its bytes")
            if (words, size) != (len(text.split()), len(text)):
                errors.append(f"{split}: {name} has {words} words and {size} bytes, expected "
                              f"{len(text.split())} and {len(text)}")
    return errors
