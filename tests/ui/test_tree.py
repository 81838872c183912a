"""The module tree: rows in order, and what trials say about each module."""

from __future__ import annotations

import sys
from collections import Counter

from onnx_debug.data.culprit import Culprit, Proof, ProofKind
from onnx_debug.data.diagnosis import Diagnosis, Step
from onnx_debug.data.failure import Failure
from onnx_debug.data.module_info import ModuleInfo
from onnx_debug.data.stage import Mode, Stage, Verdict
from onnx_debug.render.page.tree import State, children_of, rows, states

FAILURE = Failure(Stage.TRANSLATE, Mode.ERROR, "s")
NAMES = [
    "",
    "stem",
    "blocks",
    "blocks.0",
    "blocks.0.lin",
    "blocks.1",
    "blocks.1.lin",
    "blocks.10",
    "head",
]


def modules(names: list[str] = NAMES) -> tuple[ModuleInfo, ...]:
    return tuple(
        ModuleInfo(
            name, "Net" if not name else "Layer", calls=int(name != "blocks"), parameters=len(name)
        )
        for name in names
    )


def step(module: str, answer: Verdict, *stubs: str, stage: Stage = Stage.TRANSLATE) -> Step:
    failed = answer is Verdict.FAILED
    return Step(
        module,
        stubs,
        0,
        "why",
        answer,
        0.1,
        stage if failed else None,
        Mode.ERROR if failed else None,
    )


def diagnosis(
    *trials: Step, culprits: tuple[str, ...] = (), sufficient: bool | None = None
) -> Diagnosis:
    found = tuple(Culprit(fqn, "Layer", True, Proof(ProofKind.ALONE), FAILURE) for fqn in culprits)
    return Diagnosis(
        "Net",
        failure=FAILURE,
        culprits=found,
        sufficient=sufficient,
        modules=modules(),
        trials=trials,
    )


def test_rows_stand_below_their_parents() -> None:
    found = rows(modules())
    assert [row["fqn"] for row in found] == NAMES
    assert [row["depth"] for row in found] == [0, 1, 1, 2, 3, 2, 3, 2, 1]
    assert [row["name"] for row in found][:4] == ["Net", "stem", "blocks", "0"]
    assert found[2]["children"] == 3


def test_rows_follow_the_model_even_when_names_come_mixed() -> None:
    found = rows(modules(["", "a", "b", "a.x"]))
    assert [row["fqn"] for row in found] == ["", "a", "a.x", "b"]


def test_a_module_whose_parent_has_another_name_keeps_a_place() -> None:
    found = rows(modules(["", "shared.inner"]))
    assert [(row["name"], row["depth"]) for row in found][1:] == [("shared.inner", 1)]


def test_uncalled_lists_give_way_to_their_items() -> None:
    assert children_of(modules(), "") == ("stem", "blocks.0", "blocks.1", "blocks.10", "head")


def test_nothing_is_known_before_a_trial() -> None:
    assert states(diagnosis()) == {}


def test_a_module_that_passes_vouches_for_what_is_in_it() -> None:
    found = states(diagnosis(step("blocks.1", Verdict.PASSED)))
    assert found == {"blocks.1": State.PASSES, "blocks.1.lin": State.PASSES}


def test_a_passing_trial_says_nothing_of_what_was_replaced_in_it() -> None:
    found = states(diagnosis(step("", Verdict.PASSED, "blocks.1.lin")))
    assert {fqn for fqn in NAMES if fqn not in found} == {"", "blocks", "blocks.1", "blocks.1.lin"}


def test_a_module_that_fails_alike_contains_a_culprit() -> None:
    found = states(diagnosis(step("blocks.1", Verdict.FAILED)))
    assert found == {"blocks.1": State.CONTAINS, "blocks": State.CONTAINS, "": State.CONTAINS}


def test_another_failure_says_nothing() -> None:
    assert states(diagnosis(step("blocks.1", Verdict.FAILED, stage=Stage.LOAD))) == {}


def test_unresolved_is_said() -> None:
    assert states(diagnosis(step("blocks.1", Verdict.UNRESOLVED))) == {"blocks.1": State.UNRESOLVED}


def test_a_sufficient_set_clears_everybody_else() -> None:
    found = states(diagnosis(culprits=("blocks.1.lin",), sufficient=True))
    assert found["blocks.1.lin"] is State.CULPRIT
    assert {fqn for fqn, state in found.items() if state is State.CONTAINS} == {
        "",
        "blocks",
        "blocks.1",
    }
    assert {fqn for fqn, state in found.items() if state is State.PASSES} == {
        "stem",
        "blocks.0",
        "blocks.0.lin",
        "blocks.10",
        "head",
    }


def test_what_the_user_replaced_shows() -> None:
    assert states(diagnosis(), replaced=["stem"]) == {"stem": State.STUBBED}


def test_five_thousand_modules_are_quick() -> None:
    names = [
        "",
        *(f"blocks.{i}" for i in range(1_000)),
        *(f"blocks.{i}.{part}" for i in range(1_000) for part in "abcd"),
    ]
    many = tuple(ModuleInfo(name, "Layer", calls=1) for name in names)
    trials = tuple(step(f"blocks.{i}", Verdict.PASSED) for i in range(50))
    culprits = tuple(
        Culprit(f"blocks.{i}.a", "Layer", True, Proof(ProofKind.ALONE), FAILURE)
        for i in range(900, 918)
    )
    found = Diagnosis(
        "Net",
        failure=FAILURE,
        culprits=culprits,
        sufficient=True,
        modules=many,
        trials=trials,
    )
    calls: Counter[str] = Counter()
    sys.setprofile(lambda _, event, __: calls.update([event]))
    try:
        assert len(rows(many)) == len(states(found)) == 5_001
    finally:
        sys.setprofile(None)
    # Each module is looked at a few times, and not once for each other.
    assert calls["call"] < 250 * 5_001
