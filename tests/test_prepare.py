#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""prepare on several ranks: data files are the same, byte for byte, on every number of ranks, and
what a plain reading of the text gives; a failure of one rank alone is everybody's and said once, and
what was ready is gone on from.

    tests/test_prepare.py build/palimpsest [MPIRUN...]
"""
import os
import random
import shutil
import subprocess

import numpy as np

import runs

RANKS = (1, 2, 3, 5)
SPLITS = ("train", "validation", "test")


# ---- the same bits ------------------------------------------------------------------------------

def expected_datasets(text):
    """text: {split: [(name, bytes)]} in order"""
    found = {}
    for split in SPLITS:
        documents = text.get(split, [])
        lengths = [len(content) for _, content in documents]
        tokens = b"".join(content for _, content in documents)
        found[split + "/tokens"] = np.frombuffer(tokens, "uint8").astype("<u2")
        found[split + "/offsets"] = np.cumsum([0] + lengths).astype("<i8")
        words = [len(content.split()) for _, content in documents]
        found[split + "/words"] = np.array(words, "<i8")
        found[split + "/bytes"] = np.array(lengths, "<i8")
        found[split + "/names"] = [name.encode() for name, _ in documents]
    train = b"".join(content for _, content in text["train"])
    found["tokenizer/counts"] = np.bincount(np.frombuffer(train, "uint8"), minlength=257).astype("<i8")
    return found


def check_data(test, name, path, text):
    found, expected = runs.datasets(path), expected_datasets(text)
    test.check(found.keys() == expected.keys(), f"{name}: data sets {sorted(found)}")
    for key in found.keys() & expected.keys():
        if key.endswith("/names"):
            good = [item.rstrip(b"\0") for item in found[key].tolist()] == expected[key]
        else:
            good = (found[key].dtype == expected[key].dtype and
                    found[key].tobytes() == expected[key].tobytes())
        test.check(good, f"{name}: {key} differs")
    test.check(runs.attributes(path) == {"format": "palimpsest-data", "version": 2,
                                         "dataset": "text", "tokenizer": "bytes",
                                         "vocabulary": 257, "document_token": 256}, f"{name}: attributes")


def write_documents(folder, text):
    for split, documents in text.items():
        os.makedirs(os.path.join(folder, split))
        for name, content in documents:
            with open(os.path.join(folder, split, name + ".txt"), "wb") as file:
                file.write(content)


def set_unit(size):
    """Bytes of text that a rank works on at a time, smaller than these texts."""
    os.environ["PALIMPSEST_TEST_UNIT"] = str(size)


def read_bytes(path):
    with open(path, "rb") as file:
        return file.read()


def check_same_file(test, name, path):
    """The same as the first time that a file of this name was checked."""
    content, kept = read_bytes(path), path + ".first"
    if not os.path.exists(kept):
        os.rename(path, kept)
    else:
        test.check(content == read_bytes(kept), f"{name}: the file is another one")


def some_bytes(length):
    """With many words and all bytes."""
    letters = bytes(range(256)) + b" \t\n\v\f\r" * 12
    return bytes(random.choices(letters, k=length))


def texts():
    """{folder: text}: few bytes, few documents, one huge document among tiny ones."""
    tiny = [(str(n), some_bytes(1 + n % 9)) for n in range(1, 200)]
    huge = [("1", b"a"), ("2", b" "), ("3", some_bytes(3500000)), ("4", b"word"), ("5", b"\n\n")]
    return {
        "one-byte": {"train": [("1", b"x")]},
        "two": {"train": [("7", b"many words here")], "test": [("8", b"long" * 300)]},
        "tiny": {"train": tiny, "validation": [("200", b" end ")]},
        "huge": {"train": huge, "validation": tiny[9:12], "test": [("one-word", b"w" * 1000)]},
    }


def check_folders(test):
    for folder, text in texts().items():
        write_documents(folder, text)
        size = sum(len(content) for documents in text.values() for _, content in documents)
        for ranks, units in zip(RANKS, (1, 50, 11, 4)):
            set_unit(size // units + 1)
            out = test.program(ranks, "prepare", folder, "-o", f"{folder}.h5")
            check_data(test, f"{folder} on {ranks} ranks", f"{folder}.h5", text)
            check_same_file(test, f"{folder} on {ranks} ranks", f"{folder}.h5")
            words = sum(len(content.split()) for _, content in text["train"])
            line = next(line.split() for line in out.splitlines() if line.startswith("train "))
            test.check(line[1] == str(len(text["train"])) and line[3] == str(words),
                       f"{folder} on {ranks} ranks: the table says {line}")


def check_file(test):
    """Every rank's part begins within a word."""
    content = (b"w" * 997 + b" ") * 2100 + some_bytes(1001)
    with open("one.txt", "wb") as file:
        file.write(content)
    size = len(content)
    for points in (None, (1, 2), (500, size - 1), (999999, 1500001)):
        a, b = points or (size * 9 // 10, size * 19 // 20)
        text = {"train": [("one", content[:a])], "validation": [("one", content[a:b])],
                "test": [("one", content[b:])]}
        options = ["--split-at", f"{a},{b}"] if points else []
        for ranks in RANKS:
            set_unit(3000000 // ranks)
            test.program(ranks, "prepare", "one.txt", "-o", "file.h5", *options)
            check_data(test, f"one.txt at {points} on {ranks} ranks", "file.h5", text)


def peak_kibibytes(test, path):
    process = subprocess.Popen([test.binary, "prepare", path, "-o", "peak.h5"],
                               stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = 0  # it was waited for
    test.check(status == 0, f"{path}: status {status}")
    return usage.ru_maxrss


def check_memory(test):
    """It does not grow with the text."""
    with open("large.txt", "wb") as file:
        for _ in range(32):
            file.write(some_bytes(1 << 16) * 32)  # 64 MiB in all
    set_unit(1 << 25)
    small, large = peak_kibibytes(test, "one.txt"), peak_kibibytes(test, "large.txt")
    test.check(large < small + 16 * 1024, f"{small} KiB for 2 MB, {large} KiB for 64 MB")


# ---- failures of one rank -----------------------------------------------------------------------

def is_open_mpi(test):
    """Whose ranks know their numbers before they start."""
    out = subprocess.run([*test.launcher, "-n", "1", "sh", "-c", "echo $OMPI_COMM_WORLD_RANK"],
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE).stdout
    return out.strip() == b"0"


def launch(test, ranks, before, *arguments):
    """Every rank runs the shell's lines `before`, in which $rank is its number, and then prepare.
    -> status, standard error"""
    lines = f"rank=$OMPI_COMM_WORLD_RANK; {before}; exec \"$0\" prepare \"$@\""
    done = subprocess.run([*test.launcher, "-n", str(ranks), "sh", "-c", lines, test.binary,
                           *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=runs.SECONDS)
    return done.returncode, done.stderr.decode(errors="replace")


def all_files():
    return sorted((path, name) for path, _, names in os.walk(".") for name in names)


def check_refused(test, name, ranks, status, words, before, *arguments):
    """What other ranks have made ready may stay in a folder of its own."""
    files = all_files()
    found, said = launch(test, ranks, before, *arguments)
    messages = [line for line in said.splitlines() if line.startswith("palimpsest: ")]
    test.check(found == status, f"{name}: status {found}, expected {status}: {said}")
    test.check(len(messages) == 1, f"{name}: {len(messages)} messages: {said}")
    for word in words:
        test.check(word in "".join(messages), f"{name}: says '{word}': {said}")
    different = set(all_files()) ^ set(files)
    different = {entry for entry in different if not entry[0].endswith(".h5.work")}
    test.check(not different, f"{name}: {different} left or gone")


def check_other_texts(test):
    """Every rank sees a text of its own, that of one rank is not whole."""
    for number in range(3):
        text = {"train": [("1", some_bytes(5000)), ("2", b"rank 1 reads this" * 300),
                          ("3", some_bytes(5000))]}
        write_documents(f"node{number}/text", text)
    set_unit(5100)  # a document each
    to, here = os.path.abspath("others.h5"), "cd node$rank"
    status, said = launch(test, 3, here, "text", "-o", to)
    test.check(status == 0, f"texts of equal sizes: {status}, {said}")
    before = os.path.getmtime(to), os.path.getsize(to)

    os.truncate("node1/text/train/2.txt", 4000)
    check_refused(test, "a file that is shorter for one rank", 3, 65,
                  ["train/2.txt", "became shorter", "(rank 1 on host"], here, "text", "-o", to)
    shutil.rmtree("others.h5.work")
    os.remove("node1/text/train/2.txt")
    check_refused(test, "a file that one rank does not find", 3, 66,
                  ["train/2.txt", "No such file", "(rank 1 on host"], here, "text", "-o", to)
    os.rename("node0/text", "node0/elsewhere")
    check_refused(test, "a folder that rank 0 does not find", 3, 66, ["text: ", "No such file"],
                  here, "text", "-o", to)
    os.rename("node0/elsewhere", "node0/text")
    check_refused(test, "an output that one rank does not find", 3, 73,
                  ["own.h5.work", "rank 1 on host", "that all nodes share?"], here, "text", "-o",
                  "own.h5")
    test.check((os.path.getmtime(to), os.path.getsize(to)) == before, "the earlier file changed")


def check_unreadable(test):
    """One that has a size and a name, and still cannot be opened, even by root."""
    unreadable = "/sys/bus/cpu/uevent"
    if not os.path.exists(unreadable) or os.access(unreadable, os.R_OK) and os.getuid() != 0:
        print(f"skipped: a file that cannot be opened: no {unreadable}")
        return
    for place in range(3):
        folder = f"unreadable{place}"
        write_documents(folder, {"train": [(str(n), some_bytes(4096)) for n in range(3)]})
        path = f"{folder}/train/{place}.txt"
        os.remove(path)
        os.symlink(unreadable, path)
        for ranks in (2, 3):
            set_unit(ranks * 2048)
            check_refused(test, f"unreadable document {place} on {ranks} ranks", ranks, 66,
                          [path, "Permission denied"], ":", folder, "-o", "u.h5")


def check_unwritable(test):
    """One rank may not write as far as its tokens go: like a disk that gets full for it alone."""
    with open("long.txt", "wb") as file:
        file.write(some_bytes(1 << 20) * 12)
    for last in (1, 2):
        limit = f"trap '' XFSZ; if [ $rank = {last} ]; then ulimit -f 2000; fi"  # of 512 bytes
        set_unit(1 << 20)
        check_refused(test, f"rank {last} alone cannot write", last + 1, 74,
                      ["w.h5.work/unit-", "File too large", f"(rank {last} on host"], limit,
                      "long.txt", "-o", "w.h5")
        out = test.program(1, "prepare", "long.txt", "-o", "w.h5")
        test.check("w.h5.work: goes on" in out, f"goes on after rank {last}: {out}")
        test.check(not os.path.exists("w.h5.work"), "the work folder is gone")
        check_same_file(test, f"after rank {last}", "w.h5")
        if os.path.exists("w.h5"):
            os.remove("w.h5")


def main():
    random.seed(3)
    test = runs.Test()
    check_folders(test)
    check_file(test)
    check_memory(test)
    if is_open_mpi(test):
        check_other_texts(test)
        check_unreadable(test)
        check_unwritable(test)
    else:
        print("skipped: failures of one rank: not Open MPI")
    return test.finish()


if __name__ == "__main__":
    runs.start(main)
