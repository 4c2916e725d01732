#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Texts as they are published, and tokenizers, from outside: what was prepared decodes to the text it
was made from, byte for byte, or to the published words; vocabularies and counts against a plain
count; packed files; preparations that are killed and go on; models that are trained on, generate and
are evaluated with them; and every kind of wrong text.

    tests/test_texts.py build/palimpsest [MPIRUN...]

PALIMPSEST_CORPUS names a folder with wikitext-103/wiki.{valid,test}.tokens, pg19/ and enwik8/, which
are then gone through too.
"""
import collections
import gzip
import json
import os
import random
import shutil
import signal
import subprocess
import time

import numpy as np

import runs

SPLITS = ("train", "validation", "test")
SUBWORDS = ("--tokenizer", "sentencepiece", "--vocab", "279")
AWKWARD = [b"", b"\n", b" ", b"x", b"\xe2\x96\x81 \xff\x00 <unk>\r\n\n  end ",
           "a\u0301 \u4e2d\u6587 \U0001F469\u200D\U0001F467 \ufffd\ufeff\n".encode()]


def write(path, content):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def write_books(folder, books):
    """books: {"train/10": bytes}"""
    for name, content in books.items():
        write(f"{folder}/{name}.txt", content)


def sort_key(name):
    number = name.split("/")[1]
    return (0, int(number), "") if number.isdigit() else (1, 0, number)


def decoded(test, data, split, *more):
    done = subprocess.run([test.binary, "decode", data, "--split", split, *more],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=runs.SECONDS)
    test.check(done.returncode == 0, f"decode {data} {split}: {done.stderr.decode()}")
    return done.stdout


def refused(test, status, words, *arguments, ranks=1):
    start = [] if ranks == 1 else [*test.launcher, "-n", str(ranks)]
    done = subprocess.run([*start, test.binary, *arguments], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=runs.SECONDS)
    said = done.stderr.decode(errors="replace")
    messages = [line for line in said.splitlines() if line.startswith("palimpsest: ")]
    name = " ".join(arguments)
    test.check(done.returncode == status, f"{name}: status {done.returncode}, not {status}: {said}")
    test.check(len(messages) == 1, f"{name}: {len(messages)} messages: {said}")
    for word in words:
        test.check(word in "".join(messages), f"{name}: says '{word}': {said}")


# ---- there and back -----------------------------------------------------------------------------

def books_with_everything():
    window = int(runs.TINY["model.window"])
    books = {f"train/{100 + i}": runs.text_of(3000 + 100 * i, i).encode() + b"\n" for i in range(8)}
    for i, content in enumerate(AWKWARD):
        books[f"validation/{200 + i}"] = content
    for i, length in enumerate((0, 1, window - 1, window, window + 1)):
        books[f"test/{300 + i}"] = b"abcdefghijklmnop"[:length]
    books["test/appendix"] = b"\n".join(books[f"train/{100 + i}"][:200] for i in range(3))
    return books


def check_back(test, name, data, books):
    for split in SPLITS:
        names = sorted((b for b in books if b.startswith(split + "/")), key=sort_key)
        whole = b"".join(books[b] for b in names)
        test.check(decoded(test, data, split) == whole, f"{name}: {split} comes back")
    one = "validation/204"
    test.check(decoded(test, data, "validation", "--document", "204") == books[one],
               f"{name}: document 204")


def check_round_trips(test, books):
    write_books("books", books)
    for tokenizer in ((), SUBWORDS, (*SUBWORDS, "--subwords", "bpe")):
        name = " ".join(tokenizer) or "bytes"
        files = []
        for ranks, unit in ((1, 1 << 25), (2, 2000), (3, 700)):
            os.environ["PALIMPSEST_TEST_UNIT"] = str(unit)
            test.program(ranks, "prepare", "books", "-o", "trip.h5", "--keep-invalid", *tokenizer)
            files.append(runs.datasets("trip.h5"))
            if "sentencepiece" in tokenizer:  # units are what the sample is drawn from
                break
        check_back(test, name, "trip.h5", books)
        for other in files[1:]:
            for key in files[0]:
                test.check(files[0][key].tobytes() == other[key].tobytes(), f"{name}: {key}")


def check_ranks(test):
    """Subwords are learned by one rank and made by all."""
    os.environ["PALIMPSEST_TEST_UNIT"] = "2500"
    for ranks in (1, 2, 3):
        test.program(ranks, "prepare", "books", "-o", f"ranks{ranks}.h5", "--keep-invalid", *SUBWORDS)
        test.check(read(f"ranks{ranks}.h5") == read("ranks1.h5"), f"subwords on {ranks} ranks")
        test.program(ranks, "prepare", "wikitext", "-o", f"words{ranks}.h5", "--tokenizer", "words")
        test.check(read(f"words{ranks}.h5") == read("words1.h5"), f"words on {ranks} ranks")


def pack(path):
    """What is called .gz or .zst. zstd may not be there."""
    if path.endswith(".gz"):
        with gzip.open(path, "wb") as file:
            file.write(read(path[:-3]))
    else:
        subprocess.run(["zstd", "-q", "-f", path[:-4], "-o", path], check=True)
    os.remove(path.rsplit(".", 1)[0])


def check_packed(test, books):
    """The same names, tokens, counts; two archives in one file are one text."""
    os.environ["PALIMPSEST_TEST_UNIT"] = str(1 << 25)
    endings = [".gz"] + ([".zst"] if shutil.which("zstd") else [])
    if len(endings) == 1:
        print("skipped: packed by zstd: no zstd")
    test.program(1, "prepare", "books", "-o", "plain.h5", "--keep-invalid")
    plain = runs.datasets("plain.h5")
    for ending in endings:
        write_books("packed", books)
        for i, name in enumerate(books):
            if i % 3 != 1:
                pack(f"packed/{name}.txt{ending}")
        half = len(books["train/100"]) // 2
        for part in (books["train/100"][:half], books["train/100"][half:]):
            write("part", part)
            pack("part" + ending)
            with open("packed/parts", "ab") as file:
                file.write(read("part" + ending))
        os.replace("packed/parts", f"packed/train/100.txt{ending}")
        test.program(2, "prepare", "packed", "-o", "packed.h5", "--keep-invalid")
        found = runs.datasets("packed.h5")
        test.check(found.keys() == plain.keys() and
                   all(found[key].tobytes() == plain[key].tobytes() for key in plain),
                   f"packed as {ending}")
        shutil.rmtree("packed")
        text = b"".join(books[name] for name in books)
        write("one", text)
        test.program(1, "prepare", "one", "-o", "one.h5")
        one = runs.datasets("one.h5")
        pack("one" + ending)
        test.program(3, "prepare", "one" + ending, "-o", "one.h5")
        packed = runs.datasets("one.h5")
        test.check(all(packed[key].tobytes() == one[key].tobytes() for key in one),
                   f"one file packed as {ending}")


# ---- words --------------------------------------------------------------------------------------

def tokens_of(text):
    """As the field counts them: the words of each line, and <eos> behind it."""
    found = []
    lines = text.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    for line in lines:
        found += line.split() + [b"<eos>"]
    return found


def some_lines(lines, words, seed):
    drawn = random.Random(seed)
    vocabulary = [f"w{n}" for n in range(words)]
    return "".join(" " + " ".join(drawn.choice(vocabulary[:1 + drawn.randrange(words)])
                                  for _ in range(drawn.randrange(12))) + " \n"
                   for _ in range(lines)).encode()


def check_words(test, name, data, texts, size=None):
    """Against a plain count: the vocabulary by falling frequency, every token."""
    found = runs.datasets(data)
    counts = collections.Counter(tokens_of(texts["train"]))
    counts.setdefault(b"<unk>", 0)
    order = sorted(counts, key=lambda word: (-counts[word], word))
    if size is not None:  # <unk> has its place, whatever its frequency
        order = [word for word in order if word != b"<unk>"][:size - 2] + [b"<unk>"]
    model = bytes(found["tokenizer/model"]).split(b"\n")[:-1]
    test.check(model == order, f"{name}: the vocabulary")
    ids = {word: number for number, word in enumerate(model)}
    for split in SPLITS:
        tokens = [ids.get(word, ids[b"<unk>"]) for word in tokens_of(texts[split])]
        test.check(found[split + "/tokens"].tolist() == tokens, f"{name}: tokens of {split}")
        words = b" ".join(model[token] for token in tokens)
        back = decoded(test, data, split)
        test.check(b" ".join(tokens_of(back)) == words, f"{name}: the words of {split} come back")
    counted = np.bincount(found["train/tokens"], minlength=len(model) + 1)
    test.check(found["tokenizer/counts"].tolist() == counted.tolist(), f"{name}: counts")


def check_wikitext(test):
    texts = {"train": some_lines(400, 300, 1), "validation": some_lines(50, 400, 2),
             "test": some_lines(60, 400, 3)[:-2]}
    for split, word in zip(SPLITS, ("train", "valid", "test")):
        write(f"wikitext/wiki.{word}.tokens", texts[split])
    os.environ["PALIMPSEST_TEST_UNIT"] = "1000"
    test.program(2, "prepare", "wikitext", "-o", "words.h5", "--tokenizer", "words")
    check_words(test, "all words", "words.h5", texts)
    test.program(1, "prepare", "wikitext", "-o", "few.h5", "--tokenizer", "words", "--vocab", "50")
    check_words(test, "few words", "few.h5", texts, 50)
    names = runs.datasets("words.h5")["test/names"].tolist()
    test.check([name.rstrip(b"\0") for name in names] == [b"wiki.test"], f"names {names}")


def attribute(data, place, name):
    import h5py
    with h5py.File(data) as file:
        return file[place].attrs.get(name)


def check_published(test):
    """A file with WikiText-103's count of tokens, one with one more; PG-19's books by their ids."""
    lines, words = 4358, 245569 - 4358
    text = b"".join(b" w" * (words // lines + (i < words % lines)) + b" \n" for i in range(lines))
    write("published/wiki.train.tokens", some_lines(20, 30, 4))
    write("published/wiki.test.tokens", text)
    for more, count in ((b"", 245569), (b"w\n", None)):
        write("published/wiki.test.tokens", text + more)
        for tokenizer in ("words", "bytes"):
            out = test.program(1, "prepare", "published", "-o", "p.h5", "--tokenizer", tokenizer)
            found = attribute("p.h5", "/test", "published_words")
            test.check(found == count, f"published words {found}, expected {count}")
            test.check(("is the published split, 245569" in out) == (count is not None), out)
            test.check((attribute("p.h5", "/", "dataset") == b"wikitext-103") ==
                       (count is not None), "the data set's name")
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../io/text/published.c")
    table = read(source).decode().split("pg19_test[] = {")[1].split("}")[0]
    ids = [int(number) for number in table.replace("\n", " ").split(",") if number.strip()]
    test.check(len(ids) == 100, f"{len(ids)} books")
    write_books("pg19", {"train/5": b"a text " * 100})
    for words, count in ((6966499, 6966499), (6966499 * 102 // 100, None), (2000, None)):
        each = words // len(ids)
        write_books("pg19", {f"test/{book}": b"%d " % book * each for book in ids})
        out = subprocess.run([test.binary, "prepare", "pg19", "-o", "p.h5"], check=False,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             timeout=runs.SECONDS).stdout.decode()
        test.check(attribute("p.h5", "/test", "published_words") == count, f"{words} words: PG-19")
        test.check(("some are cut off" in out) == (count is None), f"{words} words: {out}")
    test.check(attribute("p.h5", "/validation", "published_words") is None, "no validation books")
    os.rename(f"pg19/test/{ids[3]}.txt", "pg19/test/999999.txt")
    test.program(1, "prepare", "pg19", "-o", "p.h5")
    test.check(attribute("p.h5", "/test", "published_words") is None, "another book")


# ---- killed, and going on -----------------------------------------------------------------------

def check_killed(test):
    """At any moment, and on another number of ranks: the same file in the end."""
    drawn = random.Random(5)
    books = {f"train/{n}": some_lines(2500, 900, n) for n in range(12)}
    books["test/100"] = some_lines(100, 900, 100)
    write_books("long", books)
    os.environ["PALIMPSEST_TEST_UNIT"] = "60000"
    for tokenizer in (SUBWORDS, ("--tokenizer", "words")):
        test.program(1, "prepare", "long", "-o", "straight.h5", *tokenizer)
        begun = time.monotonic()
        test.program(2, "prepare", "long", "-o", "timed.h5", *tokenizer)
        seconds = time.monotonic() - begun
        for kill in range(4):
            command = [*test.launcher, "-n", "2", test.binary, "prepare", "long", "-o", "killed.h5",
                       *tokenizer]
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL, start_new_session=True)
            time.sleep(drawn.uniform(0.3, 1.0) * seconds)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            subprocess.run(["pkill", "-9", "-f", "killed.h5"], stdout=subprocess.DEVNULL)
            if kill % 2 == 1:
                test.program(1 + kill % 3, "prepare", "long", "-o", "killed.h5", *tokenizer)
                test.check(read("killed.h5") == read("straight.h5"), f"killed, {tokenizer}")
                test.check(not os.path.exists("killed.h5.work"), "the work folder is left")
                os.remove("killed.h5")


def check_changed(test):
    """A book that changes meanwhile is made anew, those that are ready are not."""
    write_books("change", {"train/1": b"one " * 500, "train/2": b"two \xff" * 500,
                           "train/3": b"three " * 500})
    os.environ["PALIMPSEST_TEST_UNIT"] = "2500"
    options = ("prepare", "change", "-o", "change.h5", "--tokenizer", "words")
    refused(test, 65, ["train/2.txt", "is no UTF-8", "byte 4 is 0xFF", "iconv", "--keep-invalid"],
            *options)
    write_books("change", {"train/2": b"two " * 500})
    out = test.program(1, *options)
    test.check("goes on" not in out, "another text, another vocabulary")
    os.environ["PALIMPSEST_TEST_UNIT"] = "1900"
    write_books("change", {"train/2": b"<html><body>" * 200})
    options = ("prepare", "change", "-o", "change.h5")
    refused(test, 65, ["train/2.txt", "is HTML", "--allow-html"], *options, ranks=2)
    write_books("change", {"train/2": b"two " * 500})
    out = test.program(1, *options)
    test.check("change.h5.work: goes on: " in out, out)
    straight = read("change.h5")
    test.program(1, *options)
    test.check(read("change.h5") == straight, "a changed book")


# ---- models -------------------------------------------------------------------------------------

def check_models(test):
    """Trained on, gone on from, generated with and evaluated with nothing but the checkpoint."""
    os.environ["PALIMPSEST_TEST_UNIT"] = str(1 << 25)
    for name, data in (("subwords", "ranks1.h5"), ("words", "words1.h5")):
        changes = {"data.path": os.path.abspath(data), "batch.rows": "2"}
        run = test.train(name, changes)
        stored = runs.datasets(run.checkpoint())
        test.check(stored["tokenizer/model"].tobytes() ==
                   runs.datasets(data)["tokenizer/model"].tobytes(), f"{name}: in the checkpoint")
        out = test.program(1, "generate", run.folder, "--prompt", "the whale ", "--tokens", "30")
        test.check(out.startswith("the whale "), f"{name}: generated {out!r}")
        again = test.program(1, "generate", run.folder, "--prompt", "the whale ", "--tokens", "30")
        test.check(again == out, f"{name}: generated again")
        test.program(1, "convert", run.folder, "-o", f"{name}-weights.h5")
        shared = test.program(1, "generate", f"{name}-weights.h5", "--prompt", "the whale ",
                              "--tokens", "30")
        test.check(shared == out, f"{name}: generated from weights alone")
        json_line = test.program(1, "evaluate", run.folder, "--data", data, "--json")
        found = json.loads(json_line.strip().splitlines()[-1])
        tokens = len(runs.datasets(data)["test/tokens"])
        test.check(found["tokens"] == tokens, f"{name}: {found['tokens']} of {tokens} tokens")
        refused(test, 65, [test.data, "tokenizer bytes", "--tokenizer-from"], "evaluate", run.folder,
                "--data", test.data)
        write_books("other", {"test/1": b"the whale and the sea\n"})
        test.program(1, "prepare", "other", "-o", "other.h5", "--tokenizer-from", run.folder)
        test.program(1, "evaluate", run.folder, "--data", "other.h5")
        shutil.rmtree("other")


def check_lengths(test, books):
    """Books of 0, 1 and T - 1, T, T + 1 tokens: every token counted once."""
    os.environ["PALIMPSEST_TEST_UNIT"] = str(1 << 25)
    test.program(1, "prepare", "books", "-o", "lengths.h5", "--keep-invalid")
    run = test.train("lengths", {"data.path": os.path.abspath("lengths.h5")})
    for ranks in (1, 2):
        losses = os.path.abspath("lengths-losses.h5")
        out = test.program(ranks, "evaluate", run.folder, "--data", "lengths.h5", "--losses", losses,
                           "--json")
        found = json.loads(out.strip().splitlines()[-1])
        per_book = {name.split("/")[1]: array for name, array in runs.datasets(losses).items()}
        for name, content in books.items():
            split, book = name.split("/")
            if split == "test":
                test.check(len(per_book[book]) == len(content), f"{ranks} ranks: losses of {name}")
        test.check_close("sum of losses", sum(a.astype("float64").sum() for a in per_book.values()),
                         found["nats"], 1e-12)
        test.check("nan" not in out.lower(), "no NaN in the table of books")


# ---- wrong texts --------------------------------------------------------------------------------

def with_metadata(lines, **more):
    write_books("meta", {"train/10": b"ten " * 100, "test/20": b"twenty " * 100, **more})
    write("meta/metadata.csv", lines.encode())


def check_metadata(test):
    good = '10,"Ten, a ""title""",1900,url\r\n20,Twenty,1910,url\n'
    options = ("prepare", "meta", "-o", "m.h5")
    with_metadata(good)
    test.program(1, *options)
    with_metadata(good + "30,Thirty,1911,url\n")
    refused(test, 65, ["metadata.csv, line 3", "book '30'", "1 of 3 lines", "--subset"], *options)
    test.program(1, *options, "--subset")
    with_metadata("10,Ten,1900,url\n")
    refused(test, 65, ["test/20.txt", "no line in meta/metadata.csv", "--subset"], *options)
    with_metadata(good + "10,Ten again,1911,url\n")
    refused(test, 65, ["lines 1 and 3", "book '10'"], *options)
    refused(test, 65, ["lines 1 and 3", "book '10'"], *options, "--subset")
    with_metadata(good + "30,Thirty\n")
    refused(test, 65, ["line 3", "2 fields", "expected 4"], *options)
    with_metadata(good + '30,"Thirty,1911,url\n')
    refused(test, 65, ["line 3", "quotation mark"], *options)
    with_metadata("book_id,title,year,url\n" + good)
    refused(test, 65, ["line 1", "book 'book_id' has no file"], *options)
    shutil.rmtree("meta")


