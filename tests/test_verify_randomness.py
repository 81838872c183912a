"""Random numbers that an export would keep."""

from __future__ import annotations

import random

import numpy as np

from onnx_debug.eager.random_state import other_random_numbers


def draw():
    return random.random(), float(np.random.rand())


def test_the_block_draws_other_numbers_and_the_state_is_put_back():
    random.seed(5)
    np.random.seed(5)
    with other_random_numbers(1):
        one = draw()
    with other_random_numbers(2):
        two = draw()
    outside = draw()
    random.seed(5)
    np.random.seed(5)
    assert outside == draw()
    assert len({one, two, outside}) == 3
