"""Further inputs: drawn by what the given ones look like."""

from __future__ import annotations

from collections import namedtuple

import pytest
import torch
from torch import nn

from onnx_debug.eager.further import further_inputs
from onnx_debug.eager.values import fresh_values
from onnx_debug.request.case import make_case

Pair = namedtuple("Pair", "left right")


def fresh(tensor, seed=0):
    ((found,), _) = fresh_values(((tensor,), {}), seed)
    return found


KEPT = {
    "positions": torch.arange(6).expand(2, 6),
    "lengths": torch.tensor([7, 5, 5, 2]),
    "one number": torch.tensor(7),
    "all of a padding mask": torch.ones(2, 5, dtype=torch.bool),
    "types": torch.zeros(2, 5, dtype=torch.int64),
    "times": torch.linspace(0, 1, 9),
    "zero state": torch.zeros(1, 2, 8),
    "empty": torch.zeros(0, 3),
}


@pytest.mark.parametrize("name", KEPT)
def test_positions_lengths_and_constants_stay(name):
    assert torch.equal(fresh(KEPT[name]), KEPT[name])


@pytest.mark.parametrize("dtype", [torch.bool, torch.float32, torch.int64])
def test_a_mask_stays_a_mask_and_no_row_becomes_empty(dtype):
    given = torch.tensor([[1, 1, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0]]).to(dtype)
    found = fresh(given)
    assert found.dtype is dtype
    assert torch.equal(found.sum(-1), given.sum(-1))
    assert not torch.equal(found, given)


def test_a_mask_to_be_added_keeps_its_two_values():
    given = torch.full((4, 4), float("-inf")).triu(1)
    found = fresh(given)
    assert set(found.unique().tolist()) == {0.0, float("-inf")}
    assert torch.equal(found.isinf().sum(-1), given.isinf().sum(-1))


def test_token_ids_stay_in_the_range_seen():
    given = torch.tensor([[3, 900, 17, 5], [44, 7, 3, 8]])
    found = fresh(given)
    assert 3 <= int(found.min()) <= int(found.max()) <= 900
    assert not torch.equal(found, given)


def test_an_order_stays_an_order():
    given = torch.tensor([2, 0, 1, 4, 3, 5, 7, 6])
    assert sorted(fresh(given).tolist()) == sorted(given.tolist())


@pytest.mark.parametrize(
    "given",
    [
        torch.randn(400) * 3 + 10,
        torch.rand(400),
        -torch.rand(400) * 5,
        torch.randn(400).half(),
        torch.rand(400).double(),
    ],
)
def test_numbers_keep_mean_spread_and_sign(given):
    found = fresh(given)
    assert found.dtype is given.dtype
    assert not torch.equal(found, given)
    assert abs(found.float().mean() - given.float().mean()) < 0.5 * given.float().std()
    assert bool((found >= 0).all()) or bool((given < 0).any())
    assert bool((found <= 0).all()) or bool((given > 0).any())
    assert bool((found.abs() <= 1).all()) or bool((given.abs() > 1).any())


def test_complex_numbers_are_drawn_in_both_parts():
    given = torch.randn(5, dtype=torch.complex64)
    assert bool((fresh(given).real != given.real).all() and (fresh(given).imag != given.imag).all())


def test_nesting_text_and_shared_tensors_stay():
    x = torch.randn(2, 3).requires_grad_()
    args, kwargs = fresh_values(
        ((x, [Pair(x, None), "text", 3]), {"d": {"y": torch.randn(2, 1, 4).transpose(0, 2)}}), 1
    )
    assert args[1][0].left is args[0]
    assert args[0].requires_grad
    assert not torch.equal(args[0], x)
    assert (args[1][0].right, *args[1][1:]) == (None, "text", 3)
    assert kwargs["d"]["y"].stride() == torch.randn(2, 1, 4).transpose(0, 2).stride()


def test_seeds_differ_and_torchs_own_random_state_stays():
    given = torch.randn(9)
    before = torch.get_rng_state()
    assert not torch.equal(fresh(given, 1), fresh(given, 2))
    assert torch.equal(fresh(given, 1), fresh(given, 1))
    assert torch.equal(before, torch.get_rng_state())


def test_a_scale_goes_beyond_what_was_seen_and_leaves_shares_and_masks():
    given = (
        torch.randn(50),
        torch.rand(50),
        torch.tensor([[True, False, True]]),
        torch.tensor([3, 9, 4]),
    )
    (numbers, shares, mask, ids), _ = fresh_values((given, {}), 0, scale=20.0)
    assert numbers.std() > 10
    assert shares.max() <= 1
    assert (int(mask.sum()), int(ids.max()) <= 9) == (2, True)


def test_where_the_exporter_froze_a_branch_the_other_ways_are_tried_too():
    case = make_case(nn.Identity(), (torch.rand(3),))
    assert [one.goal for one in further_inputs(case)] == ["fresh values 1", "fresh values 2"]
    larger, smaller, negative, far = (
        one.inputs[0][0] for one in further_inputs(case, branches=True)[2:]
    )
    assert larger.max() <= 1  # shares keep their range
    assert smaller.min() >= 0
    assert negative.max() < 0
    assert far.min() < negative.min()
