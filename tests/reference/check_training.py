"""Checks of data order, schedule, optimiser, golden values, and of every configuration as a whole.
"""
import math
import os
import tempfile

import numpy as np
import torch

import configs
import corpus
import golden
from data import Split, document_windows, lane_windows, training_windows
from difference import TOLERANCE, array_difference, difference
from evaluate import evaluate
from initial import initial_weights
from optimizer import Adam, clip_groups, learning_rate, windows_in_update
from parameters import is_decayed
from settings import from_ini
from train import train


def split_of(*lengths):
    """Documents of the given lengths; document d holds d*100, d*100 + 1, ..."""
    documents = [100 * d + np.arange(length) for d, length in enumerate(lengths)]
    return Split([str(d) for d in range(len(lengths))], documents, [], [])


def corpus_split(name, split):
    """A split of the test corpus without a data.h5."""
    texts = {identity: corpus.document_bytes(identity, length)
             for identity, length in corpus.CORPORA[name][split].items()}
    tokens = [np.frombuffer(text, np.uint8).astype(np.int64) for text in texts.values()]
    return Split([str(identity) for identity in texts], tokens, [], [])


# ---- data --------------------------------------------------------------------------------------

def check_every_token_is_predicted_once():
    for length in (1, 7, 8, 9, 40):
        document = np.arange(length) + 10
        windows = document_windows(document, 8)
        assert np.concatenate([w.targets for w in windows]).tolist() == document.tolist()
        inputs = np.concatenate([w.inputs for w in windows]).tolist()
        assert inputs == [256] + document.tolist()[:-1]
        assert [w.first for w in windows] == [True] + [False] * (len(windows) - 1)
        assert [w.last for w in windows] == [False] * (len(windows) - 1) + [True]


