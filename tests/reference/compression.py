"""Compression functions f_c and compression losses, for one layer of one row.

`evicted` is always the whole block of T rows, oldest first, and always a constant.
A loss comes back as (sum of squares, how many numbers were summed), so that the caller can
divide by the count over all rows and windows of an update.
"""
import math

import torch


# ---- compression functions: (T, D) -> (T/c, D) -------------------------------------------------

def groups(evicted, c):
    """(T, D) -> (T/c, c, D)"""
    return evicted.reshape(evicted.shape[0] // c, c, evicted.shape[1])


def compress_mean(evicted, usage, weights, settings):
    return groups(evicted, settings.compression_rate).mean(dim=1)


def compress_max(evicted, usage, weights, settings):
    return groups(evicted, settings.compression_rate).max(dim=1).values


def compress_conv(evicted, usage, weights, settings):
    c, D = settings.compression_rate, settings.width
    taps = weights["compression/conv"].reshape(c, D, D)
    grouped = groups(evicted, c)
    return sum(grouped[:, k] @ taps[k] for k in range(c))


def shift_down(x, steps):
    """Row t of the result is row t - steps of x, zeros before the block."""
    steps = min(steps, x.shape[0])
    return torch.cat([torch.zeros_like(x[:steps]), x[:x.shape[0] - steps]])


def compress_dilated(evicted, usage, weights, settings):
    D, x = settings.width, evicted
    for index, dilation in enumerate(settings.dilations):
        both = weights[f"compression/dilated_{index}"]
        x = torch.relu(shift_down(x, dilation) @ both[:D] + x @ both[D:])
    return compress_conv(x, usage, weights, settings)


def compress_most_used(evicted, usage, weights, settings):
    """Keeps the T/c rows with the largest usage (ties: the older), in temporal order."""
    keep = evicted.shape[0] // settings.compression_rate
    ranked = sorted(range(evicted.shape[0]), key=lambda j: (-float(usage[j]), j))
    return evicted[sorted(ranked[:keep])]


FUNCTIONS = {
    "mean": compress_mean,
    "max": compress_max,
    "conv": compress_conv,
    "dilated": compress_dilated,
    "most_used": compress_most_used,
}


def compress(evicted, usage, weights, settings):
    """f_c of the configuration; usage (T,) is what most_used looks at."""
    return FUNCTIONS[settings.compression](evicted, usage, weights, settings)


# ---- compression losses ------------------------------------------------------------------------

def content_attention(queries, keys_and_values, valid, weights, settings):
    """Softmax of content only: no positions, no biases, no causal mask.  -> (queries, D)"""
    k = keys_and_values @ weights["attention/key"].detach()
    v = keys_and_values @ weights["attention/value"].detach()
    reads = []
    for head in range(settings.heads):
        part = slice(head * settings.head_size, (head + 1) * settings.head_size)
        logits = queries[:, part] @ k[:, part].T
        logits = logits.masked_fill(~valid[None, :], -math.inf)
        reads.append(torch.softmax(logits, dim=1) @ v[:, part])
    return torch.cat(reads, dim=1)


def attention_loss(a, evicted, new, valid_evicted, valid_new, memory_slots, weights, settings):
    """How differently the window's queries read the evicted block and its compression."""
    first_query = max(0, settings.window - memory_slots)
    if not valid_new.any() or first_query >= a.shape[0]:
        return 0.0, 0
    queries = a.detach() @ weights["attention/query"].detach() / math.sqrt(settings.head_size)
    queries = queries[first_query:]
    target = content_attention(queries, evicted, valid_evicted, weights, settings)
    guess = content_attention(queries, new, valid_new, weights, settings)
    return ((target - guess) ** 2).sum(), target.numel()


def autoencoding_loss(evicted, new, valid_new, weights, settings):
    """How well the decoder gets the evicted groups back from their compression."""
    c, D = settings.compression_rate, settings.width
    rebuilt = (new @ weights["compression/decoder"]).reshape(-1, c, D)
    error = (groups(evicted, c) - rebuilt)[valid_new]
    return (error ** 2).sum(), error.numel()


def compression_loss(a, evicted, new, valid_evicted, valid_new, memory_slots, weights, settings):
    """The configuration's loss of one layer, one row, one window: (sum, count)."""
    if settings.compression_loss == "attention":
        return attention_loss(a, evicted, new, valid_evicted, valid_new, memory_slots,
                              weights, settings)
    if settings.compression_loss == "autoencoding":
        return autoencoding_loss(evicted, new, valid_new, weights, settings)
    return 0.0, 0
