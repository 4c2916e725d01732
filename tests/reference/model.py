"""The Compressive Transformer, slowly: one row, one window, plain operations.

    h = embedding[token] * sqrt(D)
    per layer:  attention over [compressed ; memory ; window], feed-forward, memory update
    nats = -log softmax(logits)[target]

Every (n, K) matrix is written out. Weights are a dict {name: tensor} with the names that
checkpoints use. A window of n < T tokens is the last one of its document: its padding is absent.
"""
import math

import torch

from memory import after_window, empty_memory

EPSILON = 1e-5


def layer_norm(x, weights, name):
    mean = x.mean(dim=-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(dim=-1, keepdim=True)
    normal = (x - mean) / torch.sqrt(variance + EPSILON)
    return normal * weights[f"{name}/scale"] + weights[f"{name}/shift"]


def activate(x, settings):
    if settings.activation == "relu":
        return torch.relu(x)
    inner = math.sqrt(2.0 / math.pi) * (x + 0.044715 * x ** 3)
    return 0.5 * x * (1.0 + torch.tanh(inner))


def feed_forward(x, weights, settings):
    inner = activate(x @ weights["feed_forward/in"] + weights["feed_forward/in_bias"], settings)
    return inner @ weights["feed_forward/out"] + weights["feed_forward/out_bias"]


# ---- relative positions ------------------------------------------------------------------------

def sinusoid(distance, D):
    """(n, K) distances -> (n, K, D): the sine half, then the cosine half."""
    k = torch.arange(D // 2, dtype=distance.dtype)
    angle = distance[..., None] * 10000.0 ** (-2.0 * k / D)
    return torch.cat([torch.sin(angle), torch.cos(angle)], dim=-1)


def grid(queries, slots, dtype):
    """Column of query indices i and row of slot indices j."""
    i = torch.arange(queries, dtype=dtype)[:, None]
    j = torch.arange(slots, dtype=dtype)[None, :]
    return i, j


def recent_distance(n, M, dtype):
    """(n, M+n): distances to [memory ; window]; M - j + i and i - j are one axis."""
    i, j = grid(n, M + n, dtype)
    return M - j + i


def compressed_distance(n, N, M, settings, dtype):
    """(n, N): distances to the compressed slots."""
    i, j = grid(n, N, dtype)
    if settings.positions == "separate":
        return N - j + i
    if settings.positions == "contiguous":
        return N + M - j + i
    c = settings.compression_rate
    return M + c * (N - j) - (c - 1) / 2 + i


def position_logits(q, distance, projection, bias, settings):
    """(H, n, slots): (q_i + bias) . r, with r the head's slice of sinusoid(distance) projection."""
    r = sinusoid(distance, settings.width) @ projection
    logits = []
    for head in range(settings.heads):
        part = slice(head * settings.head_size, (head + 1) * settings.head_size)
        logits.append(((q[:, None, part] + bias[head]) * r[:, :, part]).sum(dim=-1))
    return torch.stack(logits)


# ---- attention ---------------------------------------------------------------------------------

def visible_slots(n, memory):
    """(n, K) boolean: valid memory slots, and window slots up to the query itself."""
    N, M = memory.compressed.shape[0], memory.recent.shape[0]
    visible = torch.zeros(n, N + M + n, dtype=torch.bool)
    visible[:, N - memory.valid_compressed:N] = True
    visible[:, N + M - memory.valid_recent:N + M] = True
    visible[:, N + M:] = torch.ones(n, n, dtype=torch.bool).tril()
    return visible


def all_position_logits(q, memory, weights, settings):
    """(H, n, K): the second term of the attention logit, for all three key sources."""
    n, N, M = q.shape[0], memory.compressed.shape[0], memory.recent.shape[0]
    projection, bias = weights["attention/position"], weights["attention/position_bias"]
    recent = position_logits(q, recent_distance(n, M, q.dtype), projection, bias, settings)
    if N == 0:
        return recent
    if settings.positions == "separate":
        projection = weights["attention/position_compressed"]
        bias = weights["attention/position_bias_compressed"]
    distance = compressed_distance(n, N, M, settings, q.dtype)
    compressed = position_logits(q, distance, projection, bias, settings)
    return torch.cat([compressed, recent], dim=2)


def attention(a, memory, weights, settings):
    """-> y (n, D) and the attention weights (H, n, K)"""
    s = torch.cat([memory.readable_compressed(), memory.recent, a])
    q = a @ weights["attention/query"]
    k = s @ weights["attention/key"]
    v = s @ weights["attention/value"]
    by_position = all_position_logits(q, memory, weights, settings)
    hidden = ~visible_slots(a.shape[0], memory)

    outputs, probabilities = [], []
    for head in range(settings.heads):
        part = slice(head * settings.head_size, (head + 1) * settings.head_size)
        by_content = (q[:, part] + weights["attention/content_bias"][head]) @ k[:, part].T
        logits = (by_content + by_position[head]) / math.sqrt(settings.head_size)
        p = torch.softmax(logits.masked_fill(hidden, -math.inf), dim=1)
        probabilities.append(p)
        outputs.append(p @ v[:, part])
    o = torch.cat(outputs, dim=1)
    y = o @ weights["attention/output"] + weights["attention/output_bias"]
    return y, torch.stack(probabilities)


# ---- the whole model ---------------------------------------------------------------------------

def layer_weights(weights, layer):
    """The weights of one layer, without the prefix layers/NN/."""
    prefix = f"layers/{layer:02d}/"
    return {name[len(prefix):]: value for name, value in weights.items()
            if name.startswith(prefix)}


def layer_forward(h, memory, weights, settings):
    """-> h after the layer, the layer's memory after the window, its compression loss"""
    pre = settings.norm == "pre"
    a = layer_norm(h, weights, "attention_norm") if pre else h
    y, probabilities = attention(a, memory, weights, settings)
    if pre:
        h = h + y
        h = h + feed_forward(layer_norm(h, weights, "feed_forward_norm"), weights, settings)
    else:
        h = layer_norm(h + y, weights, "attention_norm")
        h = layer_norm(h + feed_forward(h, weights, settings), weights, "feed_forward_norm")

    seen = probabilities.detach().mean(dim=(0, 1))[memory.compressed.shape[0]:]
    memory, loss = after_window(memory, a, seen, weights, settings)
    return h, memory, loss


def embed(inputs, weights, settings):
    """(n, D): rows of the table, or with clusters each token's row times its cluster's matrix."""
    if not settings.adaptive_cutoffs:
        return weights["embedding/table"][inputs] * math.sqrt(settings.width)
    rows = []
    for token in inputs:
        i = sum(int(token) >= cutoff for cutoff in settings.adaptive_cutoffs)
        first = settings.clusters()[i][0]
        narrow = weights[f"embedding/cluster_{i}/table"][int(token) - first]
        rows.append(narrow @ weights[f"embedding/cluster_{i}/projection"])
    return torch.stack(rows) * math.sqrt(settings.width)


def cluster_log_p(h, weights, i, settings):
    """(n, rows): log softmax over the tokens of a cluster; in the first one over its tokens and the
    classes of the others."""
    tied = settings.tie_embeddings
    table = weights[f"embedding/cluster_{i}/table" if tied else f"output/cluster_{i}/table"]
    shares = tied and i > 0
    projection = weights[f"embedding/cluster_{i}/projection" if shares else
                         f"output/cluster_{i}/projection"]
    logits = h @ projection.T @ table.T + weights[f"output/cluster_{i}/bias"]
    return torch.log_softmax(logits, dim=1)


def token_log_p(h, weights, settings):
    """(n, V)"""
    if settings.norm == "pre":
        h = layer_norm(h, weights, "final_norm")
    if not settings.adaptive_cutoffs:
        tied = settings.tie_embeddings
        table = weights["embedding/table"].T if tied else weights["output/table"]
        return torch.log_softmax(h @ table + weights["output/bias"], dim=1)
    head = cluster_log_p(h, weights, 0, settings)
    tokens = settings.adaptive_cutoffs[0]
    parts = [head[:, :tokens]]
    for i in range(1, len(settings.clusters())):
        of_class = head[:, tokens + i - 1]
        parts.append(of_class[:, None] + cluster_log_p(h, weights, i, settings))
    return torch.cat(parts, dim=1)


def empty_memories(settings, dtype):
    """The memory of all layers of one row at the start of a document."""
    return [empty_memory(settings, layer, dtype) for layer in range(settings.layers)]


def read_window(inputs, targets, memories, weights, settings):
    """One window of one row.

    -> nats (n,), the memories after the window, per layer (sum, count) of the compression loss
    """
    h = embed(inputs, weights, settings)
    after, losses = [], []
    for layer, memory in enumerate(memories):
        h, memory, loss = layer_forward(h, memory, layer_weights(weights, layer), settings)
        after.append(memory)
        losses.append(loss)
    log_p = token_log_p(h, weights, settings)
    nats = -log_p[torch.arange(len(targets)), targets]
    return nats, after, losses
