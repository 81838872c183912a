"""A diagnosis in the panel's words: complete for every kind of diagnosis, plain data, the source of the guilty class."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest

from onnx_debug.data.comparison import Comparison, NodeError
from onnx_debug.data.diagnosis import Diagnosis, Step
from onnx_debug.data.failure import Source
from onnx_debug.data.module_info import ModuleInfo
from onnx_debug.data.stage import Mode, Stage, Verdict
from onnx_debug.onnx_file import display
from onnx_debug.render.page import drawing, sources, tree, view
from tests import samples
from tests.ui.fake_session import FakeSession, graph

CODE = """import torch

class Other:
    pass

class Bad(torch.nn.Module):
    def forward(self, x):
        if x.sum() > 0:
            return x
        return -x

def helper(x):
    return bool(x)
"""


@pytest.mark.parametrize("name", samples.ALL)
def test_every_diagnosis_is_plain_data(name: str) -> None:
    d = samples.ALL[name]
    made = json.loads(json.dumps(view.view(d)))
    assert made["headline"]
    assert len(made["culprits"]) == len(d.culprits)


@pytest.mark.parametrize("name", samples.ALL)
def test_the_panel_speaks_of_tabs_and_options_never_of_python_attributes(name: str) -> None:
    made = view.view(samples.ALL[name])
    advice = (made["next"], *(culprit["advice"] for culprit in made["culprits"]))
    assert not [said for said in advice if re.search(r"\bd\.\w|timeout=|[ar]tol=", said)]


def test_each_culprit_has_advice_of_its_own_and_it_is_the_next_step_where_nothing_better_is_known():
    made = view.view(replace(samples.three(), fixes=()))
    first, second, _ = (culprit["advice"] for culprit in made["culprits"])
    assert (made["next"], made["nextIsAdvice"]) == (f"Next: {first}", True)
    assert second
    assert second != first
    assert not view.view(samples.three())["nextIsAdvice"]


def test_every_piece_of_evidence_names_the_trial_behind_it() -> None:
    d = FakeSession(pause=0.0).run()
    for culprit in view.view(d)["culprits"]:
        alone, own, necessary = culprit["evidence"]
        assert d.trials[alone["step"]].module == culprit["fqn"]
        assert (own["step"], own["shown"]) == (None, True)  # such a trial is not in this history
        assert necessary["text"].endswith("this one blocks by itself")


def test_what_could_not_be_shown_is_said_once() -> None:
    made = view.view(samples.not_proven())
    [row] = made["culprits"][0]["evidence"]
    assert row["shown"] is False
    assert row["text"].count("no placeholder can stand for it") == 1
    assert made["unproven"] == []


def test_of_a_model_that_fails_by_itself_nothing_has_to_be_proven() -> None:
    made = view.view(samples.broken_layer())
    assert (made["culprits"][0]["evidence"], made["unproven"], made["proven"]) == ([], [], "")
    assert "Net itself fails in m3 (Linear), before any export: RuntimeError" in made["headline"]


def test_a_report_about_onnx_debug_itself_is_there_when_that_is_the_next_step() -> None:
    made = view.view(samples.unresolved(ours=True))
    assert "“A report about onnx_debug itself”" in made["next"]
    assert "TypeError: a mistake" in made["issue"]


def test_stages_show_where_it_stops() -> None:
    states = [stage["state"] for stage in view.stages(samples.three())]
    assert states == ["passed"] * 3 + ["failed"] + ["ahead"] * 4


def test_a_passing_export_has_passed_every_stage() -> None:
    assert {stage["state"] for stage in view.stages(samples.exported())} == {"passed"}


def test_before_the_first_trial_nothing_is_claimed() -> None:
    made = view.view(Diagnosis("Net"))
    assert made["verdict"] == "open"
    assert {stage["state"] for stage in made["stages"]} == {"ahead"}


def test_the_whole_guilty_class_is_shown() -> None:
    lines = sources.class_source(
        Source("model.py", 8, "if x.sum() > 0:"), lambda file: CODE.splitlines(keepends=True)
    )
    assert [number for number, _, _ in lines] == [6, 7, 8, 9, 10]
    assert [text for _, text, guilty in lines if guilty] == ["        if x.sum() > 0:"]


def test_a_function_stands_for_itself() -> None:
    lines = sources.class_source(
        Source("model.py", 13, "return bool(x)"), lambda file: CODE.splitlines(keepends=True)
    )
    assert [text for _, text, _ in lines] == ["def helper(x):", "    return bool(x)"]


@pytest.mark.parametrize("text", ["", "%%onnx_export\n" + CODE, "changed\n" * 20])
def test_without_readable_python_the_line_is_still_there(text: str) -> None:
    lines = sources.class_source(
        Source("model.py", 9, "if x.sum() > 0:"), lambda file: text.splitlines(keepends=True)
    )
    assert any("if x.sum() > 0:" in line for _, line, guilty in lines if guilty)


def test_what_a_class_computes_is_its_forward() -> None:
    lines = sources.function_source(
        Source("model.py", 7, "def forward(self, x):"), lambda file: CODE.splitlines(keepends=True)
    )
    assert [number for number, _, _ in lines] == [7, 8, 9, 10]
    assert not any(guilty for _, _, guilty in lines)


def test_modules_of_one_class_share_its_source() -> None:
    forward = Source("model.py", 7, "def forward(self, x):")
    infos = (
        ModuleInfo("", "Net"),
        ModuleInfo("a", "Bad", forward=forward),
        ModuleInfo("b", "Bad", forward=forward),
    )
    assert [row["code"] for row in tree.rows(infos)] == [None, 0, 0]
    [code] = sources.forwards(infos, read=lambda file: CODE.splitlines(keepends=True))
    assert (code["place"], len(code["lines"])) == ("model.py:7", 4)


def test_steps_read_as_sentences() -> None:
    trials = (
        Step("blocks.3", (), 0, "", Verdict.FAILED, 0.1, Stage.CAPTURE, Mode.TIMEOUT),
        Step("blocks.3", ("blocks.3.b", "blocks.3.a"), 0, "", Verdict.PASSED, 0.1),
        Step("", ("a", "b", "c"), 0, "", Verdict.UNRESOLVED, 0.1),
    )
    assert [(step["what"], step["said"]) for step in view.steps(trials, "Net")] == [
        ("blocks.3 alone", "does not end at capture"),
        ("blocks.3 with a and b replaced", "passed"),
        ("Net (the whole model) with 3 modules replaced", "unresolved"),
    ]


def test_heat_grows_with_the_difference(tmp_path: Path) -> None:
    shown = display.load(graph(tmp_path / "m.onnx", 4))
    colours = drawing.heat(shown, {"v1": 1e-6, "v2": 1e-3, "v3": math.inf, "v4": 0.0})
    assert list(colours) == ["n0", "n1", "n2"]
    assert len(set(colours.values())) == 3


def test_only_outputs_that_differ_are_hot() -> None:
    rows = (
        Comparison(0, "y", "values differ", 1e-2, 1e-2, 3, 9),
        Comparison(0, "z", "", 1e-7),
        Comparison(1, "n", "NaN", math.nan),
    )
    assert drawing.errors_of(rows) == {"y": 1e-2, "n": math.inf}


def test_wrong_numbers_are_told_node_by_node(tmp_path: Path) -> None:
    rows = (
        NodeError("v2", "aten::add", 0.0, "dtypes differ", "dtypes differ"),
        NodeError("v3", "aten::add", 1e-2, "values differ"),
    )
    d = Diagnosis(
        "Net", comparisons=(Comparison(0, "v4", "values differ", 0.5, 0.5, 3, 9),), node_errors=rows
    )
    found = drawing.differences(display.load(graph(tmp_path / "m.onnx", 4)), d)
    assert list(found["heat"]) == ["n1", "n2", "n3"]
    assert found["begins"] == ["n1"]
    assert found["said"] == {"n1": "dtypes differ", "n2": "max diff 0.01", "n3": "max diff 0.5"}


@pytest.mark.parametrize(
    ("stage", "word"),
    [(Stage.CAPTURE, "before"), (Stage.TRANSLATE, "up to"), (Stage.LOAD, "alone")],
)
def test_a_culprit_s_own_graph_says_what_it_is(stage: Stage, word: str) -> None:
    assert word in drawing.about(samples.culprit(failure=samples.failure(stage)), "Net")


def test_a_very_long_error_keeps_its_end() -> None:
    d = samples.diagnosis(
        samples.culprit(failure=samples.failure(details="x" * 100_000 + "the end"))
    )
    error = view.view(d)["culprits"][0]["error"]
    assert len(error) < 21_000
    assert error.endswith("the end")


def test_what_was_asked_and_seen_is_there() -> None:
    shown = view.view(samples.answers_wrongly())
    assert shown["asked"] == [["dynamic_axes['x'][0]", "dynamic (rows)", "rows", "6", "1, 2", "–"]]
    assert [label for label, _ in shown["seen"]] == ["seen", "asked"]
    assert [row["input"] for row in shown["comparisons"]] == ["given", "rows 2 for 3"]
