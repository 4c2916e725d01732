"""Random initial weights for the self test, distributed as the model prescribes."""
import numpy as np

from parameters import all_shapes

DEVIATION = 0.02


def initial_weight(name, shape, settings, random):
    leaf = name.split("/")[-1]
    if leaf == "scale":
        return np.ones(shape)
    if leaf == "shift" or "bias" in leaf:
        return np.zeros(shape)
    noise = random.normal(0.0, DEVIATION, shape)
    if leaf == "conv":
        c = settings.compression_rate
        return np.tile(np.eye(settings.width) / c, (c, 1)) + noise / np.sqrt(c)
    return noise


def initial_weights(settings, seed=0):
    """{name: array} for every weight of the configuration."""
    random = np.random.default_rng(seed)
    return {name: initial_weight(name, shape, settings, random)
            for name, shape in all_shapes(settings).items()}


def lively_weights(settings, seed=0):
    """Larger random values everywhere, so that no term of the model is nearly zero."""
    random = np.random.default_rng(seed)
    return {name: array + random.normal(0.0, 0.3, array.shape)
            for name, array in initial_weights(settings, seed).items()}
