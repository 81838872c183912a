"""What many answers come to: which models export where, causes that models share, what changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from onnx_debug.data.diagnosis import Diagnosis
from onnx_debug.data.failure import Failure, Source
from onnx_debug.data.stage import Stage, Verdict
from onnx_debug.data.survey import Answer, Change, Combination, Survey
from onnx_debug.render import text
from onnx_debug.render.messages import first_line
from onnx_debug.render.reasons import clue_of, op_name, reason, why
from onnx_debug.render.verdict import MARKS, headline
from onnx_debug.render.words import guilty_lines, place, plural


@dataclass(frozen=True)
class Cause:
    """What stops exports, wherever it does.

    Attributes:
        stage: where exports stop by it.
        why: in plain words, as the first model has it.
        op: the operator, where it is one.
        lines: the deepest lines of Python that are known; of a library, where they are in one.
        cases: the models that have it.
        modules: how many modules in all of them.
    """

    stage: str
    why: str
    op: str
    lines: tuple[str, ...]
    cases: tuple[str, ...]
    modules: int


class ChangeKind(StrEnum):
    """How an answer differs from the one before it."""

    FIXED = "exports now"
    BROKEN = "does not export any more"
    OTHER = "fails otherwise"
    KNOWN = "fails; before nobody knew"
    UNKNOWN = "without an answer now"


def summary(s: Survey) -> str:
    """How many pass and how many do not: `52 of 82 exports pass; 28 fail; 2 have no answer.` as one line."""
    counts, total = s.verdicts, len(s.combinations)
    exported, failed = counts[Verdict.PASSED], counts[Verdict.FAILED]
    waiting = counts[Verdict.NOT_BEGUN]
    parts = [f"{exported} of {plural(total, 'export')} pass"]
    rest = total - exported - failed - waiting
    named = ((failed, "fail"), (rest, "have no answer"), (waiting, "were not asked yet"))
    parts += [f"{count} {words}" for count, words in named if count]
    return f"{'; '.join(parts)}."


def columns(s: Survey) -> dict[tuple[bool, int | None], str]:
    """Exporters and opsets, each with its title."""
    asked = dict.fromkeys((one.dynamo, one.opset) for one in s.combinations)
    return {
        (dynamo, opset): ("dynamo" if dynamo else "legacy")
        + ("" if opset is None else f", opset {opset}")
        for dynamo, opset in asked
    }


def cases(s: Survey) -> list[str]:
    """The names of the cases, in order."""
    return list(dict.fromkeys(one.case for one in s.combinations))


def anchors(s: Survey) -> dict[Combination, str]:
    """The name of the place where each answer stands in full."""
    return {one: f"answer-{number}" for number, one in enumerate(s.combinations, 1)}


def mark(answer: Answer | None) -> str:
    """`✓`, `✗ capture`, `?`: a cell of the matrix."""
    if answer is None:
        return MARKS[Verdict.NOT_BEGUN]
    failure = answer.diagnosis.failure if answer.diagnosis is not None else None
    stage = f" {failure.stage}" if failure is not None else ""
    return f"{MARKS[answer.verdict]}{stage}"


def title(answer: Answer) -> str:
    """The answer in one line."""
    if answer.diagnosis is None:
        return first_line(answer.said, 200)
    return headline(answer.diagnosis)


def words(answer: Answer) -> str:
    """The answer in full."""
    return f"? {answer.said}" if answer.diagnosis is None else text.render(answer.diagnosis)


def causes(s: Survey) -> list[Cause]:
    """The causes of all failures, those of the most models first."""
    found: dict[tuple[str, ...], list[tuple[str, _Fault]]] = {}
    for answer in s.answers:
        if answer.diagnosis is not None and answer.diagnosis.failure is not None:
            for fault in _faults(answer.diagnosis, answer.diagnosis.failure):
                found.setdefault(fault.key, []).append((answer.combination.case, fault))
    summed = [_cause(alike) for alike in found.values()]
    return sorted(summed, key=lambda one: (-len(one.cases), -one.modules))


def changes(s: Survey) -> list[tuple[ChangeKind, Change]]:
    """What the last run answered otherwise than the one before it: fixed first."""
    found = [(kind, change) for change in s.changes if (kind := _kind(change)) is not None]
    return sorted(found, key=lambda one: list(ChangeKind).index(one[0]))


@dataclass(frozen=True)
class _Fault:
    """One module's fault, or that of a model without a guilty module.

    Attributes:
        key: equal for equal causes.
    """

    stage: str
    op: str
    line: str
    why: str
    key: tuple[str, ...]


def _faults(d: Diagnosis, failure: Failure) -> Iterator[_Fault]:
    if d.request:
        said = first_line(d.request, 200)
        yield _Fault(str(failure.stage), "", "", said, (str(failure.stage), said))
        return
    for culprit in d.culprits:
        op = culprit.op or culprit.failure.op
        lines = guilty_lines(culprit)
        yield _fault(culprit.failure, op, lines[-1] if lines else None, why(culprit))
    if not d.culprits:
        clue = clue_of(failure, "")
        line = (*((clue.source,) if clue.source else ()), *clue.below)[-1:] if clue else ()
        op = failure.op or (clue.op if clue else None)
        yield _fault(failure, op, line[0] if line else None, reason(failure, clue))


def _fault(failure: Failure, op: str | None, line: Source | None, said: str) -> _Fault:
    """An operator without a working translation is one cause wherever it is called; elsewhere the line is the cause."""
    stage, operator = str(failure.stage), op_name(op) if op else ""
    at = place(line) if line else ""
    key: tuple[str, ...] = (stage, operator, at)
    if failure.stage is Stage.TRANSLATE and operator:
        key = (stage, operator, failure.exception_type)
    elif not operator and not at:  # words hold sizes and names, so they count only here
        key = (stage, said)
    return _Fault(stage, operator, at, said, key)


def _cause(alike: list[tuple[str, _Fault]]) -> Cause:
    fault = alike[0][1]
    named = tuple(dict.fromkeys(case for case, _ in alike))
    lines = tuple(dict.fromkeys(other.line for _, other in alike if other.line))
    return Cause(fault.stage, fault.why, fault.op, lines, named, len(alike))


def _kind(change: Change) -> ChangeKind | None:
    before, now = change.before.verdict, change.now.verdict
    if before is not now:
        return {
            Verdict.PASSED: ChangeKind.FIXED,
            Verdict.FAILED: ChangeKind.BROKEN if before is Verdict.PASSED else ChangeKind.KNOWN,
        }.get(now, ChangeKind.UNKNOWN)
    same = _blamed(change.before) == _blamed(change.now)
    return None if same else ChangeKind.OTHER


def _blamed(answer: Answer) -> set[tuple[str, ...]]:
    """What an answer blames, apart from line numbers of code that moved."""
    d = answer.diagnosis
    if d is None or d.failure is None:
        return set()
    return {(fault.stage, fault.op or fault.why) for fault in _faults(d, d.failure)}