def check_twice(test):
    text = b"a text of more than a few bytes " * 20
    options = ("prepare", "twice", "-o", "t.h5")
    write_books("twice", {"train/10": text, "test/10": b"another " * 50})
    refused(test, 65, ["train/10.txt and twice/test/10.txt", "two splits"], *options)
    os.rename("twice/test/10.txt", "twice/test/11.txt")
    test.program(1, *options)
    write("twice/test/11.txt", text)
    refused(test, 65, ["train/10.txt and twice/test/11.txt", "same text"], *options, ranks=2)
    write("twice/test/11.txt", b"another")
    write("twice/train/10.txt.gz", gzip.compress(text))
    refused(test, 65, ["10.txt", "10.txt.gz", "both are document '10'"], *options)


def check_wrong_files(test):
    options = ("-o", "w.h5")
    write_books("wrong", {"train/1": some_lines(300, 200, 7)})
    archive = gzip.compress(random.Random(6).randbytes(5000))
    for name, content, words in (
            ("2.txt.gz", archive[:3000], ["2.txt.gz", "cut short"]),
            ("2.txt.gz", archive[:100] + bytes(50) + archive[150:], ["2.txt.gz", "is damaged"]),
            ("2.txt.gz", b"plain text", ["2.txt.gz", "nothing that gzip has packed"]),
            ("2.txt.zst", b"plain text", ["2.txt.zst", "nothing that zstd has packed"]),
            ("2.txt", b"PK\3\4" + bytes(60), ["2.txt", "ZIP archive", "unzip"]),
            ("2.txt", b"\xef\xbb\xbf\n <!DOCTYPE html><html>", ["2.txt", "is HTML"])):
        write(f"wrong/train/{name}", content)
        refused(test, 65, words, "prepare", "wrong", *options)
        os.remove(f"wrong/train/{name}")
    write_books("wrong", {"train/2": "caf\u00e9".encode("latin1") * 10})
    refused(test, 65, ["train/2.txt", "no UTF-8", "byte 3 is 0xE9"], "prepare", "wrong", *options,
            *SUBWORDS)
    test.program(1, "prepare", "wrong", *options)
    shutil.rmtree("wrong")
    refused(test, 65, ["no wiki.train.tokens"], "prepare", make_folder("wt", "wiki.test.tokens"),
            *options)
    write("wt/wiki.test.raw", b"a")
    write("wt/wiki.train.tokens", b"a b c\n")
    refused(test, 65, ["wiki.test.tokens", "wiki.test.raw", "both are there"], "prepare", "wt",
            *options)


