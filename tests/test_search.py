"""The search on simulated models: random trees with planted faults."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnx_debug.data.culprit import ProofKind
from onnx_debug.data.failure import Clue, ClueKind, Failure, signature
from onnx_debug.data.outcome import Outcome, Trial, TrialKind
from onnx_debug.data.stage import Mode, Stage
from onnx_debug.session.search.findings import alike
from onnx_debug.session.search.search import NECESSITY_LIMIT, Search
from tests.simulation import Planted, depth_first, solve, trees

PARENTS = trees().map(depth_first)


def below(planted, number):
    return {
        n
        for n in planted.numbers
        if n != number and Planted.is_inside(planted.name(n), planted.name(number))
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
    assert list(planted.asked) == [Trial(""), Trial("", kind=TrialKind.FURTHER_INPUTS)]


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


# --- innocents that look suspicious


@st.composite
def suspicious_models(draw):
    """Faults of every kind among innocents of every kind."""
    parents = draw(PARENTS)
    numbers = st.integers(1, len(parents))
    some = st.frozensets(numbers, max_size=2)
    guilty, in_place = draw(some), draw(some)
    clues = draw(st.booleans())
    planted = Planted(parents, guilty, in_place - guilty, clues=clues)
    bad = {
        n
        for n in planted.numbers
        if any(Planted.is_inside(planted.name(f), planted.name(n)) for f in guilty | in_place)
    }
    innocent = sorted(set(planted.numbers) - bad - {0})
    groups: list[set[int]] = [set(), set(), set(), set()]
    for number in innocent:
        draw(st.sampled_from([*groups, set()])).add(number)
    suspects, oddities, unaskable, accused = map(frozenset, groups)
    return replace(
        planted,
        suspects=suspects,
        oddities=oddities,
        unaskable=unaskable,
        accused=accused | draw(st.sampled_from([frozenset(), suspects])),
        classes=draw(st.sampled_from([None, 2, 4])),
        alike=draw(st.booleans()),
        asked={},
    )


def names_another(outcome, module):
    clues = outcome.failure.clues if outcome.failure is not None else ()
    return bool(clues) and clues[0].fqn != module


@settings(max_examples=400)
@given(suspicious_models())
def test_a_culprit_is_shown_by_a_failing_trial(planted):
    for finding in solve(planted).findings.culprits:
        failing = {trial for trial, outcome in planted.asked.items() if outcome.failed}
        if finding.proof.kind in (ProofKind.ALONE, ProofKind.ANCESTOR):
            assert any(trial.module == finding.fqn for trial in failing)
        if finding.proof.kind is ProofKind.IN_PLACE:
            assert any(
                outcome.ok or names_another(outcome, finding.fqn)
                for trial, outcome in planted.asked.items()
                if finding.fqn in trial.stubs
            )


@settings(max_examples=400)
@given(suspicious_models())
def test_no_culprit_is_one_that_the_model_can_do_with(planted):
    found = solve(planted).findings
    assert all(finding.proof.necessary is not False for finding in found.culprits)
    if found.sufficient is not True:
        return
    assert planted.look_up(Trial("", found.names - {""})).ok
    for finding in found.culprits if len(found.culprits) <= NECESSITY_LIMIT else ():
        assert planted.look_up(Trial("", found.names - {finding.fqn, ""})).failed


@settings(max_examples=400)
@given(suspicious_models())
def test_a_model_is_blamed_exactly_when_it_fails(planted):
    found = solve(planted).findings
    assert found.whole.ok is planted.ok
    assert bool(found.culprits) is not planted.ok


@settings(max_examples=400)
@given(suspicious_models())
def test_a_proven_culprit_is_or_holds_a_guilty_module(planted):
    found = solve(planted).findings
    if len(found.culprits) > NECESSITY_LIMIT or found.sufficient is not True:
        return
    faults = [planted.name(n) for n in planted.guilty | planted.in_place]
    for finding in found.culprits:
        assert any(Planted.is_inside(fault, finding.fqn) for fault in faults)


def failing(planted, module):
    """The stubs of the trials of a module that failed."""
    return [
        trial.stubs
        for trial, outcome in planted.asked.items()
        if trial.module == module and outcome.failed
    ]


def cleared(planted, module, key):
    """Whether the module was asked alone, perhaps without the culprits in it, and answered without this failure."""
    return any(
        outcome.ok or (outcome.failure is not None and outcome.failure.signature != key)
        for trial, outcome in planted.asked.items()
        if trial.module == module
    )


@settings(max_examples=400)
@given(suspicious_models())
def test_own_code_is_claimed_only_where_nothing_else_was_left_or_every_child_was_cleared(planted):
    tree, search = planted.tree(), solve(planted)
    for finding in search.findings.culprits:
        if not finding.proof.own_code_trial:
            continue
        alike_built = [
            planted.name(n)
            for n in planted.numbers
            if search._inquiry.built_alike(planted.name(n), finding.fqn)
        ]
        key = finding.failure.signature
        assert any(
            all(child in stubs or cleared(planted, child, key) for child in tree.children(fqn))
            for fqn in alike_built
            for stubs in failing(planted, fqn)
        )


@settings(max_examples=400)
@given(suspicious_models())
def test_necessary_is_claimed_only_by_a_failing_trial_with_all_others_replaced(planted):
    findings = solve(planted).findings
    for finding in findings.culprits:
        if finding.proof.necessary:
            others = findings.names - {finding.fqn, ""}
            assert any(
                others <= stubs and finding.fqn not in stubs for stubs in failing(planted, "")
            )


@settings(max_examples=400)
@given(suspicious_models())
def test_what_is_not_proven_says_why(planted):
    for finding in solve(planted).findings.culprits:
        if finding.proof.kind is ProofKind.UNPROVEN:
            assert finding.proof.reason
        if finding.proof.own_code_trial and finding.proof.kind is ProofKind.ALONE:
            assert not finding.proof.reason


# --- order and cost


def test_many_culprits_of_few_classes_that_nothing_names_cost_two_trials_each():
    """Five blocks of ten layers of ten classes, of which five fail."""
    parents = tuple(0 if n % 11 == 0 else n - n % 11 + 1 for n in range(55))
    guilty = frozenset(n for n in range(1, 56) if n % 11 in (2, 4, 6, 8, 10))
    planted = Planted(parents, guilty, classes=11, clues=False, alike=True)
    assert solve(planted).findings.names == {planted.name(n) for n in guilty}
    assert len(planted.asked) <= 50


def test_every_named_module_is_asked_before_what_holds_it():
    """m2 is named and passes; m3 beside it in m1 is named too, and fails."""
    planted = Planted((0, 1, 1), frozenset({3}), accused=frozenset({2}))
    assert solve(planted).findings.names == {"m1.m3"}
    assert not any(trial.module == "m1" for trial in planted.asked)


def test_below_a_container_the_guilty_child_is_found_though_another_was_named():
    planted = Planted((0, 1, 1), frozenset({3}), accused=frozenset({2}), alike=True)
    named = replace(planted, clues=False)
    search = Search(planted.tree())
    steps = search.run()
    question = next(steps)
    with contextlib.suppress(StopIteration):
        while True:
            outcome = named.answer(question.trial)
            if question.trial == Trial(""):
                clue = Clue("m1.m2", ClueKind.RUNTIME_NODE)
                outcome = replace(outcome, failure=replace(outcome.failure, clues=(clue,)))
            question = steps.send(outcome)
    assert search.findings.names == {"m1.m3"}


def test_what_is_around_the_call_is_asked_before_any_module():
    planted = Planted((0, 0), frozenset({1, 2}))
    search = Search(planted.tree(), surroundings="autocast is on")
    steps = search.run()
    assert next(steps).trial == Trial("")
    question = steps.send(planted.answer(Trial("")))
    assert question.trial.kind is TrialKind.NEUTRAL
    with pytest.raises(StopIteration):
        steps.send(Outcome(passed=tuple(Stage)))
    assert search.findings.request_at_fault
    assert not search.findings.culprits


def test_a_refused_input_size_is_the_requests_fault():
    planted = Planted((0, 0))
    search = Search(planted.tree())
    steps = search.run()
    next(steps)
    refusal = Failure(Stage.RUN, Mode.ERROR, "run/error/InputSizes", refuses_input=True)
    with pytest.raises(StopIteration):
        steps.send(Outcome(refusal))
    assert search.findings.request_at_fault


def test_a_refused_input_size_is_unlike_a_failing_node():
    refused = Failure(Stage.RUN, Mode.ERROR, signature(Stage.RUN, Mode.ERROR, "InputSizes"))
    failing = Failure(Stage.RUN, Mode.ERROR, signature(Stage.RUN, Mode.ERROR, "InvalidArgument"))
    assert not alike(refused, failing)
