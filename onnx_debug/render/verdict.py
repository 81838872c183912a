"""What is known of an export in one line, and what to do next: the two sentences read first."""

from __future__ import annotations

from onnx_debug.data.diagnosis import Diagnosis, SearchState
from onnx_debug.data.failure import ClueKind, Failure
from onnx_debug.data.stage import Mode, Stage, Verdict
from onnx_debug.render.messages import first_line
from onnx_debug.render.reasons import advice, clue_of, reason, why
from onnx_debug.render.words import culprit_title, file_words, guilty_lines, number, plural, written

MARKS = {
    Verdict.PASSED: "✓",
    Verdict.FAILED: "✗",
    Verdict.UNRESOLVED: "?",
    Verdict.STOPPED: "■",
    Verdict.NOT_BEGUN: "…",
}
# A verdict's tone, as style sheets call it.
TONES = {
    Verdict.PASSED: "good",
    Verdict.FAILED: "bad",
    Verdict.UNRESOLVED: "unknown",
    Verdict.STOPPED: "open",
    Verdict.NOT_BEGUN: "open",
}
_LONGEST_REQUEST = 240  # what was wrong and what was expected belong together
_NO_LAYER = (Stage.EAGER, Stage.OPTIONS)  # stages where no layer is looked for
# What an export is worth that was written and then failed.
_WRITTEN = {
    Stage.LOAD: "exports, but ONNX Runtime does not load it",
    Stage.RUN: "exports, but ONNX Runtime cannot run it",
    Stage.COMPARE: "exports, but returns other values than PyTorch",
}


def headline(d: Diagnosis) -> str:
    """The verdict: path, class, stage and reason in one line."""
    if d.failure is not None:
        return _of_failure(d, d.failure)
    return {
        Verdict.PASSED: f"{d.model_class} exports, loads, runs and matches.",
        Verdict.UNRESOLVED: _of_unresolved(d),
        Verdict.STOPPED: f"Stopped after {_trials(d)}, before {d.model_class} had an answer.",
        Verdict.NOT_BEGUN: _of_waiting(d),
    }[d.verdict]


def next_step(d: Diagnosis) -> str:
    """What to do now, in one line; empty when there is nothing to do."""
    if d.search is SearchState.PAUSED:
        return "go on with the search; what stands here was found so far."
    if d.search is SearchState.RUNNING:
        return ""
    if d.fixes:
        fix = d.fixes[0]
        which = "d.fixes[0]" if len(d.fixes) == 1 else f"first of {len(d.fixes)}"
        checked = f"exports and runs, max diff {number(fix.max_abs_diff)}"
        done = f"{fix.title} (checked: {checked}; {which})."
        return _after_fix(d, done) if d.fixed else done
    if d.verdict is Verdict.UNRESOLVED:
        return _after_unresolved(d)
    if d.search is SearchState.STOPPED:
        return "run it again to the end; what stands here was found so far."
    return _after_failure(d, d.failure) if d.failure is not None else ""


def _of_failure(d: Diagnosis, failure: Failure) -> str:
    if failure.stage is Stage.EAGER:
        return f"{d.model_class} itself fails, before any export: {_own_words(failure)}."
    if d.search in (SearchState.RUNNING, SearchState.PAUSED):
        return f"{_stops_at(d, failure)}. {_so_far(d)}"
    found = _finding(d, failure)
    if d.search is SearchState.STOPPED:
        return f"Stopped after {_trials(d)}; found so far: {found}"
    return found


