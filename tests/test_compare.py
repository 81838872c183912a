"""How far numbers may differ: by a share of the size of their output."""

from __future__ import annotations

import math

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


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("eager", "onnx_value", "problem"),
    [
        ([1.0, 2.0], [1.0, 2.0001], ""),
        ([1.0, 2.0], [1.0, 2.1], "max difference 0.1 at [1] (2 in eager, 2.1 in ONNX), 1 of 2"),
        ([1.0, 3.0], [NAN, 3.0], "NaN or Inf in only one of the two at [0] (1 in eager, nan in"),
        ([NAN, 3.0], [1.0, 3.0], "NaN or Inf in only one of the two at [0] (nan in eager, 1 in"),
        ([NAN, INF, -INF, 1.0], [NAN, INF, -INF, 1.0 + 1e-7], ""),
        ([INF, 1.0, 1.0], [-INF, 1.0, NAN], "(inf in eager, -inf in ONNX), 2 of 3 elements"),
        ([INF, 1.0], [NAN, 1.0], "NaN or Inf"),
    ],
)
def test_values_are_compared_with_their_pattern(eager, onnx_value, problem):
    row = compared(torch.tensor(eager), torch.tensor(onnx_value))
    assert problem in row.problem
    assert bool(row.problem) == bool(problem) == bool(row.mismatched)
    assert (row.input_index, row.output, row.total) == (0, "out", len(eager))


@pytest.mark.parametrize(
    ("eager", "onnx_value", "problem"),
    [
        (torch.ones(2, 1), torch.ones(1, 2), "shape [2, 1] in eager, [1, 2] in ONNX"),
        (torch.ones(2), torch.ones(2).double(), "float32 in eager, float64 in ONNX"),
    ],
)
def test_another_shape_or_dtype_is_a_difference_of_every_element(eager, onnx_value, problem):
    row = compared(eager, onnx_value)
    assert (row.problem, row.mismatched, row.total, row.input_index) == (problem, 2, 2, 0)
    assert row.output == "out"
    assert math.isnan(row.max_abs_diff)
    assert math.isnan(row.max_rel_diff)


def test_what_is_equal_has_no_difference():
    for value in (torch.zeros(0, 3), torch.ones(4, 3), torch.tensor([2**60]), torch.tensor(True)):
        row = compared(value, value.clone())
        assert (row.problem, row.mismatched, row.max_abs_diff, row.max_rel_diff) == ("", 0, 0, 0)
        assert (row.input_index, row.output, row.total) == (0, "out", value.numel())


def test_a_missing_output_is_a_difference():
    for expected, got in ((2, 1), (1, 3)):
        one = torch.ones(1)
        (row,) = compare_outputs(["a", "b"], [one] * expected, [one] * got)
        assert row.problem == f"eager returns {expected} tensors, ONNX {got}"
        assert (row.output, row.mismatched) == ("outputs", abs(expected - got))
        assert (row.input_index, row.total) == (0, expected)


def test_the_tensors_of_a_sequence_are_numbered():
    two = [torch.ones(1), torch.zeros(1)]
    assert [row.output for row in compare_outputs(["s"], two, two)] == ["s[0]", "s[1]"]
    assert [row.output for row in compare_outputs(["x", "y"], two, two)] == ["x", "y"]


def test_whole_numbers_are_equal_or_wrong_unless_the_user_allows_more():
    eager, near = torch.tensor([2**60, 5, 6]), torch.tensor([2**60 + 1, 5, 6])
    assert compared(eager, near).mismatched == 1
    assert compared(torch.tensor([True, False]), torch.tensor([True, True])).mismatched == 1
    assert compared(torch.tensor([5, 9]), torch.tensor([6, 9])).mismatched == 1
    assert not compared(torch.tensor([5, 9]), torch.tensor([6, 9]), Tolerance(atol=1)).problem
    assert not compared(torch.tensor([5, 9]), torch.tensor([6, 9]), Tolerance(rtol=0.5)).problem


