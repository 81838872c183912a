"""Asked and got, side by side."""

from __future__ import annotations

import warnings

import onnx
import pytest
import torch
from torch import nn
from torch.export import Dim

from onnx_debug.data.failure import Clue, ClueKind
from onnx_debug.request.case import make_case
from onnx_debug.trial.requested import SizeTried, compare_request, with_sizes

X, Y = torch.randn(2, 5), torch.randn(2, 5)


class Adds(nn.Module):
    def forward(self, x, y=None, flag=True):
        return x if y is None else x + y


def rows(graph, args, hints=(), opset=20, **options):
    case = make_case(Adds(), args, options=options)
    model = onnx.parser.parse_model(
        f'<ir_version: 10, opset_import: ["" : {opset}]> agraph {graph} {{ z = Add(x, y) }}'
    )
    return {row.subject: row for row in compare_request(case, model, [*args], hints)}


def problems(found):
    return {subject: row.problem for subject, row in found.items() if row.problem}


def test_a_dimension_that_came_out_fixed_is_a_problem_with_its_line():
    fixed = Clue("body", ClueKind.SPECIALIZATION, reason="hard-codes x.shape[0] to 5", size=5)
    shapes = {"x": {0: Dim("batch"), 1: Dim("time")}, "y": {0: Dim("batch"), 1: Dim("time")}}
    found = rows(
        "(float[batch, 5] x, float[batch, time] y) => (float[batch, 5] z)",
        (X, Y),
        [fixed],
        dynamic_shapes=shapes,
    )
    assert problems(found) == {"dynamic_shapes['x'][1]": "the file hard-codes 5"}
    assert found["dynamic_shapes['x'][1]"].clue is fixed
    assert (found["dynamic_shapes['y'][1]"].asked, found["dynamic_shapes['y'][1]"].got) == (
        "dynamic (time)",
        "time",
    )


def test_what_was_left_to_torch_may_come_out_fixed():
    found = rows(
        "(float[2, 5] x, float[2, 5] y) => (float[2, 5] z)",
        (X, Y),
        dynamic_shapes={"x": {0: Dim.AUTO}, "y": None},
    )
    assert found["dynamic_shapes['x'][0]"].got == "2"
    assert problems(found) == {}


def test_another_opset_is_a_problem():
    found = rows(
        "(float[2, 5] x, float[2, 5] y) => (float[2, 5] z)", (X, Y), opset=18, opset_version=13
    )
    assert problems(found) == {"opset_version": "the file has opset 18"}


def test_names_are_compared_by_position():
    asked = {"input_names": ["x", "second"], "output_names": ["z", "more"]}
    found = rows("(float[2, 5] x, float[2, 5] y) => (float[2, 5] z)", (X, Y), **asked)
    assert problems(found) == {
        "input_names[1]": "the file has y",
        "output_names[1]": "the file has nothing",
    }


def test_axes_for_names_that_nothing_has_are_a_problem_of_the_legacy_exporter():
    axes = {"image": {0: "batch"}, "z": {0: "batch"}}
    found = rows(
        "(float[2, 5] x, float[2, 5] y) => (float[2, 5] z)",
        (X, Y),
        dynamic_axes=axes,
        input_names=["x", "y"],
        output_names=["z"],
        dynamo=False,
    )
    assert problems(found) == {
        "dynamic_axes['image']": "no input or output has this name",
        "dynamic_axes['z'][0]": "the file hard-codes 2",
    }


def test_an_input_that_the_legacy_exporter_left_out_is_said_and_no_problem():
    found = rows(
        "(float[2, 5] x, float[2, 5] y) => (float[2, 5] z)",
        (X, Y),
        input_names=["x", "unused", "y"],
        dynamo=False,
    )
    assert found["input_names[1]"].got == "left out: nothing uses it"
    assert problems(found) == {}


@pytest.mark.parametrize("dynamo", [True, False])
def test_a_real_export_gives_what_was_asked(tmp_path, dynamo):
    options = {
        "input_names": ["a", "b"],
        "output_names": ["c"],
        "dynamo": dynamo,
        "opset_version": 18,
    }
    dynamic = {"dynamic_axes": {"a": {0: "n"}, "b": {0: "n"}, "c": {0: "n"}}}
    dynamic = {"dynamic_shapes": {"x": {0: "n"}, "y": {0: "n"}}} if dynamo else dynamic
    case = make_case(Adds(), (X, Y), options={**options, **dynamic})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(case.model, case.args, tmp_path / "m.onnx", verbose=False, **case.options)
    found = compare_request(case, onnx.load(tmp_path / "m.onnx", load_external_data=False), [X, Y])
    assert len(found) >= 6
    assert [row for row in found if row.problem] == []
    assert found[0].got == "n"


def test_sizes_that_were_tried_stand_beside_what_was_asked():
    shapes = {"x": {0: "batch", 1: "time"}, "y": None}
    found = rows(
        "(float[batch, 5] x, float[2, 5] y) => (float[2, 5] z)", (X, Y), dynamic_shapes=shapes
    )
    batch, time = "dynamic_shapes['x'][0]", "dynamic_shapes['x'][1]"
    tried = [
        SizeTried({batch: 4}, True, True),
        SizeTried({batch: 1}, True),
        SizeTried({time: 3}, False),
        SizeTried({batch: 9, time: 9}, False),
    ]
    first, second = with_sizes([found[batch], found[time]], tried)
    assert (first.works, first.fails, first.rejected) == ((4,), (1,), (9,))
    assert found[time].problem == "the file hard-codes 5"
    assert (second.problem, second.got) == ("", "5; the model itself takes no other size")
