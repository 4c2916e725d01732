"""Checks of the memory's bookkeeping, of the compression losses, and of where gradients go."""
import torch

import compression
import configs
import model
from data import document_windows
from fixtures import TEXT, near, random, settings_of
from initial import lively_weights
from memory import after_window, empty_memory
from parameters import is_compression
from settings import from_ini
from train import as_tensors, gradients_of, update_losses

MEAN = {"compression": "mean", "compression_loss": "none"}


# ---- FIFO --------------------------------------------------------------------------------------

def marked(tokens, D=8):
    """States that carry the number of their token in every channel."""
    return torch.tensor(tokens, dtype=torch.float64)[:, None].repeat(1, D)


def push_marked(settings, count):
    """Pushes `count` windows of marked states 1, 2, 3, ... into an empty memory."""
    T = settings.window
    memory = empty_memory(settings, 0, torch.float64)
    for index in range(count):
        a = marked(range(1 + index * T, 1 + (index + 1) * T))
        seen = torch.zeros(memory.recent.shape[0] + T, dtype=torch.float64)
        memory, _ = after_window(memory, a, seen, {}, settings)
    return memory


def expected_memory(settings, count):
    """The same from plain lists: all states, the newest M recent, the older ones compressed."""
    T, c = settings.window, settings.compression_rate
    M, N = settings.memory[0], settings.compressed_memory[0]
    states = list(range(1, 1 + count * T))
    recent = states[len(states) - min(M, len(states)):]
    older = states[:len(states) - len(recent)]
    slots = [sum(older[at:at + c]) / c for at in range(0, len(older), c)]
    return recent, slots[max(0, len(slots) - N):]


def check_marked_states():
    for M in (0, 4, 8, 12, 16, 20):
        for N in (2, 3, 4, 7):
            for c in (2, 4):
                settings = settings_of(memory=M, compressed_memory=N, compression_rate=c, **MEAN)
                for count in range(6):
                    memory = push_marked(settings, count)
                    recent, compressed = expected_memory(settings, count)
                    zeros = [0.0] * (M - len(recent))
                    assert memory.recent[:, 0].tolist() == zeros + recent
                    zeros = [0.0] * (N - len(compressed))
                    assert memory.compressed[:, 0].tolist() == zeros + compressed
                    assert memory.valid_recent == len(recent)
                    assert memory.valid_compressed == len(compressed)


def check_partial_window_is_not_pushed():
    settings = settings_of(**MEAN)
    memory = push_marked(settings, 3)
    after, _ = after_window(memory, marked([99, 98]), torch.zeros(10, dtype=torch.float64), {},
                            settings)
    assert torch.equal(after.recent, memory.recent)
    assert torch.equal(after.compressed, memory.compressed)


# ---- compression losses ------------------------------------------------------------------------

def block_loss(settings, evicted, new, valid_evicted=8, n=8):
    """(sum, count) for a block whose newest `valid_evicted` rows are valid."""
    weights = model.layer_weights(as_tensors(lively_weights(settings), settings), 0)
    valid = torch.arange(8) >= 8 - valid_evicted
    valid_new = valid.reshape(-1, settings.compression_rate).all(dim=1)
    return compression.compression_loss(random(n, 8), evicted, new, valid, valid_new,
                                        settings.memory[0], weights, settings)


def check_attention_loss_is_zero_for_equal_groups():
    settings = settings_of()
    new = random(2, 8, seed=9)
    loss, count = block_loss(settings, new.repeat_interleave(4, dim=0), new)
    assert count == 8 * 8 and float(loss) < 1e-20
    loss, _ = block_loss(settings, random(8, 8, seed=8), new)
    assert float(loss) > 1e-3


def check_attention_loss_counts():
    assert block_loss(settings_of(), random(8, 8), random(2, 8), valid_evicted=0) == (0.0, 0)
    assert block_loss(settings_of(), random(8, 8), random(2, 8), n=3)[1] == 3 * 8
    assert block_loss(settings_of(memory=4), random(8, 8), random(2, 8))[1] == 4 * 8
    assert block_loss(settings_of(memory=0), random(8, 8), random(2, 8)) == (0.0, 0)


def check_invalid_slots_do_not_enter_the_attention_loss():
    a, b, new = random(8, 8), random(8, 8), random(2, 8, seed=4)
    b[:4] = 100.0
    a[4:] = b[4:]
    first, _ = block_loss(settings_of(), a, new, valid_evicted=4)
    new = new.clone()
    new[0] = -50.0
    second, _ = block_loss(settings_of(), b, new, valid_evicted=4)
    near(first, second)


