"""Learning-rate schedule, clipping and Adam, on a dict of weights."""
import math

import torch

from parameters import is_compression, is_decayed

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


def learning_rate(update, settings):
    """Of update 1, 2, ...: linear warm-up, cosine to lr_end, then lr_end."""
    s = settings
    if update <= s.warmup:
        return s.lr_start + (s.lr_peak - s.lr_start) * update / s.warmup
    if update >= s.decay:
        return s.lr_end
    done = (update - s.warmup) / (s.decay - s.warmup)
    return s.lr_end + (s.lr_peak - s.lr_end) * 0.5 * (1.0 + math.cos(math.pi * done))


def windows_in_update(update, settings):
    """How many consecutive windows of every row update 1, 2, ... covers."""
    return settings.update_every if update >= settings.update_every_after else 1


def clip_group(gradients, clip):
    """Scales the gradients of one group to the norm `clip` at most; 0 means no clipping."""
    norm = math.sqrt(sum(float((g ** 2).sum()) for g in gradients.values()))
    scale = min(1.0, clip / norm) if clip > 0 and norm > 0 else 1.0
    return {name: g * scale for name, g in gradients.items()}


def clip_groups(gradients, clip):
    """Main weights and compression weights are clipped by their own norms."""
    main = {name: g for name, g in gradients.items() if not is_compression(name)}
    compression = {name: g for name, g in gradients.items() if is_compression(name)}
    return {**clip_group(main, clip), **clip_group(compression, clip)}


class Adam:
    """Adam with bias correction and decoupled weight decay."""

    def __init__(self, weights):
        self.first = {name: torch.zeros_like(w) for name, w in weights.items()}
        self.second = {name: torch.zeros_like(w) for name, w in weights.items()}

    def step(self, weights, gradients, update, settings):
        """-> the new weights; update counts from 1."""
        rate = learning_rate(update, settings)
        result = {}
        for name, w in weights.items():
            g = gradients[name]
            self.first[name] = BETA_1 * self.first[name] + (1 - BETA_1) * g
            self.second[name] = BETA_2 * self.second[name] + (1 - BETA_2) * g ** 2
            m = self.first[name] / (1 - BETA_1 ** update)
            v = self.second[name] / (1 - BETA_2 ** update)
            decay = settings.weight_decay if is_decayed(name, w.shape) else 0.0
            result[name] = w - rate * (m / (torch.sqrt(v) + EPSILON) + decay * w)
        return result