def test_the_worst_place_is_the_one_that_exceeds_most():
    eager, got = torch.ones(2, 3), torch.tensor([[1.0, 1.5, 1.0], [3.0, 1.0, 1.0]])
    row = compared(eager, got)
    assert (row.where, row.mismatched, row.max_abs_diff, row.max_rel_diff) == ((1, 0), 2, 2, 2)
    got[0, 2] = torch.nan
    row = compared(eager, got)
    assert (row.where, row.mismatched) == ((0, 2), 3)
    boxes = torch.stack([torch.full((64,), 100.0), torch.full((64,), 2.0)], 1)
    wrong = boxes + torch.tensor([1.0, 0.5])  # one in a hundred, and a quarter
    assert compared(boxes, wrong).where[1] == 1
    assert compared(boxes, wrong).max_rel_diff == 0.25
    assert "max difference 0.5" in compared(boxes, wrong).problem


def test_a_single_value_has_no_place():
    row = compared(torch.tensor(2.0), torch.tensor(3.0))
    assert "max difference 1 in the one value (2 in eager, 3 in ONNX), 1 of 1" in row.problem
    assert row.where == ()
    assert compared(torch.ones(2), torch.ones(2) + 1e-6).where == ()


@pytest.mark.parametrize(
    ("rows", "size"), [(64, 1.0), (63, 100.0)], ids=["enough elements", "too few"]
)
def test_a_row_with_enough_elements_has_a_size_of_its_own(rows, size):
    eager = torch.cat([torch.full((rows, 1), 100.0), torch.ones(rows, 1)], 1)
    wrong = eager.clone()
    wrong[3, 1] += 0.5
    assert compared(eager, wrong).size == size


def test_a_row_counts_as_no_smaller_than_a_thousandth_of_the_whole():
    eager = torch.cat([torch.full((64, 1), 1000.0), torch.full((64, 1), 1e-6)], 1)
    wrong = eager.clone()
    wrong[3, 1] = 2e-6
    row = compared(eager, wrong)
    assert (row.size, row.problem) == (1.0, "")


@pytest.mark.parametrize(
    ("eager", "size"),
    [
        ([1e4, 1e4, 1.0], 1.0),  # a fill value is repeated
        ([1e6, 2.0, 1.0], 1e6),
        ([9e3, 9e3, 1.0], 9e3),  # large numbers that are no fill value
        ([1e4, 1e4, 20.0], 1e4),  # the others are too large to be hidden by it
        ([1e4, 1e4, 0.0], 1e4),
        ([-1e9, -1e9, -1e9, 0.5], 0.5),
        ([INF, 0.5], 0.5),
    ],
)
def test_what_counts_as_a_fill_value(eager, size):
    onnx = torch.tensor(eager)
    onnx[-1] += 1e-3
    assert compared(torch.tensor(eager), onnx).size == size


def test_a_fill_value_that_came_out_otherwise_is_a_value_like_others():
    eager, onnx = torch.tensor([1e4, 1e4, 1.0]), torch.tensor([2e4, 2e4, 1.0])
    assert compared(eager, onnx).size == 1e4


def test_likeness_of_zeros_is_unknown():
    zeros, half = torch.zeros(3).half(), torch.full((3,), 0.5).half()
    assert (compared(zeros, half).cosine, compared(zeros, half).snr_db) == (None, None)
    assert compared(half, zeros).cosine is None
    assert compared(half, zeros).snr_db == pytest.approx(0)
    with_nan = compared(torch.tensor([1.0, NAN]).half(), torch.tensor([1.001, NAN]).half())
    assert with_nan.cosine == pytest.approx(1)


def test_the_coarsest_type_of_weights_and_inputs_decides():
    x = torch.rand(3)
    by_input = tolerance_of(make_case(nn.Identity(), (x.bfloat16(),), atol=0.5, rtol=0.25))
    assert by_input == Tolerance(0.5, 0.25, torch.bfloat16)
    whole = tolerance_of(make_case(nn.Identity(), (torch.arange(3),)))
    assert whole == Tolerance()
    assert whole.share(torch.float32) == 1e-4
    assert Tolerance(precision=torch.int64).share(torch.float32) == 1e-4
    assert Tolerance(precision=torch.float64).share(torch.float16) == 0.01
