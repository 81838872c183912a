"""The search on simulated models: random trees with planted faults."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from onnx_debug.data.diagnosis import ProofKind
from onnx_debug.data.outcome import Trial, TrialKind
from tests.simulation import Planted, depth_first, solve, trees

PARENTS = trees().map(depth_first)


def below(planted, number):
    return {
        n
        for n in planted.numbers
        if n != number and planted._inside(planted.name(n), planted.name(number))
    }


@st.composite
def faulty_modules(draw, clues: bool, root: bool = False):
    """A tree with guilty modules, none of them inside another: a guilty one hides what is in it."""
    parents = draw(PARENTS)
    chosen = draw(st.sets(st.integers(0 if root else 1, len(parents)), min_size=1, max_size=4))
    plain = Planted(parents)
    outermost = {n for n in chosen if not any(n in below(plain, other) for other in chosen)}
    return Planted(parents, frozenset(outermost), clues=clues)


@given(faulty_modules(clues=True))
def test_every_fault_is_found_by_its_clue(planted):
    found = solve(planted).findings
    assert found.names == {planted.name(n) for n in planted.guilty}
    assert found.sufficient is True
    assert all(finding.own_code for finding in found.culprits)


@given(faulty_modules(clues=False))
def test_every_fault_is_found_without_clues(planted):
    found = solve(planted).findings
    assert found.names == {planted.name(n) for n in planted.guilty}
    assert found.sufficient is True


@given(PARENTS, st.booleans())
def test_a_fault_in_the_own_code_of_the_root_blames_the_root(parents, clues):
    found = solve(Planted(parents, frozenset({0}), clues=clues)).findings
    assert found.names == {""}
    assert found.culprits[0].own_code


@given(PARENTS)
def test_a_model_without_faults_costs_one_export(parents):
    planted = Planted(parents)
    assert solve(planted).findings.names == frozenset()
    assert planted.asked == [Trial(""), Trial("", kind=TrialKind.FURTHER_INPUTS)]


@given(faulty_modules(clues=False))
def test_no_question_is_asked_twice(planted):
    solve(planted)
    assert len(planted.asked) == len(set(planted.asked))


@st.composite
def interactions(draw):
    """Two children of one module that fail only together."""
    inside = draw(trees(least=1, most=6))
    parents = depth_first((0, *(0 if p == 0 else 1 for p in inside), 1, 1))
    plain = Planted(parents)
    siblings = [n for n in plain.numbers if n and parents[n - 1] == 1]
    first, second = (
        sorted(draw(st.permutations(siblings))[:2]) if len(siblings) > 2 else siblings[:2]
    )
    return Planted(parents, pairs=frozenset({(1, first, second)}), clues=draw(st.booleans()))


@given(interactions())
def test_an_interaction_blames_the_module_around_it(planted):
    found = solve(planted).findings
    assert found.names == {"m1"}
    assert found.sufficient is True


@given(interactions().filter(lambda planted: not planted.clues))
def test_an_interaction_found_by_bisection_is_nobodys_own_code(planted):
    found = solve(planted).findings
    assert not found.culprits[0].own_code
    assert "together" in found.notes[0]


@given(faulty_modules(clues=True), st.data())
def test_what_cannot_be_replaced_makes_no_innocent_guilty(planted, data):
    rigid = frozenset(
        data.draw(st.sets(st.sampled_from([n for n in planted.numbers if n]), max_size=3))
    )
    found = solve(Planted(planted.parents, planted.guilty, rigid=rigid, clues=True)).findings
    proven = {
        finding.fqn for finding in found.culprits if finding.proof.kind is not ProofKind.UNPROVEN
    }
    assert proven <= {planted.name(n) for n in planted.guilty}
    assert planted.name(min(planted.guilty)) in proven


@given(faulty_modules(clues=True))
def test_each_culprit_is_necessary(planted):
    found = solve(planted).findings
    if len(found.culprits) <= 4:
        assert all(finding.proof.necessary for finding in found.culprits)


def test_bisection_of_a_wide_model_asks_few_questions():
    planted = Planted((0,) * 64, frozenset({37}), clues=False)
    found = solve(planted).findings
    assert found.names == {"m37"}
    assert len(planted.asked) <= 20


def test_instances_of_one_class_are_asked_alone_from_the_second_on():
    planted = Planted((0,) * 6, frozenset({2, 4, 6}))
    assert solve(planted).findings.names == {"m2", "m4", "m6"}
