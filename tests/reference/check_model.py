"""Checks of the forward pass: parts against PyTorch's own, the whole against its identities."""
import torch
import torch.nn.functional as F

import compression
import model
from data import document_windows
from fixtures import TEXT, near, random, settings_of
from initial import lively_weights
from train import as_tensors

def read(settings, weights, document=TEXT, memories=None):
    """Nats of a whole document. -> (nats, memories at the end)"""
    memories = memories or model.empty_memories(settings, torch.float64)
    nats = []
    for window in document_windows(document, settings.window):
        values, memories, _ = model.read_window(
            torch.tensor(window.inputs), torch.tensor(window.targets), memories, weights, settings)
        nats.append(values)
    return torch.cat(nats), memories


# ---- adaptive inputs and softmax -----------------------------------------------------------------

def check_adaptive_softmax_is_torch():
    """Its head has no projection of its own and its tails no biases."""
    for tied in ("true", "false"):
        settings = settings_of(adaptive_cutoffs="101, 112", adaptive_divisor=2,
                               tie_embeddings=tied, norm="post")
        weights = as_tensors(lively_weights(settings), settings)
        for i in (1, 2):
            weights[f"output/cluster_{i}/bias"].data.zero_()
        theirs = torch.nn.AdaptiveLogSoftmaxWithLoss(8, 257, [101, 112], div_value=2,
                                                     head_bias=True).double()
        end = "embedding" if tied == "true" else "output"
        with torch.no_grad():
            theirs.head.weight.copy_(weights[f"{end}/cluster_0/table"]
                                     @ weights["output/cluster_0/projection"])
            theirs.head.bias.copy_(weights["output/cluster_0/bias"])
            for i, (project, table) in enumerate(theirs.tail):
                project.weight.copy_(weights[f"{end}/cluster_{i + 1}/projection"])
                table.weight.copy_(weights[f"{end}/cluster_{i + 1}/table"])
        h = random(20, 8)
        log_p = model.token_log_p(h, weights, settings)
        near(log_p, theirs.log_prob(h))
        near(log_p.exp().sum(dim=1), torch.ones(20, dtype=torch.float64))


def check_adaptive_inputs_by_hand():
    settings = settings_of(adaptive_cutoffs="101, 112", adaptive_divisor=2)
    weights = as_tensors(lively_weights(settings), settings)
    for token, i, row in ((0, 0, 0), (100, 0, 100), (101, 1, 0), (111, 1, 10), (112, 2, 0),
                          (256, 2, 144)):
        expected = (weights[f"embedding/cluster_{i}/table"][row]
                    @ weights[f"embedding/cluster_{i}/projection"]) * 8 ** 0.5
        near(model.embed(torch.tensor([token]), weights, settings)[0], expected)


# ---- parts -------------------------------------------------------------------------------------

def check_layer_norm_is_torch():
    x, scale, shift = random(5, 8), random(8, seed=2), random(8, seed=3)
    weights = {"norm/scale": scale, "norm/shift": shift}
    near(model.layer_norm(x, weights, "norm"), F.layer_norm(x, (8,), scale, shift, eps=1e-5))


def check_gelu_is_torch():
    x = random(5, 8)
    near(model.activate(x, settings_of(activation="gelu")), F.gelu(x, approximate="tanh"))


def check_sinusoid_by_hand():
    value = model.sinusoid(torch.tensor([[3.0]], dtype=torch.float64), 4)[0, 0]
    angle = torch.tensor([3.0, 3.0 * 10000.0 ** -0.5], dtype=torch.float64)
    near(value, torch.cat([angle.sin(), angle.cos()]))


def check_distances_of_the_paper():
    """Window 3, four compressed and six memory slots: the matrices DeepMind's code yields."""
    recent = model.recent_distance(3, 6, torch.float64)
    assert recent[:, :7].tolist() == [[6, 5, 4, 3, 2, 1, 0],
                                      [7, 6, 5, 4, 3, 2, 1],
                                      [8, 7, 6, 5, 4, 3, 2]]
    assert recent.diagonal(offset=6).tolist() == [0, 0, 0]
    separate = model.compressed_distance(3, 4, 6, settings_of(), torch.float64)
    assert separate.tolist() == [[4, 3, 2, 1], [5, 4, 3, 2], [6, 5, 4, 3]]


def check_other_distances():
    near_slot = {"contiguous": [10, 9, 8, 7], "temporal": [20.5, 16.5, 12.5, 8.5]}
    for positions, expected in near_slot.items():
        found = model.compressed_distance(1, 4, 6, settings_of(positions=positions),
                                          torch.float64)
        assert found.tolist() == [expected], (positions, found)


def check_attention_against_one_loop():
    """One query and one head at a time, straight from the formula of the logit."""
    settings = settings_of(compressed_memory=4)
    weights = model.layer_weights(as_tensors(lively_weights(settings), settings), 0)
    memory = model.empty_memories(settings, torch.float64)[0]
    memory.compressed, memory.valid_compressed = random(4, 8, seed=5), 3
    memory.recent, memory.valid_recent = random(8, 8, seed=6), 6
    a = random(8, 8, seed=7)
    found, _ = model.attention(a, memory, weights, settings)
    for i in range(8):
        o = []
        for head in range(2):
            part = slice(4 * head, 4 * head + 4)
            q = (a[i] @ weights["attention/query"])[part]
            logits, values = [], []
            for state, distance, name in keys_of(memory, a, i):
                k = (state @ weights["attention/key"])[part]
                r = (model.sinusoid(torch.tensor([[distance]], dtype=torch.float64), 8)[0, 0]
                     @ weights["attention/position" + name])[part]
                u = weights["attention/content_bias"][head]
                w = weights["attention/position_bias" + name][head]
                logits.append(((q + u) @ k + (q + w) @ r) / 2.0)
                values.append((state @ weights["attention/value"])[part])
            o.append(torch.softmax(torch.stack(logits), 0) @ torch.stack(values))
        y = torch.cat(o) @ weights["attention/output"] + weights["attention/output_bias"]
        near(found[i], y)


