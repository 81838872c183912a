"""How far numbers may differ: by a share of the size of their output."""

from __future__ import annotations

import pytest
import torch
from onnxscript import opset18 as op
from torch import nn

import onnx_debug
from onnx_debug.data.stage import Stage
from onnx_debug.explain.drift import without_noise
from onnx_debug.onnx_file.compare import Tolerance, compare_outputs, tolerance_of
from onnx_debug.render.text import render
from onnx_debug.request.case import make_case

BY_DTYPE = Tolerance()


def compared(eager, onnx, tolerance=BY_DTYPE):
    (row,) = compare_outputs(["out"], [eager], [onnx], tolerance)
    return row


def test_small_numbers_that_are_wrong_are_wrong():
    eager = torch.softmax(torch.randn(1, 50257), -1)
    assert float(eager.max()) < 1e-2
    assert compared(eager, torch.zeros_like(eager)).problem
    assert not compared(eager, eager * (1 + 1e-6)).problem


def test_what_cancels_to_nearly_zero_is_measured_by_its_neighbours():
    eager = torch.randn(8, 100)
    onnx = eager.clone()
    eager[3, 7], onnx[3, 7] = 1e-8, -2e-7
    assert not compared(eager, onnx).problem
    assert not compared(torch.zeros(9), torch.full((9,), 1e-8)).problem


def test_scores_beside_boxes_have_a_size_of_their_own():
    boxes, scores = 640 * torch.rand(1, 4, 200), torch.rand(1, 3, 200)
    eager = torch.cat([boxes, scores], 1)
    onnx = eager.clone()
    onnx[:, 5:] += 0.01
    row = compared(eager, onnx)
    assert (row.mismatched, row.where[1] >= 5, row.size <= 1) == (400, True, True)


def test_fill_values_of_masks_are_no_measure_of_the_others():
    eager = torch.randn(4, 5).masked_fill(torch.rand(4, 5) > 0.5, torch.finfo(torch.float32).min)
    eager[0, :2] = torch.finfo(torch.float32).min
    onnx = torch.where(eager < -1e9, eager, eager + 0.1)
    assert compared(eager, onnx).size < 10
    assert compared(eager, onnx).problem


def test_half_precision_says_how_like_the_two_are():
    eager, onnx = torch.tensor([14580.0]).half(), torch.tensor([14584.0]).half()
    row = compared(eager, onnx)
    assert (row.problem, row.max_abs_diff, row.size) == ("", 8.0, 14576.0)
    assert (row.allowed, row.eager, row.onnx) == (0.01, 14576.0, 14584.0)
    assert row.cosine == pytest.approx(1)
    assert row.snr_db == pytest.approx(65.2, abs=0.1)
    assert compared(torch.ones(1), torch.full((1,), 1 + 1e-6)).cosine is None


def test_the_users_tolerances_hold_as_they_stand():
    eager, onnx = torch.tensor([1.0, 100.0]), torch.tensor([1.05, 104.0])
    assert compared(eager, onnx).mismatched == 2
    assert compared(eager, onnx, Tolerance(atol=0.1)).mismatched == 1
    assert compared(eager, onnx, Tolerance(rtol=0.045)).mismatched == 0
    assert compared(eager, onnx, Tolerance(atol=0.02, rtol=0.04)).mismatched == 0
    assert compared(eager, onnx, Tolerance(atol=0, rtol=0)).mismatched == 2


def test_a_model_with_half_weights_is_measured_as_half_whatever_it_returns():
    model = nn.Linear(3, 3)
    assert tolerance_of(make_case(model, (torch.rand(3),))).precision is torch.float32
    half = tolerance_of(make_case(model.half(), (torch.rand(3),)))
    assert half.share(torch.float32) == 0.01
    assert half.share(torch.int64) == 0


def test_a_softmax_that_became_zeros_is_not_ok():
    table = {torch.ops.aten.softmax.int: lambda x, dim, dtype=-1: op.Mul(x, 0.0)}
    found = onnx_debug.diagnose(
        nn.Softmax(-1), (torch.randn(1, 20000),), custom_translation_table=table
    )
    assert found.failure.stage is Stage.COMPARE
    assert "0 in ONNX" in found.failure.message


def test_the_difference_stands_beside_what_is_allowed():
    found = onnx_debug.diagnose(nn.Softplus(), (torch.randn(8, 64),), dynamo=False)
    assert found.ok
    assert "allowed 0.01 %" in render(found)


def test_an_output_that_is_nothing_but_rounding_is_no_failure():
    class Balanced(nn.Module):
        def forward(self, x):
            centred = x - x.mean(-1, keepdim=True)
            return centred.mean(-1), x * 2

    torch.manual_seed(0)
    for options in ({}, {"dynamo": False}):
        found = onnx_debug.diagnose(Balanced(), (torch.randn(8, 333),), **options)
        assert found.ok, render(found)
        assert found.comparisons[0].max_abs_diff < 1e-6


def test_nan_in_only_one_of_the_two_is_no_rounding():
    eager, onnx = torch.tensor([1e-9, torch.nan]), torch.tensor([2e-9, 0.0])
    rows = compare_outputs(["out"], [eager], [onnx])
    inputs = ((torch.ones(2),), {})
    kept = without_noise(rows, [eager], inputs, lambda _: [torch.tensor([5e-9, 0.0])], BY_DTYPE)
    assert kept == rows
