"""What shows that a culprit is one: a sentence each, with the trial behind it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from onnx_debug.data.culprit import Culprit, ProofKind
from onnx_debug.data.diagnosis import Diagnosis
from onnx_debug.data.stage import Stage
from onnx_debug.render import words
from onnx_debug.render.messages import first_line


def evidence(culprit: Culprit, d: Diagnosis) -> list[dict[str, Any]]:
    """What was shown, and in one line what was not. Of a model that fails by itself nothing has to be shown.

    `step` is the row of the trial in the history, None where no single trial is behind the sentence;
    `shown` is False for what could not be proven.
    """
    if culprit.failure.stage is Stage.EAGER:
        return []
    rows = [_row(text, step) for text, step in _shown(culprit, d)]
    missing = _missing(culprit)
    return [*rows, _row(missing, None, shown=False)] if missing else rows


def _row(text: str, step: int | None, *, shown: bool = True) -> dict[str, Any]:
    return {"text": text, "step": step, "shown": shown}


def _shown(culprit: Culprit, d: Diagnosis) -> list[tuple[str, int | None]]:
    proof, own = culprit.proof, culprit.fqn
    others = [other.fqn for other in d.culprits if other is not culprit]
    inside = _last(d, own, with_stubs=True)
    found: list[tuple[str, int | None]] = []
    if proof.kind is ProofKind.ROOT:
        found.append((words.proof_words(culprit), inside))
    elif proof.kind is ProofKind.IN_PLACE:
        found.append((words.proof_words(culprit), _whole(d, [own])))
    elif proof.kind is not ProofKind.UNPROVEN:
        found.append((words.proof_words(culprit), _last(d, own)))
    if culprit.own_code and proof.own_code_trial is not None and proof.kind is not ProofKind.ROOT:
        found.append((_OWN_CODE[proof.own_code_trial], inside))
    elif proof.own_code_trial and proof.kind is not ProofKind.ROOT:
        found.append(("no module that it calls fails alone", inside))
    if proof.necessary is not None and others:
        found.append((_NECESSARY[proof.necessary], _whole(d, others)))
    if not others:
        found += [(text, _whole(d, [own])) for text in words.sufficiency(d)]
    return found


_OWN_CODE = {
    True: "with the modules that it calls replaced it still fails: its own code is at fault",
    False: "with the modules that it calls replaced it does not fail",
}
_NECESSARY = {
    True: "with all other culprits replaced the model still fails: this one blocks by itself",
    False: "with all other culprits replaced the model does not fail: this one does not block by itself",
}


def _missing(culprit: Culprit) -> str:
    """What could not be shown, as one line."""
    proof = culprit.proof
    why = first_line(proof.reason, 300)
    if proof.kind is ProofKind.UNPROVEN:
        return f"Not proven: {why or 'the failure names it, and no trial could decide'}."
    if culprit.own_code and proof.own_code_trial is None:
        said = "Not shown: whether it is its own code or a module that it calls"
        return f"{said} ({why})." if why else f"{said}."
    return f"Not shown: {why}." if why else ""


def _whole(d: Diagnosis, stubs: Iterable[str]) -> int | None:
    """The trial of the whole model with these modules replaced; None where there was none."""
    wanted = set(stubs)
    return next(
        (
            index
            for index, step in enumerate(d.trials)
            if not step.module and set(step.stubs) == wanted and not step.changed
        ),
        None,
    )


def _last(d: Diagnosis, fqn: str, *, with_stubs: bool = False) -> int | None:
    """The trial of this module, by itself or with modules in it replaced."""
    found = (
        index
        for index, step in enumerate(d.trials)
        if step.module == fqn and bool(step.stubs) is with_stubs and not step.changed
    )
    return max(found, default=None)