def _finding(d: Diagnosis, failure: Failure) -> str:
    """Who is to blame, as far as the search went."""
    if d.request:
        said = first_line(d.request, _LONGEST_REQUEST)
        end = "" if said.endswith("…") else "."
        at_fault = f"The request is at fault, no layer of {d.model_class} ({failure.stage})"
        return f"{at_fault}: {said}{end}"
    if len(d.culprits) > 1:
        blamed = f"{len(d.culprits)} of {plural(len(d.modules), 'module')}"
        if failure.stage in _WRITTEN:
            return f"{d.model_class} {_WRITTEN[failure.stage]}: {blamed} are to blame."
        return f"Export stops at {failure.stage}: {blamed} block it."
    if d.culprits:
        culprit = d.culprits[0]
        stage = culprit.failure.stage
        does = _WRITTEN.get(stage, f"stops the export at {stage}")
        return f"{culprit_title(culprit, d.model_class)} {does}: {why(culprit)}."
    return _without_culprit(d, failure)


def _without_culprit(d: Diagnosis, failure: Failure) -> str:
    clue = clue_of(failure, "")
    if clue is not None and clue.kind is ClueKind.DRIFT:
        return f"{d.model_class} exports; {clue.reason}."
    if d.search is SearchState.STOPPED:
        return f"{_stops_at(d, failure)}."
    does = _WRITTEN.get(failure.stage, f"export stops at {failure.stage}")
    return f"{d.model_class}: {does}; no module could be blamed: {reason(failure, clue)}."


def _stops_at(d: Diagnosis, failure: Failure) -> str:
    does = _WRITTEN.get(failure.stage)
    said = reason(failure, clue_of(failure, ""))
    if does:
        return f"{d.model_class} {does}: {said}"
    return f"Export stops at {failure.stage}: {said}"


def _so_far(d: Diagnosis) -> str:
    found = f"{plural(len(d.culprits), 'module')} found so far"
    if d.search is SearchState.PAUSED:
        return f"The search is paused: {found}."
    return f"Looking for the modules to blame: {found}."


def _of_unresolved(d: Diagnosis) -> str:
    why_not = first_line(d.unresolved or "not every stage was tried", _LONGEST_REQUEST)
    if d.ours:
        return f"onnx_debug failed, not {d.model_class}: {why_not}"
    return f"Nobody knows yet whether {d.model_class} exports: {why_not}"


def _of_waiting(d: Diagnosis) -> str:
    if d.search is SearchState.NOT_BEGUN:
        return f"{d.model_class}: not examined yet."
    if d.search is SearchState.PAUSED:
        return f"Paused after {_trials(d)}; {d.model_class} has no answer yet."
    if d.trials:
        return f"{d.model_class} passes on the given inputs; other inputs are being tried."
    return f"Examining {d.model_class}; there is no answer yet."


def _after_fix(d: Diagnosis, change: str) -> str:
    """What was written, and what was changed for it."""
    if d.written is None:
        return f"{change} {written(d)}"
    place = d.written.path or "what was written"
    return f"take {place} ({file_words(d.written)}), exported from a copy of the model with this change: {change}"


def _after_unresolved(d: Diagnosis) -> str:
    if d.ours:
        return "please report this as a fault of onnx_debug; d.issue_text() is ready to be pasted."
    return "whether the exported file is right has to be tried by hand; d.trials and d.log say how far it got."


def _after_failure(d: Diagnosis, failure: Failure) -> str:
    if d.culprits:
        culprit = d.culprits[0]
        clue = clue_of(culprit.failure, culprit.fqn)
        shown = bool(guilty_lines(culprit))
        return advice(culprit.failure, clue, culprit.op, dynamo=d.dynamo, line=shown)
    clue = clue_of(failure, "")
    known = failure.stage in _NO_LAYER or (clue is not None and clue.kind is ClueKind.DRIFT)
    return (
        advice(failure, clue, dynamo=d.dynamo) if known else "d.failure.details and d.log say more."
    )


def _own_words(failure: Failure) -> str:
    if failure.mode is not Mode.ERROR:
        return reason(failure)
    said = first_line(failure.message)
    return f"{failure.exception_type}: {said}" if said else failure.exception_type


def _trials(d: Diagnosis) -> str:
    return plural(len(d.trials), "trial")
