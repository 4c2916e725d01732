"""What the checks of the self test share."""
import torch

import configs
from settings import from_ini

TEXT = torch.randint(0, 256, (48,), generator=torch.Generator().manual_seed(3)).numpy()


def settings_of(**changes):
    """The base configuration with changes of its [model] section."""
    return from_ini(configs.ini_text("base", "none", {f"model.{key}": value
                                                      for key, value in changes.items()}))


def near(a, b, tolerance=1e-10):
    """Asserts that two tensors agree."""
    assert a.shape == b.shape, (a.shape, b.shape)
    error = float((a - b).abs().max())
    assert error < tolerance, f"error {error}"


def random(*shape, seed=1):
    """Normal numbers, the same ones on every call."""
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
