"""Inputs of other sizes, for every way to ask for a dynamic dimension."""

from __future__ import annotations

from collections import namedtuple

import pytest
import torch
from torch import nn
from torch.export import Dim

from onnx_debug.eager.dynamic_dims import asked_dims
from onnx_debug.eager.sizes import other_sizes, resize
from onnx_debug.request.case import make_case

Pair = namedtuple("Pair", "left right")


class Takes(nn.Module):
    def forward(self, x, mask=None, **more):
        return x


def case(args, kwargs=None, **options):
    return make_case(Takes(), args, kwargs, options=options)


def shapes(resized):
    args, kwargs = resized.inputs
    return [
        tuple(value.shape) for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor)
    ]


X, MASK = torch.randn(4, 6), torch.ones(4, 6, dtype=torch.bool)


@pytest.mark.parametrize(
    "spec",
    [
        {"x": {0: "batch"}},
        {"x": {0: Dim("batch")}},
        {"x": {0: Dim.DYNAMIC}},
        {"x": {0: Dim.AUTO, 1: Dim.STATIC}},
        {"x": ("batch", None)},
        {"x": ["batch", 6]},
        ({0: "batch"},),
        [{-2: "batch"}],
    ],
)
def test_every_form_of_dynamic_shapes_is_read(spec):
    found = other_sizes(case((X,), dynamic_shapes=spec))
    assert [(one.goal.split()[0], *shapes(one)[0]) for one in found] == [
        ("smaller", 2, 6),
        ("smaller", 3, 6),
        ("larger", 6, 6),
        ("larger", 8, 6),
        ("larger", 5, 6),
        ("size", 1, 6),
    ]


@pytest.mark.parametrize("dynamo", [True, False])
@pytest.mark.parametrize("axes", [{"x": {0: "batch"}}, {"x": [0]}])
def test_dynamic_axes_are_read_by_name_or_position(axes, dynamo):
    found = other_sizes(
        case((X,), dynamic_axes=axes, input_names=["x"], output_names=["y"], dynamo=dynamo)
    )
    assert shapes(found[0]) == [(2, 6)]


def test_the_legacy_exporter_ignores_axes_of_names_that_nothing_has():
    assert asked_dims(case((X,), dynamic_axes={"x": {0: "batch"}}, dynamo=False)) == []


def test_a_shapes_collection_is_read():
    collection = torch.export.ShapesCollection()
    collection[X] = {0: Dim("batch")}
    assert [(dim.axis, dim.name) for dim in asked_dims(case((X,), dynamic_shapes=collection))] == [
        (0, "batch")
    ]


def test_dimensions_of_one_name_change_together():
    batch, time = Dim("batch"), Dim("time")
    found = other_sizes(
        case((X, MASK), dynamic_shapes={"x": {0: batch, 1: time}, "mask": {0: batch, 1: time}})
    )
    assert all(first == second for first, second in map(shapes, found))
    assert ("two at once", "batch 8 for 4, time 12 for 6") in [
        (one.goal, one.description) for one in found
    ]


def test_unnamed_dimensions_of_equal_size_change_together():
    found = other_sizes(case((X, MASK), dynamic_shapes={"x": {0: Dim.AUTO}, "mask": {0: Dim.AUTO}}))
    assert all(first == second for first, second in map(shapes, found))
    assert not any(
        dim.required for dim in asked_dims(case((X,), dynamic_shapes={"x": {0: Dim.AUTO}}))
    )


def test_bounds_of_a_dim_are_kept():
    found = other_sizes(case((X,), dynamic_shapes={"x": {0: Dim("batch", min=4, max=5)}}))
    assert [shapes(one) for one in found] == [[(5, 6)]]


def test_a_derived_dim_follows_its_root():
    half = Dim("half", max=4)
    found = other_sizes(
        case((X, MASK[:, :3]), dynamic_shapes={"x": {1: 2 * half}, "mask": {1: half}})
    )
    assert [shapes(one) for one in found] == [[(4, 4), (4, 2)], [(4, 8), (4, 4)], [(4, 2), (4, 1)]]


def test_nested_inputs_are_resized_in_place():
    pair = Pair(X, [MASK, "text"])
    (args, _) = other_sizes(
        case((pair,), dynamic_shapes={"x": Pair({0: "batch"}, [{0: "batch"}, None])})
    )[0].inputs
    assert (args[0].left.shape[0], args[0].right[0].shape[0], args[0].right[1]) == (2, 2, "text")


def test_what_is_lengthened_stays_what_it_looks_like():
    assert resize(torch.arange(4).expand(2, 4), 1, 6)[1].tolist() == [0, 1, 2, 3, 4, 5]
    assert resize(torch.tensor([5, 3, 2]), 0, 5).tolist() == [5, 3, 2, 2, 2]
    assert resize(torch.tensor([True, False]), 0, 3).tolist() == [True, False, True]
    assert resize(torch.tensor([7, 2, 9]), 0, 5).tolist() == [7, 2, 9, 7, 2]
    assert resize(torch.linspace(0, 1, 3), 0, 5).tolist() == [0, 0.5, 1, 1.5, 2]
    longer = resize(X, 1, 9)
    assert torch.equal(longer[:, :6], X)
    assert longer.unique().numel() == 36


def test_a_size_that_is_no_multiple_of_the_given_one_comes_first():
    found = other_sizes(case((torch.randn(1, 12),), dynamic_shapes={"x": {1: "time"}}))
    larger = [shapes(one)[0][1] for one in found if one.goal.startswith("larger")]
    assert larger == [18, 16, 24, 13]  # a reshape to (-1, 12) takes 24 without complaint


def test_lengths_do_not_point_beyond_a_shorter_dimension():
    found = other_sizes(
        case((X, torch.tensor([6, 2, 6, 1])), dynamic_shapes={"x": {1: "time"}, "mask": None})
    )
    assert found[0].inputs[0][1].tolist() == [4, 2, 4, 1]


def test_a_name_at_unequal_sizes_changes_only_where_it_is_not_broadcast():
    found = other_sizes(
        case((X, MASK[:1]), dynamic_shapes={"x": {0: "batch"}, "mask": {0: "batch"}})
    )
    assert shapes(found[0]) == [(2, 6), (1, 6)]


def test_nothing_asked_gives_nothing():
    assert other_sizes(case((X,))) == []
    assert other_sizes(case((X,), dynamic_shapes={"x": None})) == []
