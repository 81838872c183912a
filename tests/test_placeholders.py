"""Placeholders: their outputs follow the sizes of the inputs, whatever expression torch prints for them."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.export import Dim

import onnx_debug
from onnx_debug.data.stage import Verdict

SIZES = {
    "longer": lambda x, y: max(x.shape[0], y.shape[0]),
    "shorter": lambda x, y: min(x.shape[0], y.shape[0]) + 1,
    "rest": lambda x, y: x.shape[0] % 3 + y.shape[0],
}


class Sized(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.size = size

    def forward(self, x, y):
        return x.sum() + y.new_ones(self.size(x, y))


class Model(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.sized = Sized(size)

    def forward(self, x, y):
        return self.sized(x, y) + x.new_zeros(self.sized.size(x, y))


@pytest.mark.parametrize("name", SIZES)
def test_sizes_follow_the_inputs_through_functions_of_torch(name):
    shapes = ({0: Dim.DYNAMIC}, {0: Dim.DYNAMIC})
    model, args = Model(SIZES[name]).eval(), (torch.ones(5), torch.ones(7))
    other = ((torch.ones(9), torch.ones(6)),)
    with onnx_debug.Session(model, args, dynamic_shapes=shapes, check_inputs=other) as session:
        session.step()
        assert session.probe("", stubs=["sized"]).answer is Verdict.PASSED
