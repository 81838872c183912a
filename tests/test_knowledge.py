"""Every entry of the error knowledge speaks of a failure that can be made, and of no other."""

from __future__ import annotations

import itertools
import json
import re
import warnings
from dataclasses import asdict

import pytest
import torch

import onnx_debug
from docs import errors
from onnx_debug.__main__ import main
from onnx_debug.data.diagnosis import Diagnosis
from onnx_debug.data.failure import Failure
from onnx_debug.data.stage import Mode, Stage
from onnx_debug.render import html, text
from onnx_debug.render.knowledge.catalogue import BY_CODE, ENTRIES, find, near
from onnx_debug.render.knowledge.entry import Facts
from onnx_debug.render.knowledge.page import markdown
from onnx_debug.render.voice import COMMAND_LINE, PANEL, PYTHON
from tests import known_errors, samples


@pytest.mark.parametrize("known", known_errors.ALL, ids=lambda known: known.code)
def test_a_failing_model_gets_the_code_of_its_entry(known):
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with known.within():
            found = onnx_debug.diagnose(
                known.model(),
                known.args(),
                isolate=known.isolate,
                fixes=False,
                edges="off",
                **known.options,
            )
    assert found.codes[:1] == (known.code,), str(found)


@pytest.mark.parametrize("code", known_errors.FROM_FACTS)
def test_what_no_small_model_shows_is_told_by_its_facts(code):
    assert find(known_errors.FROM_FACTS[code]).code == code


def test_every_entry_has_its_case_and_a_code_of_its_own():
    tried = {known.code for known in known_errors.ALL} | set(known_errors.FROM_FACTS)
    assert tried == set(BY_CODE)
    assert len(BY_CODE) == len(ENTRIES) > 50


@pytest.mark.parametrize(("stage", "mode"), list(itertools.product(Stage, Mode)))
def test_every_failure_has_an_entry(stage, mode):
    assert find(Facts(Failure(stage, mode, "key", "NeverSeenBefore"))).title


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.code)
def test_an_entry_is_written_in_plain_sentences(entry):
    assert re.fullmatch(r"OD[0-6]\d\d", entry.code)
    assert not entry.title.endswith(".")
    assert entry.cause.endswith(".")
    assert "{" not in entry.cause
    filled = [
        entry.cure(dynamo=dynamo).format(
            call="aten.sin.default", opset=18, this="it", **asdict(voice)
        )
        for dynamo in (True, False)
        for voice in (PYTHON, PANEL, COMMAND_LINE)
    ]
    assert all(cure.endswith(".") and len(cure) < 220 for cure in filled), filled


def test_a_code_that_nobody_has_leads_to_those_that_look_like_it():
    assert near("od106") == ["OD100", "OD101", "OD102"]


def test_the_page_of_all_errors_is_current():
    assert errors.PAGE.read_text(encoding="utf-8") == markdown(errors.lessons())


def test_a_code_is_explained_in_python_in_the_terminal_and_in_a_notebook(capsys, shell):
    page = onnx_debug.meaning("[od101]")
    assert page.startswith("OD101  Branches on a tensor's value.")
    assert "torch.cond" in page
    assert main(["explain", "OD101"]) == 0
    assert capsys.readouterr().out.strip() == page
    assert shell.run_line_magic("onnx_explain", "OD101") == page


def test_an_unknown_code_is_one_line_and_a_wrong_call(capsys):
    assert main(["explain", "OD106"]) == 2
    assert capsys.readouterr().out == "There is no code OD106; near it are OD100, OD101, OD102.\n"


@pytest.mark.parametrize("name", ["single", "three", "bad_request", "broken_model", "nobody"])
def test_every_form_shows_the_code_and_json_holds_it(name):
    d = samples.ALL[name]
    code = f"[{d.codes[0]}]"
    assert code in text.render(d)
    assert code in html.page(d)
    assert d.to_dict()["codes"] == list(d.codes)
    assert Diagnosis.from_dict(json.loads(json.dumps(d.to_dict()))) == d
