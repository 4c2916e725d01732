"""The memory of one row of one layer, and what a window does to it.

`LayerMemory` holds both FIFOs, oldest slot first. Valid slots are always the newest ones.
`attached` is used by compression_loss = task only: the blocks that the last `bptt_windows`
windows of this update appended to `compressed`, with their gradient (a window that appended
nothing has an empty block). They equal the newest rows of `compressed`.
"""
from dataclasses import dataclass, replace

import torch

from compression import compress, compression_loss


@dataclass
class LayerMemory:
    recent: torch.Tensor            # (M, D)
    compressed: torch.Tensor        # (N, D), no gradient
    valid_recent: int
    valid_compressed: int
    attached: tuple = ()            # of (T/c or 0, D), with gradient

    def readable_compressed(self):
        """(N, D), the newest blocks with their gradient."""
        N = self.compressed.shape[0]
        with_gradient = sum(block.shape[0] for block in self.attached)
        older = self.compressed[:max(0, N - with_gradient)]
        rows = torch.cat([older, *self.attached])
        return rows[rows.shape[0] - N:]

    def detached(self):
        """The same memory at the start of an update: nothing carries a gradient."""
        return replace(self, attached=())


def empty_memory(settings, layer, dtype):
    """The memory with which a row starts a document."""
    M, N, D = settings.memory[layer], settings.compressed_memory[layer], settings.width
    everything_counts = settings.empty_memory == "zeros"
    return LayerMemory(
        recent=torch.zeros(M, D, dtype=dtype),
        compressed=torch.zeros(N, D, dtype=dtype),
        valid_recent=M if everything_counts else 0,
        valid_compressed=N if everything_counts else 0,
    )


def newest(count, total):
    """Boolean (total,): the newest `count` are true."""
    return torch.arange(total) >= total - count


def push(memory, a, new, settings):
    """Section 2 of the model for a whole window: `a` (T, D) enters, `new` is f_c(evicted)."""
    T, M, N = settings.window, memory.recent.shape[0], memory.compressed.shape[0]
    valid_evicted = max(0, memory.valid_recent + T - M)
    valid_new = valid_evicted // settings.compression_rate
    joined = torch.cat([memory.recent, a])
    compressed = memory.compressed
    if N > 0:
        compressed = torch.cat([compressed, new.detach()])[-N:]
    return LayerMemory(
        recent=joined[T:],
        compressed=compressed,
        valid_recent=min(M, memory.valid_recent + T),
        valid_compressed=min(N, memory.valid_compressed + valid_new),
        attached=attach(memory, new, settings),
    )


def attach(memory, block, settings):
    """Remembers the window's block with its gradient, where the task loss trains f_c."""
    if settings.compression_loss != "task" or memory.compressed.shape[0] == 0:
        return ()
    return (memory.attached + (block,))[-settings.bptt_windows:]


def after_window(memory, a, seen, weights, settings):
    """What a layer does with its memory after a window.

    a     (n, D): what memory stores of the window's n counted positions (n < T: the last window)
    seen  (M+n,): mean attention weight on each slot of [memory ; window]
    -> (the new memory, (sum, count) of the compression loss)
    """
    a = a.detach()
    n, M, T = a.shape[0], memory.recent.shape[0], settings.window
    if memory.compressed.shape[0] == 0:
        pushed = push(memory, a, None, settings) if n == T else memory
        return pushed, (0.0, 0)

    padding = torch.zeros(T - n, settings.width, dtype=a.dtype)
    evicted = torch.cat([memory.recent, a, padding])[:T]
    usage = torch.cat([seen, padding.new_zeros(T - n)])[:T]
    valid_evicted = torch.cat([newest(memory.valid_recent, M), newest(n, n),
                               newest(0, T - n)])[:T]
    valid_new = valid_evicted.reshape(-1, settings.compression_rate).all(dim=1)

    new = compress(evicted, usage, weights, settings)
    loss = compression_loss(a, evicted, new, valid_evicted, valid_new, M, weights, settings)
    if n == T:
        return push(memory, a, new, settings), loss
    return replace(memory, attached=attach(memory, new[:0], settings)), loss
