"""How far two results are apart: per array, relative to the array's largest value."""
from dataclasses import dataclass

import numpy as np

TOLERANCE = 1e-4        # float32 against float64, five updates of Adam; see README.md
TINY = 1e-20


@dataclass
class Worst:
    """The array that differs most, and where."""
    error: float = 0.0
    text: str = "no difference"

    @property
    def passed(self):
        return self.error <= TOLERANCE


def array_difference(name, found, expected):
    """One array; nan and negative counts in `expected` mean: not specified."""
    expected = np.asarray(expected, dtype=np.float64)
    if expected.size == 0:
        return Worst()
    if found is None:
        return Worst(np.inf, f"{name} is missing")
    found = np.asarray(found, dtype=np.float64)
    if found.shape != expected.shape:
        return Worst(np.inf, f"{name} is {found.shape}, expected {expected.shape}")

    unspecified = np.isnan(expected)
    if "/valid_" in name:
        unspecified = expected < 0
    gap = np.where(unspecified, 0.0, np.abs(found - expected))
    if unspecified.all():
        return Worst()
    largest = np.abs(expected[~unspecified]).max()
    error = np.nan_to_num(gap / max(largest, TINY), nan=np.inf)
    at = np.unravel_index(np.argmax(error), error.shape)
    place = ",".join(str(int(index)) for index in at)
    return Worst(float(error[at]),
                 f"{name}[{place}] {found[at]:.9g}, expected {expected[at]:.9g}")


def difference(found, expected):
    """The worst of all arrays of `expected`; `found` may hold more."""
    each = [array_difference(name, found.get(name), expected[name]) for name in sorted(expected)]
    return max(each, key=lambda worst: worst.error, default=Worst())


def difference_table(found, expected):
    """Every array with its error, the worst first."""
    each = [array_difference(name, found.get(name), expected[name]) for name in sorted(expected)]
    return sorted(each, key=lambda worst: -worst.error)