def keys_of(memory, a, i):
    """(state, distance, suffix of its position weights) of every slot that query i may read."""
    for j in range(1, 4):
        yield memory.compressed[j], 4.0 - j + i, "_compressed"
    for j in range(2, 8):
        yield memory.recent[j], 8.0 - j + i, ""
    for j in range(i + 1):
        yield a[j], float(i - j), ""


# ---- the whole ---------------------------------------------------------------------------------

def check_windows_do_not_matter_with_enough_memory():
    """Transformer-XL with memory for the whole text reads it like one long window."""
    for norm in ("pre", "post"):
        short = settings_of(compressed_memory=0, memory=48, norm=norm)
        long = settings_of(compressed_memory=0, memory=0, window=48, norm=norm)
        weights = as_tensors(lively_weights(short), short)
        near(read(short, weights)[0], read(long, weights)[0])


def check_identity_compression_is_longer_memory():
    """c = 1, f_c = identity, one position axis: Transformer-XL with memory M + N."""
    for positions in ("contiguous", "temporal"):
        xl = settings_of(compressed_memory=0, memory=24)
        compressive = settings_of(memory=8, compressed_memory=16, compression_rate=1,
                                  compression="mean", compression_loss="none",
                                  positions=positions)
        weights = as_tensors(lively_weights(xl), xl)
        near(read(compressive, weights)[0], read(xl, weights)[0])


def check_no_compressed_memory_is_transformer_xl():
    """With N = 0 no setting of the compression changes anything."""
    plain = settings_of(compressed_memory=0)
    weights = as_tensors(lively_weights(plain), plain)
    expected, _ = read(plain, weights)
    for change in ({"compression": "dilated"}, {"compression_rate": 2}, {"positions": "temporal"},
                   {"compression_loss": "autoencoding"}, {"compression": "most_used"}):
        assert torch.equal(read(settings_of(compressed_memory=0, **change), weights)[0], expected)


def check_zeros_equal_masked_when_memory_is_full():
    """With one layer the two kinds of empty memory hold the same once every slot is filled."""
    masked = settings_of(layers=1)
    zeros = settings_of(layers=1, empty_memory="zeros")
    weights = as_tensors(lively_weights(masked), masked)
    a, b = read(masked, weights)[0], read(zeros, weights)[0]
    assert float((a[:24] - b[:24]).abs().max()) > 1e-6
    near(a[24:], b[24:])


def check_future_is_not_seen():
    settings = settings_of()
    weights = as_tensors(lively_weights(settings), settings)
    changed = TEXT.copy()
    changed[20:] = 7
    near(read(settings, weights)[0][:20], read(settings, weights, changed)[0][:20])


def check_compressed_memory_is_read():
    """A change that only the compressed memory still remembers changes the loss."""
    settings = settings_of(layers=1)
    weights = as_tensors(lively_weights(settings), settings)
    changed = TEXT.copy()
    changed[:7] = 7
    gap = (read(settings, weights)[0] - read(settings, weights, changed)[0]).abs()
    assert float(gap[24:32].max()) > 1e-6, "windows 0 and 1 are compressed when window 3 reads"
    assert float(gap[32:].max()) == 0.0, "and forgotten after it"


# ---- compression functions ---------------------------------------------------------------------

def check_conv_with_equal_taps_is_mean():
    settings, x = settings_of(), random(8, 8)
    weights = {"compression/conv": torch.eye(8, dtype=torch.float64).repeat(4, 1) / 4}
    near(compression.compress_conv(x, None, weights, settings),
         compression.compress_mean(x, None, {}, settings))


def check_conv_is_torch():
    settings, x, taps = settings_of(), random(8, 8), random(32, 8, seed=2)
    kernel = taps.reshape(4, 8, 8).permute(2, 1, 0)         # (out, in, tap)
    near(compression.compress_conv(x, None, {"compression/conv": taps}, settings),
         F.conv1d(x.T[None], kernel, stride=4)[0].T)


def check_dilated_is_torch():
    settings = settings_of(compression="dilated", dilations="3, 1")
    both, taps, x = random(2, 16, 8, seed=4), random(32, 8, seed=2), random(8, 8)
    weights = {"compression/conv": taps, "compression/dilated_0": both[0],
               "compression/dilated_1": both[1]}
    y = x.T[None]
    for index, dilation in enumerate((3, 1)):
        kernel = both[index].reshape(2, 8, 8).permute(2, 1, 0)
        y = torch.relu(F.conv1d(F.pad(y, (dilation, 0)), kernel, dilation=dilation))
    y = F.conv1d(y, taps.reshape(4, 8, 8).permute(2, 1, 0), stride=4)
    near(compression.compress_dilated(x, None, weights, settings), y[0].T)


def check_most_used_keeps_order_and_ties():
    settings, x = settings_of(), random(8, 8)
    usage = torch.tensor([0.1, 0.3, 0.0, 0.2, 0.3, 0.1, 0.5, 0.0])
    near(compression.compress_most_used(x, usage, {}, settings), x[[1, 6]])


CHECKS = [value for name, value in list(globals().items()) if name.startswith("check_")]