def check_rows_take_the_next_document():
    """Documents of 2, 1, 1, 3 windows for two rows; then the next epoch."""
    stream = training_windows(split_of(16, 8, 3, 20), 2, 8)
    order = [[int(window.targets[0]) // 100 for window in next(stream)] for _ in range(8)]
    assert order == [[0, 1], [0, 2], [3, 0], [3, 0], [3, 1], [2, 3], [0, 3], [0, 3]], order


def check_lanes_cover_the_stream():
    document = np.arange(23)
    lanes = lane_windows(document, 3, 4)
    targets = [np.concatenate([w.targets for w in lane]) for lane in lanes]
    assert [len(lane) for lane in targets] == [8, 8, 7]
    assert np.concatenate(targets).tolist() == document.tolist()
    assert [int(lane[0].inputs[0]) for lane in lanes] == [256, 7, 15]
    stream = training_windows(split_of(23), 3, 4)
    firsts = [[window.first for window in next(stream)] for _ in range(3)]
    assert firsts == [[True] * 3, [False] * 3, [True] * 3]


def check_corpus_has_every_kind_of_document():
    lengths = list(corpus.BOOKS["train"].values())
    assert any(n < 8 for n in lengths) and any(n % 8 == 0 for n in lengths)
    assert all(len(corpus.document_bytes(5, n)) == n for n in (1, 63, 64, 300))


# ---- schedule and optimiser --------------------------------------------------------------------

def check_schedule():
    s = from_ini(configs.ini_text("base", "none", {"train.warmup": 4, "train.decay": 12}))
    assert math.isclose(learning_rate(1, s), 1e-6 + (s.lr_peak - 1e-6) / 4)
    assert learning_rate(4, s) == s.lr_peak
    assert math.isclose(learning_rate(8, s), (s.lr_peak + s.lr_end) / 2)
    assert learning_rate(12, s) == learning_rate(99, s) == s.lr_end


def check_update_every():
    s = from_ini(configs.ini_text("late_accumulation", "none"))
    assert [windows_in_update(u, s) for u in (1, 2, 3, 4)] == [1, 1, 3, 3]


def check_groups_are_clipped_by_their_own_norms():
    gradients = {"layers/00/attention/key": torch.tensor([3.0, 4.0]),
                 "layers/00/compression/conv": torch.tensor([0.06])}
    clipped = clip_groups(gradients, 0.1)
    assert torch.allclose(clipped["layers/00/attention/key"], torch.tensor([0.06, 0.08]))
    assert torch.equal(clipped["layers/00/compression/conv"], torch.tensor([0.06]))
    assert torch.equal(clip_groups(gradients, 0)["layers/00/attention/key"],
                       torch.tensor([3.0, 4.0]))


def check_adam_is_torch():
    s = from_ini(configs.ini_text("weight_decay", "none"))
    name = "layers/00/attention/key"
    w = torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    theirs = w.clone().requires_grad_()
    adam, optimiser = Adam({name: w}), torch.optim.AdamW([theirs], eps=1e-8)
    for update in range(1, 6):
        g = torch.sin(torch.arange(16, dtype=torch.float64).reshape(4, 4) * update)
        w = adam.step({name: w}, {name: g}, update, s)[name]
        optimiser.param_groups[0].update(lr=learning_rate(update, s), weight_decay=0.1)
        theirs.grad = g
        optimiser.step()
    assert torch.allclose(w, theirs, rtol=0, atol=1e-14)


def check_what_decays():
    assert is_decayed("embedding/table", (257, 8))
    assert is_decayed("layers/00/compression/conv", (32, 8))
    for name in ("content_bias", "position_bias", "position_bias_compressed"):
        assert not is_decayed(f"layers/00/attention/{name}", (2, 4))
    assert not is_decayed("final_norm/scale", (8,))


# ---- comparison and whole runs -----------------------------------------------------------------

def check_differences_are_seen():
    a = np.array([1.0, -2.0, 0.5])
    assert array_difference("w", a + [0, 0, 1.9e-4], a).passed
    assert not array_difference("w", a + [0, 0, 2.1e-4], a).passed
    assert not array_difference("w", a * np.nan, a).passed
    assert not array_difference("w", None, a).passed
    assert array_difference("w", a, a * np.nan).passed
    assert not difference({"x": a}, {"x": a, "y": a}).passed


def check_golden_values_keep_their_precision():
    random = np.random.default_rng(1)
    result = {"weights/a": random.normal(size=(5, 7)), "nats/1": random.random(9),
              "memory/layers/00/recent": np.full((2, 3, 4), np.nan), "loss": np.zeros(5),
              "memory/layers/00/compressed": np.zeros((2, 0, 4))}
    initial = {"a": random.normal(size=(5, 7))}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "golden.h5")
        golden.write(path, "base", initial, result)
        summary, stored = golden.read(path, "base")
        assert golden.read(path, "other") is None
    assert golden.initial_differences(summary, initial) == []
    assert golden.initial_differences(summary, {"a": initial["a"] + 1e-3}) == ["a"]
    assert difference(stored, result).error < TOLERANCE / 5


def check_every_configuration_learns():
    """Five updates bring the task loss down, move every trained weight, and keep all finite."""
    for name in configs.CONFIGS:
        settings = from_ini(configs.ini_text(name, "none"))
        initial = initial_weights(settings)
        result = train(settings, initial, corpus_split(configs.values(name)["corpus"], "train"))
        assert result["loss"][-1] < result["loss"][0] - 0.01, name
        for key, before in initial.items():
            after = result["weights/" + key]
            assert np.isfinite(after).all(), (name, key)
            moved = not np.array_equal(before, after)
            trained = name != "no_memory_attention" or "/compression/" not in key
            assert moved == trained, (name, key)


def check_evaluation_reads_every_token():
    for name in ("base", "never", "larger_evaluation"):
        settings = from_ini(configs.ini_text(name, "none", configs.EVALUATION.get(name)))
        split = corpus_split("books", "test")
        nats = evaluate(settings, initial_weights(settings), split)
        lengths = [len(values) for values in nats.values()]
        assert lengths == [len(document) for document in split.documents]


def check_memory_across_documents():
    """`never` changes what the second document reads, `document` does not."""
    split = corpus_split("books", "test")
    later = Split(split.names[2:], split.documents[2:], [], [])
    for reset, same in (("document", True), ("never", False)):
        settings = from_ini(configs.ini_text("base", "none", {"data.reset_memory": reset}))
        weights = initial_weights(settings)
        name = later.names[0]
        alone, after = (evaluate(settings, weights, part)[name] for part in (later, split))
        assert np.array_equal(alone, after) == same, reset


def check_training_keeps_memory_with_never():
    """The second row's document ends after three windows; only the fourth reads differently."""
    split = corpus_split("books", "train")
    losses = []
    for reset in ("document", "never"):
        settings = from_ini(configs.ini_text("base", "none", {"data.reset_memory": reset}))
        losses.append(train(settings, initial_weights(settings), split)["loss"])
    assert (losses[0] == losses[1]).tolist() == [True, True, True, False, False]


CHECKS = [value for name, value in list(globals().items()) if name.startswith("check_")]
