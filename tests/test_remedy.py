"""Requests that are at fault: what is said of them, and the call that works."""

from __future__ import annotations

import io

import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.export import Dim

import onnx_debug
from onnx_debug.data.comparison import Asked
from onnx_debug.data.errors import CaseError
from onnx_debug.data.failure import Failure
from onnx_debug.data.outcome import Outcome
from onnx_debug.data.stage import Mode, Stage
from onnx_debug.render.page.tree import State, states
from onnx_debug.request import remedy
from onnx_debug.request.case import make_case
from onnx_debug.request.surroundings import Surroundings, own_export, surroundings

X = torch.randn(3, 4)


class Attention(nn.Module):
    def forward(self, x):
        return nn.functional.scaled_dot_product_attention(x, x, x)


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.project, self.attention = nn.Linear(4, 4), Attention()

    def forward(self, x):
        return self.attention(self.project(x))


class Scales(nn.Module):
    """Writes in place, so that torch cannot broadcast: both inputs must have one length."""

    def forward(self, boxes, sizes):
        boxes = boxes + 1
        boxes *= sizes.repeat(1, 2)
        return boxes


def passed(path=None, *asked):
    return Outcome(passed=tuple(Stage), onnx_path=path and str(path), asked=asked)


def failed(stage=Stage.TRANSLATE):
    return Outcome(Failure(stage, Mode.ERROR, "it"))


def file_of(opset, directory):
    path = directory / f"{opset}.onnx"
    graph = onnx.helper.make_graph([], "g", [], [])
    opsets = [onnx.helper.make_opsetid("", opset)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets), path)
    return path


# --- what lies around the call


@pytest.mark.parametrize(
    ("around", "words", "line"),
    [
        (lambda: torch.autocast("cpu", torch.bfloat16), "torch.autocast", "enabled=False):"),
        (torch.inference_mode, "inference_mode is active", "with torch.inference_mode(False):"),
        (lambda: torch.device("meta"), "device is meta", 'with torch.device("cpu"):'),
    ],
)
def test_what_lies_around_a_call_is_a_fact_of_the_case(around, words, line):
    with around():
        case = make_case(nn.Linear(4, 4), (X,))
        with case.undisturbed().entered():
            assert surroundings() == Surroundings()
    assert words in str(case.surroundings)
    assert line in case.surroundings.avoided("torch.onnx.export(model)")
    with case.entered():
        assert surroundings() == case.surroundings
    assert surroundings() == Surroundings()


def test_another_default_dtype_is_a_fact_of_the_case():
    torch.set_default_dtype(torch.float64)
    try:
        case = make_case(nn.Linear(4, 4), (X,))
    finally:
        torch.set_default_dtype(torch.float32)
    assert str(case.surroundings) == "torch's default dtype is torch.float64"
    with case.entered():
        assert torch.zeros(1).dtype is torch.float64
    assert torch.zeros(1).dtype is torch.float32


def test_a_replaced_export_function_is_named_and_torchs_own_is_found(monkeypatch):
    true = torch.onnx.export

    def logged(*args, **kwargs):
        return true(*args, **kwargs)

    monkeypatch.setattr(torch.onnx, "export", logged)
    case = make_case(nn.Linear(4, 4), (X,), options={"opset_version": 18})
    assert "replaced by tests.test_remedy." in str(case.surroundings)
    assert own_export() is true
    with case.undisturbed().entered():
        assert torch.onnx.export is true
    assert torch.onnx.export is logged


class ScaledConv(nn.Module):
    """Under autocast the legacy exporter meets a constant of a type that it cannot write."""

    def __init__(self):
        super().__init__()
        self.conv, self.gain = nn.Conv2d(3, 4, 3), nn.Parameter(torch.tensor(1.5))

    def forward(self, x):
        return self.conv(x) * self.gain


