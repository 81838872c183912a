"""A diagnosis is plain data: through JSON and back, and every form accepts it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnx_debug.data.diagnosis import Culprit, Diagnosis, Fix, ModuleInfo, Proof, Step, TensorInfo
from onnx_debug.data.outcome import Clue, Comparison, Failure, Outcome, Source
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
    assert not replace(samples.exported(), stopped=True).ok
    assert not samples.three().ok
