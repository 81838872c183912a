"""A dynamic size that becomes a number names its module and line, also where it is only a part of the size that was given."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.export import Dim

import onnx_debug
from onnx_debug.torch_private import symbols


class Positions(nn.Module):
    """A row for each frame that is left after the convolution; `count` is what makes a number of their size."""

    def __init__(self, count):
        super().__init__()
        self.rows = nn.Embedding(100, 4)
        self.count = count

    def forward(self, frames):
        return frames + self.rows(torch.arange(self.count(frames.shape[1])))


class Encoder(nn.Module):
    def __init__(self, count):
        super().__init__()
        self.halve = nn.Conv1d(4, 4, 3, stride=2, padding=1)
        self.positions = Positions(count)

    def forward(self, sound):
        return self.positions(self.halve(sound.transpose(1, 2)).transpose(1, 2)).relu()


SOUND = torch.rand(2, 20, 4)


def test_a_number_made_of_a_halved_length_is_its_module_s_fault():
    found = onnx_debug.diagnose(
        Encoder(int).eval(), (SOUND,), dynamic_shapes={"sound": {1: Dim("time", max=150)}}
    )
    (culprit,) = found.culprits
    assert (culprit.fqn, culprit.proof.necessary) == ("positions", True)
    assert "hard-codes sound.shape[1] to 20" in str(found)
    assert "self.count(frames.shape[1])" in str(found)
    assert not found.request


def specialized(forward):
    """The symbolic sizes that a capture of `forward` makes numbers, by their names."""
    seen = []
    module = type("Module", (nn.Module,), {"forward": lambda self, x: forward(x)})()
    with symbols.watch_specializations(lambda _, size, name: seen.append((name, size))):
        dynamic = {"x": {0: Dim.AUTO, 1: Dim.AUTO}}
        torch.export.export(module, (torch.rand(12, 20),), dynamic_shapes=dynamic, strict=False)
    return set(seen)


@pytest.mark.parametrize(
    ("forward", "expected"),
    [
        (lambda x: x + 1, set()),
        (lambda x: x * int(x.shape[1]), {("x.shape[1]", 20)}),
        (lambda x: x[:, ::2] * int(x[:, ::2].shape[1]), {("x.shape[1]", 20)}),
        (lambda x: x.reshape(-1, 4), set()),  # divisible by four, and free otherwise
        (lambda x: x * (1 if x.shape[1] % 7 == 6 else 2), set()),
        (lambda x: x.reshape(240), {("x.shape[0]", 12), ("x.shape[1]", 20)}),
    ],
)
def test_a_guard_pins_a_size_or_leaves_it_free(forward, expected):
    assert specialized(forward) == expected