def check_autoencoding_loss_by_hand():
    settings = settings_of(compression_loss="autoencoding")
    weights = model.layer_weights(as_tensors(lively_weights(settings), settings), 0)
    evicted, new = random(8, 8), random(2, 8, seed=4)
    rebuilt = torch.cat([(new[1] @ weights["compression/decoder"])[8 * k:8 * k + 8][None]
                         for k in range(4)])
    loss, count = block_loss(settings, evicted, new, valid_evicted=4)
    assert count == 32
    near(loss, ((evicted[4:] - rebuilt) ** 2).sum())


# ---- gradients ---------------------------------------------------------------------------------

def losses_of(name, weights=None, windows=5):
    """Task and compression loss of one update over the first windows of one row."""
    settings = from_ini(configs.ini_text(name, "none"))
    weights = weights or lively_weights(settings)
    tensors = {key: value.requires_grad_() for key, value in as_tensors(weights, settings).items()}
    batches = [[window] for window in document_windows(TEXT, settings.window)[:windows]]
    task, compressing, _ = update_losses(tensors, [None], batches, settings)
    return task, compressing, tensors


def check_gradient_routing():
    """Compression loss: zero for the main weights; task loss: zero for f_c, except with task."""
    for name in configs.CONFIGS:
        task, compressing, weights = losses_of(name)
        trains_f_c = "model.bptt_windows" in configs.values(name)
        of_task, of_compression = gradients_of(task, weights), gradients_of(compressing, weights)
        for key in weights:
            reached = bool(of_task[key].any()), bool(of_compression[key].any())
            if is_compression(key):
                has_loss = float(compressing) > 0.0
                assert reached == (trains_f_c, has_loss), (name, key, reached)
            else:
                assert not reached[1], (name, key)
        assert any(of_task[key].any() for key in weights if key.startswith("embedding/"))


def check_task_gradient_is_the_slope():
    """One layer: evicted states do not depend on f_c, so the slope is the whole derivative.

    Three windows with bptt_windows = 2: every block that is read was made inside the reach.
    """
    changes = {"model.layers": 1, "model.compression_loss": "task", "model.memory": 0,
               "model.bptt_windows": 2, "train.update_every": 3}
    settings = from_ini(configs.ini_text("base", "none", changes))
    weights = lively_weights(settings)
    batches = [[window] for window in document_windows(TEXT, 8)[:3]]
    key, step = "layers/00/compression/conv", 1e-6

    def task(conv):
        tensors = as_tensors({**weights, key: conv}, settings)
        tensors[key].requires_grad_()
        return update_losses(tensors, [None], batches, settings)[0], tensors[key]

    loss, conv = task(weights[key])
    gradient = torch.autograd.grad(loss, conv)[0]
    for place in ((0, 0), (9, 3), (31, 7)):
        up, down = weights[key].copy(), weights[key].copy()
        up[place] += step
        down[place] -= step
        slope = float(task(up)[0] - task(down)[0]) / (2 * step)
        assert abs(slope - float(gradient[place])) < 1e-8, (place, slope, gradient[place])


def check_task_gradient_reaches_bptt_windows():
    """In the third window: the first window's block counts with 2 windows, not with 1."""
    gradients = []
    for reach in (1, 2):
        changes = {"model.layers": 1, "model.compression_loss": "task", "model.memory": 0,
                   "model.bptt_windows": reach, "train.update_every": 3}
        settings = from_ini(configs.ini_text("base", "none", changes))
        tensors = as_tensors(lively_weights(settings), settings)
        conv = tensors["layers/00/compression/conv"].requires_grad_()
        memories = model.empty_memories(settings, torch.float64)
        for window in document_windows(TEXT, 8)[:3]:
            nats, memories, _ = model.read_window(
                torch.tensor(window.inputs), torch.tensor(window.targets), memories, tensors,
                settings)
        attached = memories[0].attached
        assert len(attached) == reach
        gradients.append(torch.autograd.grad(nats.sum(), conv)[0])
    assert float((gradients[0] - gradients[1]).abs().max()) > 1e-6


def check_task_gradient_leaves_the_slots_alone():
    """Blocks with a gradient stand where the stored slots of the same value stand."""
    for N in (3, 8):
        changes = {"compression_loss": "task", "bptt_windows": 2, "compressed_memory": N}
        settings = from_ini(configs.ini_text("base", "none", {"train.update_every": 3, **{
            f"model.{key}": value for key, value in changes.items()}}))
        tensors = as_tensors(lively_weights(settings), settings)
        memories = model.empty_memories(settings, torch.float64)
        for window in document_windows(TEXT, 8):
            _, memories, _ = model.read_window(
                torch.tensor(window.inputs), torch.tensor(window.targets), memories, tensors,
                settings)
            for memory in memories:
                assert torch.equal(memory.readable_compressed(), memory.compressed)


CHECKS = [value for name, value in list(globals().items()) if name.startswith("check_")]