def test_the_same_call_without_autocast_is_tried_and_spelled_out():
    model, image = ScaledConv().eval(), torch.randn(1, 3, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        case = make_case(model, (image,), options={"dynamo": False})
    asked = []

    def export(case):
        asked.append(case.neutral)
        with case.entered():
            torch.onnx.export(case.model, case.args, io.BytesIO(), **case.options)
        return passed()

    found = remedy.run(remedy.correct(case), export)
    assert (asked, found.call.splitlines()[0]) == (
        [True],
        'with torch.autocast("cpu", enabled=False):',
    )
    assert found.problems[0].startswith("an ambient torch.autocast is active (cpu, torch.bfloat16)")


@pytest.mark.parametrize("isolate", [True, False])
def test_no_module_is_to_blame_for_autocast_around_the_call(isolate):
    image = torch.randn(1, 3, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        d = onnx_debug.diagnose(ScaledConv().eval(), (image,), dynamo=False, isolate=isolate)
    assert (d.culprits, len(d.trials)) == ((), 2)
    assert d.request.startswith("an ambient torch.autocast is active")
    assert d.fixes[0].outcome.comparisons


# --- dimensions that must be equal


def test_two_names_for_sizes_that_must_be_equal_become_one():
    # N is a function of SymPy's, so torch proposes nothing; for other names the exporter follows
    # what torch proposes by itself.
    shapes = {"boxes": {0: Dim("N")}, "sizes": {0: Dim("M")}}
    given = (torch.randn(3, 4), torch.randn(3, 2))
    d = onnx_debug.diagnose(Scales().eval(), given, dynamic_shapes=shapes)
    assert (d.culprits, len(d.trials)) == ((), 2)
    assert d.request.startswith("dynamic_shapes['sizes'][0]: the dimension 'M'; expected 'N'")
    assert 'dynamic_shapes={"boxes": {0: N}, "sizes": {0: N}}' in d.fixes[0].code


def test_sizes_that_are_free_of_each_other_keep_their_names():
    shapes = {"boxes": {0: Dim("n")}, "sizes": {0: Dim("m")}}
    case = make_case(Scales(), (X, X[:, :2]), options={"dynamic_shapes": shapes})
    rows = (
        Asked("dynamic_shapes['boxes'][0]", "dynamic where torch can", "s77"),
        Asked("dynamic_shapes['sizes'][0]", "dynamic where torch can", "s17"),
    )
    answers = iter([passed(None, *rows)])
    assert remedy.run(remedy.correct(case), lambda _: next(answers)) == remedy.Correction()


def test_names_are_compared_beside_a_value_that_has_no_entry_of_its_own():
    class Cached(nn.Module):
        def forward(self, x, cache):
            return x

    shapes = {"x": {0: Dim("n"), 1: Dim("m")}, "cache": None}
    case = make_case(Cached(), (X, object()), options={"dynamic_shapes": shapes})
    assert not remedy.run(remedy.correct(case), lambda _: failed()).call


# --- the opset


def test_an_opset_that_is_too_old_is_at_fault_and_the_lowest_that_works_is_found():
    d = onnx_debug.diagnose(Encoder().eval(), (X[None],), dynamo=False, opset_version=11)
    assert d.request == "opset_version: 11 is too old for this model: the lowest that works is 14"
    assert "opset_version=14" in d.fixes[0].code


@given(st.integers(7, 17), st.integers(8, 18))
def test_the_lowest_opset_is_found_by_few_trials(tmp_path_factory, asked, lowest):
    directory, tried = tmp_path_factory.mktemp("opsets"), []
    case = make_case(Encoder(), (X,), options={"dynamo": False, "opset_version": asked})

    def export(case):
        opset = case.options.get("opset_version", 18)
        tried.append(opset)
        return passed(file_of(opset, directory)) if opset >= lowest else failed()

    found = remedy.run(remedy.correct(case), export)
    assert len(tried) <= 6
    if lowest > asked:
        assert f"opset_version={lowest})" in found.call


def test_where_no_opset_works_none_is_proposed():
    case = make_case(Encoder(), (X,), options={"dynamo": False, "opset_version": 11})
    assert remedy.run(remedy.correct(case), lambda _: failed()) == remedy.Correction()


# --- what torch.onnx.export takes beside a module


def test_a_scripted_model_needs_the_legacy_exporter_and_gets_that_call():
    case = make_case(torch.jit.script(Encoder().eval()), (X[None],))
    asked = []
    found = remedy.run(remedy.correct(case), lambda case: asked.append(case.options) or passed())
    assert found.problems[0].startswith("dynamo: True, for a ScriptModule")
    assert asked == [{"dynamo": False}]


def test_an_exported_program_stands_for_its_module_inputs_and_dynamic_dimensions():
    shapes = {"x": {1: Dim.DYNAMIC}}
    program = torch.export.export(Encoder().eval(), (X[None],), dynamic_shapes=shapes)
    case = make_case(program)
    assert isinstance(case.model, nn.Module)
    assert not case.model.training
    assert torch.equal(case.args[0], X[None])
    assert case.options == {"dynamic_shapes": shapes}
    assert "ExportedProgram" in case.note


def test_an_exported_program_is_not_for_the_legacy_exporter():
    program = torch.export.export(Encoder().eval(), (X[None],))
    with pytest.raises(CaseError, match="dynamo=True only"):
        make_case(program, (X[None],), options={"dynamo": False})


def test_a_wrong_name_is_compared_with_torchs_keywords_and_with_ours():
    with pytest.raises(CaseError, match="did you mean check_inputs"):
        make_case(Encoder(), (X[None],), options={"check_input": ()})
    with pytest.raises(CaseError, match="not an OrderedDict"):
        make_case(Encoder().state_dict())


def test_a_second_input_in_the_place_of_kwargs_is_told_where_it_belongs():
    with pytest.raises(CaseError, match=r"not a Tensor; .* as args=\(x, y\)"):
        onnx_debug.diagnose(nn.Bilinear(2, 2, 2), torch.ones(1, 2), torch.ones(1, 2))


def test_an_answer_to_another_request_says_nothing_about_the_modules():
    d = onnx_debug.diagnose(
        nn.Linear(4, 4).eval(), (torch.randn(2, 4),), dynamic_shapes={"y": {0: "b"}}
    )
    assert d.request
    assert states(d).get("", State.UNTRIED) is not State.PASSES