def make_folder(folder, name):
    write(f"{folder}/{name}", b"some words\n")
    return folder


def check_vocabularies(test):
    options = ("prepare", "wikitext", "-o", "v.h5", "--tokenizer")
    refused(test, 64, ["--vocab 100000", "different words", "give fewer"], *options, "words",
            "--vocab", "100000")
    refused(test, 64, ["--vocab 30000", "SentencePiece cannot learn", "Give another"], *options,
            "sentencepiece", "--vocab", "30000")
    refused(test, 64, ["--vocab 20", "SentencePiece cannot learn"], *options, "sentencepiece",
            "--vocab", "20")
    refused(test, 64, ["--vocab 300", "bytes"], *options, "bytes", "--vocab", "300")
    refused(test, 64, ["--vocab 3"], *options, "words", "--vocab", "3")
    refused(test, 64, ["--subwords word", "unigram or bpe"], *options, "sentencepiece", "--subwords",
            "word")
    refused(test, 64, ["--sample 0"], *options, "sentencepiece", "--sample", "0")
    refused(test, 64, ["morse", "bytes, words or sentencepiece"], *options, "morse")
    refused(test, 66, ["none.h5"], *options, "bytes", "--tokenizer-from", "none.h5")
    refused(test, 64, ["--document 9", "has no such document"], "decode", "plain.h5", "--document",
            "9")
    refused(test, 64, ["one writes the text alone"], "decode", "plain.h5", ranks=2)


