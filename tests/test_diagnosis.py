"""A diagnosis is plain data: through JSON and back, and every form accepts it."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnx_debug.data.comparison import Comparison
from onnx_debug.data.culprit import Culprit, Proof
from onnx_debug.data.diagnosis import Diagnosis, SearchState, Step
from onnx_debug.data.failure import Clue, Failure, Source
from onnx_debug.data.fix import Fix
from onnx_debug.data.module_info import ModuleInfo, TensorInfo
from onnx_debug.data.outcome import Outcome
from onnx_debug.data.stage import Verdict
from onnx_debug.render import html, text
from tests import samples

# NaN is not equal to itself, so a round trip could not be asserted with it.
st.register_type_strategy(float, st.floats(allow_nan=False))
st.register_type_strategy(str, st.text(st.characters(codec="utf-8"), max_size=12))


def _small(kind: type, **fields: st.SearchStrategy) -> st.SearchStrategy:
    return st.builds(kind, **fields)


def _some(strategy: st.SearchStrategy, most: int = 2) -> st.SearchStrategy:
    return st.lists(strategy, max_size=most).map(tuple)


SOURCES = _small(Source)
CLUES = _small(Clue, below=_some(SOURCES), source=st.none() | SOURCES)
FAILURES = _small(Failure, clues=_some(CLUES))
TENSORS = _small(
    TensorInfo,
    shape=_some(st.integers(0, 9)),
    symbolic_shape=_some(st.integers(0, 9) | st.text(max_size=3)),
)
CULPRITS = _small(
    Culprit,
    proof=_small(Proof),
    failure=FAILURES,
    aliases=_some(st.text(max_size=5)),
    source=st.none() | SOURCES,
    inputs=_some(TENSORS),
    outputs=_some(TENSORS),
)
COMPARISONS = _small(Comparison)
FIXES = _small(
    Fix,
    outcome=_small(
        Outcome,
        failure=st.none(),
        hints=_some(CLUES),
        passed=st.just(()),
        comparisons=_some(COMPARISONS),
    ),
)
DIAGNOSES = _small(
    Diagnosis,
    failure=st.none() | FAILURES,
    culprits=_some(CULPRITS, 8),
    fixes=_some(FIXES),
    notes=_some(st.text(max_size=20), 4),
    trials=_some(_small(Step, stubs=_some(st.text(max_size=5)))),
    comparisons=_some(COMPARISONS),
    modules=_some(_small(ModuleInfo, aliases=_some(st.text(max_size=5)))),
    versions=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
)


@settings(max_examples=60, deadline=None)
@given(DIAGNOSES)
def test_survives_json(d):
    assert Diagnosis.from_dict(json.loads(json.dumps(d.to_dict()))) == d


@settings(max_examples=60, deadline=None)
@given(DIAGNOSES)
def test_every_form_accepts_every_diagnosis(d):
    lines = text.render(d).splitlines()
    assert 1 <= len(lines) <= text.MOST_LINES
    assert html.page(d, read=lambda file: []).endswith("</section></body></html>\n")


def test_another_format_is_refused():
    with pytest.raises(ValueError, match="format 99"):
        Diagnosis.from_dict({**samples.three().to_dict(), "version": 99})


def test_a_stopped_search_is_not_ok():
    assert samples.exported().ok
    assert not replace(samples.exported(), search=SearchState.STOPPED).ok
    assert not samples.three().ok


@pytest.mark.parametrize("ours", [False, True])
def test_what_could_not_be_tried_is_no_success(ours):
    d = samples.unresolved(ours=ours)
    assert (d.ok, d.verdict) == (False, Verdict.UNRESOLVED)
    assert str(d).startswith("? ")
    assert ("report" in str(d)) is ours


def test_passing_every_stage_is_no_success_where_nothing_was_compared():
    d = replace(samples.exported(), comparisons=(Comparison(0, "y", total=0),))
    assert d.verdict is Verdict.UNRESOLVED


@pytest.mark.parametrize("state", [s for s in SearchState if s is not SearchState.FINISHED])
def test_no_search_that_goes_on_is_a_success(state):
    assert not replace(samples.exported(), search=state).ok


def test_a_report_about_ourselves_can_be_pasted():
    text = replace(samples.unresolved(ours=True), versions={"torch": "2.13.0"}).issue_text()
    assert "- torch 2.13.0" in text
    assert "TypeError: a mistake" in text


def test_numbers_that_json_lacks_survive():
    rows = (Comparison(0, "y", "shapes differ", math.nan, math.inf),)
    data = json.loads(
        json.dumps(replace(samples.exported(), comparisons=rows).to_dict(), allow_nan=False)
    )
    again = Diagnosis.from_dict({**data, "a key of the future": 1}).comparisons[0]
    assert math.isnan(again.max_abs_diff)
    assert math.isinf(again.max_rel_diff)


def test_printing_is_the_report_and_repr_is_one_line():
    d = samples.three()
    assert f"{d}" == text.render(d)
    for shown in (d, d.culprits[0], d.failure, samples.FIX):
        assert "\n" not in repr(shown)
        assert len(repr(shown)) < 200
