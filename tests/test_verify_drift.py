"""Numbers that differ by rounding alone blame nobody."""

from __future__ import annotations

import pytest
import torch
from onnxscript import opset18 as op
from torch import nn

import onnx_debug
from onnx_debug.data.failure import ClueKind
from onnx_debug.data.stage import Stage
from onnx_debug.render.text import render


class Wave(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(16, 16)

    def forward(self, x):
        return torch.sin(self.body(x + 0.1 * nn.functional.hardswish(x)) * 3)


def waves():
    torch.manual_seed(0)
    return nn.Sequential(*[Wave() for _ in range(24)]).eval().half(), (torch.randn(4, 16).half(),)


@pytest.mark.parametrize("options", [{}, {"dynamo": False}, {"dynamo": False, "isolate": False}])
def test_rounding_that_grows_takes_one_trial_and_blames_nobody(options):
    found = onnx_debug.diagnose(*waves(), atol=1e-3, rtol=1e-3, **options)
    assert found.failure.stage is Stage.COMPARE
    assert found.failure.clues[0].kind is ClueKind.DRIFT
    assert (found.culprits, len(found.trials)) == ((), 1)
    assert "Next: give the tolerances that fit" in render(found)


def test_an_operator_that_goes_wrong_is_no_drift():
    wrong = {
        torch.ops.aten.hardswish.default: lambda x: op.Mul(
            op.HardSwish(x), op.CastLike(op.Constant(value_float=3.0), x)
        )
    }
    found = onnx_debug.diagnose(*waves(), custom_translation_table=wrong)
    assert found.culprits
    assert all(clue.kind is not ClueKind.DRIFT for clue in found.failure.clues)
