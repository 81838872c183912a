"""Four models that torch's own verification passes. Ours must not."""

from __future__ import annotations

import warnings

import pytest
import torch
from onnxscript import opset18 as op
from torch import nn
from torch.onnx.verification import verify_onnx_program

import onnx_debug
from onnx_debug.data.stage import Stage
from onnx_debug.onnx_file import compare, runtime
from onnx_debug.onnx_file.feeds import feeds_for
from onnx_debug.onnx_file.runnable import make_runnable
from onnx_debug.torch_private import exporter
from tests import zoo


class Swish(nn.Module):
    """What its activation becomes in ONNX is for the translation table to say."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.act = nn.Linear(4, 4), nn.Hardswish()

    def forward(self, x):
        return self.act(self.body(x))


class TwoOutputs(nn.Module):
    def forward(self, x):
        return x + 1, x * 2


def nan_in_onnx_only(x):
    return op.Add(x, op.Log(op.Sub(op.ReduceMin(x, keepdims=1), op.ReduceMax(x, keepdims=1))))


def mean_of_equal_rows(x):
    """Right numbers in one row, which broadcast to all."""
    return op.ReduceMean(op.HardSwish(x), [0], keepdims=1)


def translated_by(function):
    return {"custom_translation_table": {torch.ops.aten.hardswish.default: function}}


def torch_passes(model, x, drop=0, **options):
    with exporter.reuse_operator_registry(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(model, (x,), verbose=False, dynamo=True, **options)
    del program.model.graph.outputs[len(program.model.graph.outputs) - drop :]
    infos = verify_onnx_program(program)
    return program, not any(
        info.max_abs_diff > 0.01 or info.max_rel_diff > 0.1 for info in infos
    )  # torch's own limits


MODELS = {
    "NaN": (
        Swish,
        torch.rand(3, 4),
        translated_by(nan_in_onnx_only),
        "NaN or Inf in only one of the two",
    ),
    "broadcast": (
        Swish,
        torch.ones(3, 4),
        translated_by(mean_of_equal_rows),
        "shape [3, 4] in eager, [1, 4] in ONNX",
    ),
    "random": (
        lambda: nn.Sequential(nn.Linear(4, 4), zoo.BakedRandom()),
        torch.rand(3, 4),
        {},
        "max difference",
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_what_torch_passes_fails_here(name):
    make, x, options, problem = MODELS[name]
    model = make().eval()
    assert torch_passes(model, x, **options)[1]
    found = onnx_debug.diagnose(model, (x,), **options)
    assert found.failure.stage is Stage.COMPARE
    assert problem in found.failure.message


def test_a_missing_output_passes_in_torch_and_fails_here(tmp_path):
    model, x = TwoOutputs(), torch.rand(3)
    program, passed = torch_passes(model, x, drop=1)
    assert passed
    program.save(tmp_path / "model.onnx")
    runnable = make_runnable(tmp_path / "model.onnx")
    got = runtime.run_session(
        runtime.open_session(runnable.path), runnable.outputs, feeds_for(runnable, [x])
    )
    (row,) = compare.compare_outputs(runnable.outputs, model(x), got)
    assert row.problem == "eager returns 2 tensors, ONNX 1"
