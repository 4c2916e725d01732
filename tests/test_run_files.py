#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The files of a run: names and shapes of every tensor in checkpoints (model page, section 6), the
lines of metrics.jsonl, and config.ini, from which the run can be had again bit for bit.

    tests/test_run_files.py build/palimpsest [MPIRUN...]
"""
import math

import runs

BYTES = 257

# Configurations that together have every tensor there can be, and each absence.
CASES = {
    "conv": {},
    "dilated_autoencoding_untied_post": {
        "model.compression": "dilated", "model.dilations": "1,2", "model.norm": "post",
        "model.compression_loss": "autoencoding", "model.tie_embeddings": "false"},
    "temporal_most_used": {
        "model.positions": "temporal", "model.compression": "most_used",
        "model.compression_loss": "none"},
    "per_layer": {"model.layers": "3", "model.memory": "8,4,16",
                  "model.compressed_memory": "4,0,6", "batch.rows": "3"},
    "transformer_xl": {"model.compressed_memory": "0", "model.compression_loss": "none"},
}


def per_layer(text, layers):
    entries = [int(entry) for entry in text.split(",")]
    return entries * layers if len(entries) == 1 else entries


def layer_weights(config, compressed):
    """Weights of one layer, below layers/NN/."""
    width, heads = int(config["model.width"]), int(config["model.heads"])
    inner, rate = int(config["model.feed_forward"]), int(config["model.compression_rate"])
    shapes = {f"attention/{name}": (width, width)
              for name in ("query", "key", "value", "output", "position")}
    shapes["attention/output_bias"] = (width,)
    shapes["attention/content_bias"] = (heads, width // heads)
    shapes["attention/position_bias"] = (heads, width // heads)
    for norm in ("attention_norm", "feed_forward_norm"):
        shapes[norm + "/scale"] = shapes[norm + "/shift"] = (width,)
    shapes["feed_forward/in"], shapes["feed_forward/in_bias"] = (width, inner), (inner,)
    shapes["feed_forward/out"], shapes["feed_forward/out_bias"] = (inner, width), (width,)
    if compressed == 0:
        return shapes
    if config["model.positions"] == "separate":
        shapes["attention/position_compressed"] = (width, width)
        shapes["attention/position_bias_compressed"] = (heads, width // heads)
    if config["model.compression"] in ("conv", "dilated"):
        shapes["compression/conv"] = (rate * width, width)
    if config["model.compression"] == "dilated":
        for i in range(len(config["model.dilations"].split(","))):
            shapes[f"compression/dilated_{i}"] = (2 * width, width)
    if config["model.compression_loss"] == "autoencoding":
        shapes["compression/decoder"] = (width, rate * width)
    return shapes


def weights(config):
    width, layers = int(config["model.width"]), int(config["model.layers"])
    shapes = {"embedding/table": (BYTES, width), "output/bias": (BYTES,)}
    if config["model.tie_embeddings"] == "false":
        shapes["output/table"] = (width, BYTES)
    if config["model.norm"] == "pre":
        shapes["final_norm/scale"] = shapes["final_norm/shift"] = (width,)
    sizes = per_layer(config["model.compressed_memory"], layers)
    for layer in range(layers):
        for name, shape in layer_weights(config, sizes[layer]).items():
            shapes[f"layers/{layer:02d}/{name}"] = shape
    return shapes


def tensors(config):
    """Everything of section 6: {path: (shape, type)}."""
    found = {}
    for folder in ("weights", "optimizer/first_moment", "optimizer/second_moment"):
        for name, shape in weights(config).items():
            found[f"{folder}/{name}"] = (shape, "float32")
    width, layers, rows = (int(config[key])
                           for key in ("model.width", "model.layers", "batch.rows"))
    for name, key in (("recent", "model.memory"), ("compressed", "model.compressed_memory")):
        for layer, slots in enumerate(per_layer(config[key], layers)):
            folder = f"memory/layers/{layer:02d}"
            found[f"{folder}/{name}"] = ((rows, slots, width), "float32")
            found[f"{folder}/valid_{name}"] = ((rows,), "int32")
    for name in ("document", "offset", "epoch"):
        found[f"cursors/{name}"] = ((rows,), "int64")
    found["detector/losses"] = ((128,), "float64")
    return found


def check_tensors(test, name, run):
    path = run.checkpoint()
    found = {key: (array.shape, str(array.dtype)) for key, array in runs.datasets(path).items()}
    wanted = tensors({**runs.TINY, **runs.read_config(run.folder + "/config.ini")})
    for key in sorted(set(found) | set(wanted)):
        test.check(found.get(key) == wanted.get(key),
                   f"{name}: {key} is {found.get(key)}, expected {wanted.get(key)}")


def check_attributes(test, run):
    attributes = runs.attributes(run.checkpoint())
    config = runs.read_config(run.folder + "/config.ini")
    test.check(runs.stored_config(run.checkpoint()) == config,
               "the checkpoint's configuration is that of config.ini")
    test.check(attributes["update"] == int(config["train.updates"]), "the checkpoint's update")
    last = run.metrics("train")[-1]
    test.check(attributes["tokens"] == last["tokens"], "the checkpoint's count of tokens")
    for name in ("format", "version", "program_version", "windows", "next_document"):
        test.check(name in attributes, f"the checkpoint has the attribute {name}")


# What other people's scripts rely on (architecture page, section 6).
TRAIN_FIELDS = ("update", "loss", "compression_loss", "tokens", "tokens_per_second")
EVALUATE_FIELDS = ("update", "split", "nats", "tokens", "bytes", "words", "bits_per_byte",
                   "word_perplexity")


def check_metrics(test, run):
    lines = run.metrics()
    train, evaluate = run.metrics("train"), run.metrics("evaluate")
    test.check(len(lines) == len(train) + len(evaluate), "every line is train or evaluate")
    test.check([line["update"] for line in train] == list(range(1, 7)), "a line for every update")
    test.check([line["update"] for line in evaluate] == [2, 4, 6], "a line for every evaluation")
    for line in train:
        test.check(all(field in line for field in TRAIN_FIELDS), f"fields of {line}")
    for line in evaluate:
        test.check(all(field in line for field in EVALUATE_FIELDS), f"fields of {line}")
        test.check(line["split"] == "validation", "evaluation is of the validation split")
        test.check(line["tokens"] == line["bytes"] == 150, "every byte is counted")
        test.check(math.isclose(line["bits_per_byte"], line["nats"] / math.log(2) / line["bytes"],
                                rel_tol=1e-12), "bits per byte")
        test.check(math.isclose(line["word_perplexity"], math.exp(line["nats"] / line["words"]),
                                rel_tol=1e-12), "word perplexity")
    test.check(all(math.isfinite(line["loss"]) and line["loss"] > 0 for line in train), "losses")
    test.check(any(line["compression_loss"] > 0 for line in train), "compression losses")
    tokens = [line["tokens"] for line in train]
    test.check(tokens == sorted(tokens) and 0 < tokens[0] <= 2 * 8, "tokens add up")


def check_evaluation(test, run):
    """The last line of --json against the per-token losses and the file's own counts."""
    result, losses = run.evaluate()
    nats = sum(float(array.astype("float64").sum()) for array in losses.values())
    test.check(math.isclose(result["nats"], nats, rel_tol=1e-6), "the sum of all nats")
    lengths = {name: array.shape for name, array in losses.items()}
    test.check(lengths == {"301": (203,), "302": (61,)}, f"every token has its loss, not {lengths}")
    test.check(all(array.dtype == "float32" for array in losses.values()), "losses are float32")
    test.check(result["tokens"] == 264 and result["bytes"] == 264, "every byte is counted")


def main():
    test = runs.Test()
    for name, changes in CASES.items():
        run = test.train(name, changes)
        check_tensors(test, name, run)

    first = test.train("first", {"train.updates": "6", "train.evaluate_every": "2",
                                 "model.dropout": "0.1", "model.attention_dropout": "0.1"})
    check_attributes(test, first)
    check_metrics(test, first)
    check_evaluation(test, first)

    again = test.train("again", config_file=first.folder + "/config.ini")
    test.check_same_bits("from config.ini", first, again)
    test.check(runs.read_config(first.folder + "/config.ini") ==
               runs.read_config(again.folder + "/config.ini"), "config.ini gives itself again")

    other = test.train("other", {"train.seed": "2"})
    weights_of = [runs.datasets(run.checkpoint())["weights/embedding/table"]
                  for run in (test.train("seed", {}), other)]
    test.check((weights_of[0] != weights_of[1]).any(), "another seed gives other weights")
    return test.finish()


if __name__ == "__main__":
    runs.start(main)
