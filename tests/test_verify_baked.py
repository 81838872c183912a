"""Constants that should have followed the input."""

from __future__ import annotations

import random
import warnings

import pytest
import torch
from torch import nn

from onnx_debug import torch_internals
from onnx_debug.case import make_case
from onnx_debug.clues import Locator
from onnx_debug.recording import CloneOnce, ModuleNames, Recorder, recorded
from onnx_debug.verify.baked import baked_constants, drawn_at_export, frozen_outputs
from onnx_debug.verify.inputs import fresh_values


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


class Random(nn.Module):
    def forward(self, x):
        return x + random.random()


class Innocent(nn.Module):
    def forward(self, x):
        return torch.softmax(x, -1) * 0.7


def export(model, args, path, *, dynamo=False):
    with torch_internals.reuse_operator_registry(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model.eval(), args, path, verbose=dynamo, dynamo=dynamo)  # without `verbose` the nodes lose their metadata
    return path


def record(model, *args):
    recorder = Recorder(ModuleNames(model), CloneOnce())
    with recorded(recorder), torch.no_grad():
        model(*args)
    return recorder.recording


def found_in(model, tmp_path, x, other):
    path = export(model, (x,), tmp_path / "m.onnx")
    return baked_constants(path, record(model, x), record(model, other), Locator(ModuleNames(model)), set(model.state_dict()))


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
    assert (constant.clue.fqn, constant.origin) == ("1", origin)
    assert constant.name in constant.clue.reason


def test_a_number_that_another_module_returned_is_traced_to_it(tmp_path):
    (constant,) = found_in(BySide(), tmp_path, torch.rand(3, 4), torch.ones(3, 4))
    assert (constant.clue.fqn, constant.origin) == ("", "its output in count")


def test_constants_of_the_code_are_not_named(tmp_path):
    x = torch.rand(3, 4)
    assert found_in(nn.Sequential(nn.Linear(4, 4), Innocent()), tmp_path, x, torch.rand(3, 4)) == []


def test_a_random_number_differs_between_two_exports(tmp_path):
    model, x = nn.Sequential(nn.Linear(4, 4), Random(), Innocent()).eval(), torch.rand(3, 4)
    one, two = (export(model, (x,), tmp_path / f"{i}.onnx", dynamo=True) for i in range(2))
    (constant,) = drawn_at_export(one, two, Locator(ModuleNames(model)), set(model.state_dict()))
    assert (constant.clue.fqn, constant.clue.source.text) == ("1", "return x + random.random()")
    assert constant.origin == "drawn anew by each export"


def test_outputs_that_no_longer_follow_the_input():
    one, other = torch.ones(2), torch.zeros(2)
    assert frozen_outputs(["a", "b", "c"], ([one, one, one], [other, other, one]), ([one, one, one], [one, other, one])) == ["a"]


def test_fresh_values_bring_a_frozen_output_to_light(tmp_path):
    case = make_case(nn.Sequential(ByList()), (torch.rand(3, 4),))
    (fresh,), _ = fresh_values((case.args, case.kwargs), 0)
    kept = case.model(*case.args)
    assert frozen_outputs(["y"], ([kept], [case.model(fresh)]), ([kept], [kept])) == ["y"]
