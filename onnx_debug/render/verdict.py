"""What is known of an export in one line, and what to do next: the two sentences read first."""

from __future__ import annotations

from onnx_debug.data.culprit import Culprit
from onnx_debug.data.diagnosis import Diagnosis, SearchState
from onnx_debug.data.failure import ClueKind, Failure
from onnx_debug.data.stage import Mode, Stage, Verdict
from onnx_debug.render.messages import first_line
from onnx_debug.render.reasons import advice, cause, cause_of_all, clue_of, reason, why
from onnx_debug.render.voice import PYTHON, Voice
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
        return f"{_of_failure(d, d.failure)}{_exports_with(d)}"
    return {
        Verdict.PASSED: f"{d.model_class} exports, loads, runs and matches.",
        Verdict.UNRESOLVED: _of_unresolved(d),
        Verdict.STOPPED: f"Stopped after {_trials(d)}, before {d.model_class} had an answer.",
        Verdict.NOT_BEGUN: _of_waiting(d),
    }[d.verdict]


def next_step(d: Diagnosis, voice: Voice = PYTHON) -> str:
    """What to do now, in one line, in the voice of the place where it is read; empty when there is nothing to do."""
    if d.search is SearchState.PAUSED:
        return f"{voice.go_on}; what stands here was found so far."
    if d.search is SearchState.RUNNING:
        return ""
    if d.fixes:
        fix = d.fixes[0]
        which = voice.fix if len(d.fixes) == 1 else f"first of {len(d.fixes)}"
        checked = f"exports and runs, max diff {number(fix.max_abs_diff)}"
        done = f"{fix.title} (checked: {checked}; {which})."
        return _after_fix(d, done) if d.fixed else done
    if d.verdict is Verdict.UNRESOLVED:
        return _after_unresolved(d, voice)
    if d.search is SearchState.STOPPED:
        return "run it again to the end; what stands here was found so far."
    return _after_failure(d, d.failure, voice) if d.failure is not None else ""


def _of_failure(d: Diagnosis, failure: Failure) -> str:
    if failure.stage is Stage.EAGER:
        return f"{d.model_class} itself fails{_in_module(d)}, before any export: {_own_words(failure)}{_code(d)}."
    if d.search in (SearchState.RUNNING, SearchState.PAUSED):
        return f"{_stops_at(d, failure)}. {_so_far(d)}"
    found = _finding(d, failure)
    if d.search is SearchState.STOPPED:
        return f"Stopped after {_trials(d)}; found so far: {found}"
    return found


def _exports_with(d: Diagnosis) -> str:
    """That changes were found with which it exports."""
    if not d.fixes or d.request:
        return ""
    return f" It exports with {plural(d.fixes[0].changes, 'change')}."


def part_way(d: Diagnosis) -> str:
    """How far changes get the export that do not make it pass; empty where there are none."""
    if d.part_way is None or d.fixes:
        return ""
    failure = d.part_way.failure
    clue = clue_of(failure, "")
    at = f" in {clue.fqn}" if clue is not None and clue.fqn else ""
    return (
        f"{d.part_way.title}; the export then stops at {failure.stage}{at}: {reason(failure, clue)}"
    )


def _finding(d: Diagnosis, failure: Failure) -> str:
    """Who is to blame, as far as the search went."""
    if d.request:
        said = first_line(d.request, _LONGEST_REQUEST)
        end = "" if said.endswith("…") else "."
        at_fault = f"The request is at fault, no layer of {d.model_class} ({failure.stage})"
        return f"{at_fault}: {said}{end}{_code(d)}"
    if len(d.culprits) > 1:
        blamed = f"{len(d.culprits)} of {plural(len(d.modules), 'module')}"
        if failure.stage in _WRITTEN:
            return f"{d.model_class} {_WRITTEN[failure.stage]}: {blamed} are to blame."
        return f"Export stops at {failure.stage}: {blamed} block it."
    if d.culprits:
        culprit = d.culprits[0]
        stage = culprit.failure.stage
        does = _WRITTEN.get(stage, f"stops the export at {stage}")
        code = cause(culprit).code
        return f"{culprit_title(culprit, d.model_class)} {does}: {why(culprit)} [{code}]."
    return _without_culprit(d, failure)


def _without_culprit(d: Diagnosis, failure: Failure) -> str:
    clue = clue_of(failure, "")
    if clue is not None and clue.kind is ClueKind.DRIFT:
        return f"{d.model_class} exports; {clue.reason}{_code(d)}."
    if d.search is SearchState.STOPPED:
        return f"{_stops_at(d, failure)}."
    does = _WRITTEN.get(failure.stage, f"export stops at {failure.stage}")
    return f"{d.model_class}: {does}; no module could be blamed: {reason(failure, clue)}{_code(d)}."


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


def _after_unresolved(d: Diagnosis, voice: Voice) -> str:
    if d.ours:
        return f"please report this as a fault of onnx_debug; {voice.issue} is ready to be pasted."
    return (
        "whether the exported file is right has to be tried by hand; "
        f"{voice.trials} and {voice.log} say how far it got."
    )


def advice_for(d: Diagnosis, culprit: Culprit, voice: Voice = PYTHON) -> str:
    """What usually helps against this culprit; untried."""
    clue = clue_of(culprit.failure, culprit.fqn)
    shown = bool(guilty_lines(culprit))
    return advice(culprit.failure, clue, culprit.op, dynamo=d.dynamo, line=shown, voice=voice)


def _after_failure(d: Diagnosis, failure: Failure, voice: Voice) -> str:
    if d.culprits:
        return advice_for(d, d.culprits[0], voice)
    clue = clue_of(failure, "")
    known = failure.stage in _NO_LAYER or (clue is not None and clue.kind is ClueKind.DRIFT)
    if known:
        return advice(failure, clue, dynamo=d.dynamo, voice=voice)
    return f"{voice.error} and {voice.log} say more."


def _in_module(d: Diagnosis) -> str:
    """Where in the model, if that is a module of it."""
    named = [culprit for culprit in d.culprits if culprit.fqn]
    return f" in {culprit_title(named[0], d.model_class)}" if named else ""


def _own_words(failure: Failure) -> str:
    if failure.mode is not Mode.ERROR:
        return reason(failure)
    said = first_line(failure.message)
    return f"{failure.exception_type}: {said}" if said else failure.exception_type


def _code(d: Diagnosis) -> str:
    """` [OD101]`: the code of the failure of the whole."""
    whole = cause_of_all(d)
    return f" [{whole.code}]" if whole else ""


def _trials(d: Diagnosis) -> str:
    return plural(len(d.trials), "trial")
