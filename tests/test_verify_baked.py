"""Constants that should have followed the input."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from onnx_debug.eager.copies import CloneOnce
from onnx_debug.eager.module_names import ModuleNames
from onnx_debug.eager.recorder import Recorder, recorded
from onnx_debug.eager.values import fresh_values
from onnx_debug.explain.baked import baked_constants
from onnx_debug.explain.locate import Locator
from onnx_debug.torch_private import exporter


class ByMaximum(nn.Module):
    def forward(self, x):
        return x / x.max().item()


class ByNumpy(nn.Module):
    def forward(self, x):
        return x + torch.tensor(x.detach().numpy().mean())


class ByList(nn.Module):
    def forward(self, x):
        return torch.tensor(x.tolist())


class ByLength(nn.Module):
    def forward(self, x):
        return x * float(len(x))


class BySide(nn.Module):
    """A number goes from one module to another."""

    def __init__(self) -> None:
        super().__init__()
        self.count, self.body = Counts(), nn.Linear(4, 4)

    def forward(self, x):
        return self.body(x) * self.count(x)


class Counts(nn.Module):
    def forward(self, x):
        return int((x > 0.5).sum()) * 100 + 7


class Innocent(nn.Module):
    def forward(self, x):
        return torch.softmax(x, -1) * 0.7


class Indexes(nn.Module):
    def forward(self, x):
        return x[:, 3] + x[:, 1]


def export(model, args, path, *, dynamo=False):
    with exporter.reuse_operator_registry(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model.eval(), args, path, verbose=dynamo, dynamo=dynamo
        )  # without `verbose` the nodes lose their metadata
    return path


def record(model, *args):
    recorder = Recorder(ModuleNames(model), CloneOnce())
    with recorded(recorder), torch.no_grad():
        model(*args)
    return recorder.recording


def found_in(model, tmp_path, x, other):
    path = export(model, (x,), tmp_path / "m.onnx")
    return baked_constants(
        path, record(model, x), record(model, other), Locator(ModuleNames(model))
    )


@pytest.mark.parametrize(
    ("part", "origin"),
    [
        (ByMaximum, "the maximum of its input"),
        (ByNumpy, "the mean of its input"),
        (ByList, "its input"),
        (ByLength, "the size 0 of its input"),
    ],
)
def test_what_python_took_out_of_a_tensor_is_named(part, origin, tmp_path):
    model, x = nn.Sequential(nn.Linear(4, 4), part()), torch.rand(3, 4) + 2
    other = torch.rand(5, 4) if part is ByLength else fresh_values(((x,), {}), 0)[0][0]
    (constant,) = found_in(model, tmp_path, x, other)
    assert constant.fqn == "1"
    assert constant.reason.startswith("the constant ")
    assert constant.reason.endswith(f" is {origin}")


def test_a_number_that_another_module_returned_is_traced_to_it(tmp_path):
    (constant,) = found_in(BySide(), tmp_path, torch.rand(3, 4), torch.ones(3, 4))
    assert constant.fqn == ""
    assert constant.reason.endswith(" is its output in count")


def test_constants_of_the_code_are_not_named(tmp_path):
    x = torch.rand(3, 4)
    assert found_in(nn.Sequential(nn.Linear(4, 4), Innocent()), tmp_path, x, torch.rand(3, 4)) == []


def test_an_index_that_is_by_chance_the_position_of_a_maximum_is_not_named(tmp_path):
    one, other = torch.eye(4)[3:], torch.eye(4)[1:2]
    assert found_in(Indexes(), tmp_path, one, other) == []
