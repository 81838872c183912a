"""Random numbers of Python and NumPy. An exporter keeps the one it drew as a constant; the check has to draw another to see that."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import numpy as np


@contextlib.contextmanager
def other_random_numbers(seed: int) -> Iterator[None]:
    """Seed Python's and NumPy's global generators inside the block and put them back after it; torch's has its own seed.

    The eager run and the export start from one state (forks of one process, or a restored one).
    Both would draw the same number and agree, and a graph that returns that number for ever would
    pass.
    """
    python, numpy = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