# ---- real texts ---------------------------------------------------------------------------------

def check_corpus(test, corpus):
    os.environ["PALIMPSEST_TEST_UNIT"] = str(1 << 25)
    wikitext = os.path.join(corpus, "wikitext-103")
    os.makedirs("real", exist_ok=True)
    for name in os.listdir(wikitext):
        os.symlink(os.path.join(wikitext, name), "real/" + name.replace(".prefix", ""))
    test.program(2, "prepare", "real", "-o", "real.h5", "--tokenizer", "words")
    found = runs.datasets("real.h5")
    test.check(len(found["test/tokens"]) == 245569, "tokens of WikiText-103's test file")
    test.check(len(found["validation/tokens"]) == 217646, "of its validation file")
    check_words(test, "WikiText-103", "real.h5", {
        split: read(f"real/wiki.{word}.tokens")
        for split, word in zip(SPLITS, ("train", "valid", "test"))})
    for tokenizer in ((), ("--tokenizer", "sentencepiece", "--vocab", "4000", "--sample", "4")):
        test.program(2, "prepare", f"{corpus}/pg19", "-o", "real.h5", *tokenizer)
        for split in SPLITS:
            names = sorted(os.listdir(f"{corpus}/pg19/{split}"), key=lambda name: int(name[:-4]))
            text = b"".join(read(f"{corpus}/pg19/{split}/{name}") for name in names)
            test.check(decoded(test, "real.h5", split) == text, f"PG-19 {split} {tokenizer}")
        test.program(2, "prepare", f"{corpus}/enwik8/enwik8.prefix", "-o", "real.h5", *tokenizer)
        text = b"".join(decoded(test, "real.h5", split) for split in SPLITS)
        test.check(text == read(f"{corpus}/enwik8/enwik8.prefix"), f"Enwik8 {tokenizer}")


def main():
    test = runs.Test()
    books = books_with_everything()
    check_round_trips(test, books)
    check_wikitext(test)
    check_ranks(test)
    check_packed(test, books)
    check_published(test)
    check_killed(test)
    check_changed(test)
    check_models(test)
    check_lengths(test, books)
    check_metadata(test)
    check_twice(test)
    check_wrong_files(test)
    check_vocabularies(test)
    corpus = os.environ.get("PALIMPSEST_CORPUS")
    if corpus:
        check_corpus(test, os.path.abspath(corpus))
    else:
        print("skipped: real texts: PALIMPSEST_CORPUS names no folder")
    return test.finish()


if __name__ == "__main__":
    runs.start(main)
