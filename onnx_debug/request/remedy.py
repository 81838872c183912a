"""From a request that is at fault to a call that works: every call that is proposed was tried.

A generator asks: it yields the cases to export, is sent their outcomes, and returns what it found.
Who runs the trials is no concern of it. Each kind of fault is asked on its own, cheapest first:
what lies around the call, what can be seen in the options, dimensions that must be equal, the
opset.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace

import onnx
from torch.export import Dim

from onnx_debug.data.failure import Failure
from onnx_debug.data.outcome import Outcome
from onnx_debug.data.request_fault import RequestFault
from onnx_debug.data.stage import Stage
from onnx_debug.request.case import Case
from onnx_debug.request.correction import call_of, corrected, problems
from onnx_debug.request.dims import dim_name, is_static
from onnx_debug.request.entries import Entry, entries_of
from onnx_debug.request.inputs import read_inputs
from onnx_debug.request.keywords import OLDEST_DEFAULT_OPSET, last_opset
from onnx_debug.request.matching import UnclearError
from onnx_debug.request.meant import to_shapes

_OPSET = "opset_version"


@dataclass(frozen=True)
class Correction:
    """What is wrong with a request.

    Attributes:
        problems: one plain line for each wrong entry; empty when none can be named.
        call: the call to make instead; empty when none works.
        outcome: of the trial of that call.
        fault: which kind of mistake it is; None where no entry is known to be wrong.
    """

    problems: tuple[str, ...] = ()
    call: str = ""
    outcome: Outcome | None = None
    fault: RequestFault | None = None


Trying = Generator[Case, Outcome, Correction]


def correct(case: Case) -> Trying:
    """Find a call that works in the place of this one, which fails although no module is at fault."""
    wrong = problems(case)
    seen = Correction(tuple(map(str, wrong)), fault=wrong[0].fault if wrong else None)
    ways = {
        _without_surroundings: RequestFault.SURROUNDINGS,
        _as_meant: None,
        _with_equal_dims: RequestFault.EQUAL,
        _with_newer_opset: RequestFault.OLD_OPSET,
    }
    for way, fault in ways.items():
        found = yield from way(case)
        if found.call and found.problems:
            return replace(found, fault=fault)
        if found.call:
            return replace(seen, call=found.call, outcome=found.outcome)
    return seen


def run(trying: Trying, export: Callable[[Case], Outcome]) -> Correction:
    """Answer what is asked by exporting."""
    outcome: Outcome | None = None
    while True:
        try:
            case = next(trying) if outcome is None else trying.send(outcome)
        except StopIteration as end:
            found: Correction = end.value
            return found
        outcome = export(case)


def next_call(case: Case, outcomes: Sequence[Outcome]) -> Case:
    """The call to try after those that had these outcomes: a case holds the user's objects, and cannot go to another process."""
    trying = correct(case)
    found = next(trying)
    for outcome in outcomes:
        found = trying.send(outcome)
    return found


def _tried(case: Case, *said: str) -> Trying:
    """The call of this case, if it works."""
    outcome = yield case
    works = outcome.ok and not _unmet(outcome, _OPSET)
    return Correction(said, call_of(case, case.options), outcome) if works else Correction()


def _unmet(outcome: Outcome, subject: str) -> bool:
    return any(row.problem for row in outcome.asked if row.subject == subject)


def _without_surroundings(case: Case) -> Trying:
    around = case.surroundings
    if not str(around) or case.neutral:
        return Correction()
    found = yield from _tried(case.undisturbed(), f"{around}; without that the same call works")
    return replace(found, call=around.avoided(found.call)) if found.call else found


def _as_meant(case: Case) -> Trying:
    meant = corrected(case)
    if meant is None:
        return Correction()
    return (yield from _tried(meant))


# --- dimensions that must be equal


def _with_equal_dims(case: Case) -> Trying:
    """Let torch choose the sizes (Dim.AUTO): what then has one size in the file has one name in the call."""
    entries = _entries(case)
    if len({dim_name(entry.dim) for entry in entries} - {None}) < 2:
        return Correction()
    chosen = [entry.axis is not None and not is_static(entry.dim) for entry in entries]
    free = [
        replace(entry, dim=Dim.AUTO if by_torch else entry.dim)
        for entry, by_torch in zip(entries, chosen, strict=True)
    ]
    left_to_torch = _with_entries(case, free)
    if left_to_torch is None:
        return Correction()
    outcome = yield left_to_torch
    sizes = {row.subject: row.got for row in outcome.asked}
    got = {(e.keys, e.axis): sizes.get(e.spelling, "") for e in _entries(left_to_torch)}
    first: dict[str, Entry] = {}
    equal, said = [], []
    for entry in entries:
        size, same = got.get((entry.keys, entry.axis), ""), entry
        if dim_name(entry.dim) and size.isidentifier():  # no number, and no words
            same = first.setdefault(size, entry)
        if dim_name(same.dim) != dim_name(entry.dim):
            said.append(
                f"{entry.spelling}: the dimension {dim_name(entry.dim)!r}; expected "
                f"{dim_name(same.dim)!r}, as at {same.spelling}: the model needs these sizes equal"
            )
        equal.append(replace(entry, dim=same.dim))
    better = _with_entries(case, equal) if said else None
    return Correction() if better is None else (yield from _tried(better, *said))


def _with_entries(case: Case, entries: list[Entry]) -> Case | None:
    """The case that asks for these dimensions; None: no spelling reaches them."""
    inputs = read_inputs(case.model, case.args, case.kwargs)
    if inputs is None:
        return None
    try:
        return _with(case, "dynamic_shapes", to_shapes(inputs, entries))
    except UnclearError:
        return None


def _entries(case: Case) -> list[Entry]:
    inputs = read_inputs(case.model, case.args, case.kwargs)
    if inputs is None or not case.dynamo or not case.options.get("dynamic_shapes"):
        return []
    return entries_of(inputs, case.model, case.options, dynamo=True)


def _with(case: Case, option: str, value: object) -> Case:
    return replace(case, options={**case.options, option: value})


# --- the opset


def opset_may_be_too_old(case: Case, failure: Failure | None) -> bool:
    """Whether a newer opset is worth a try: an operator has no translation in this one."""
    if failure is None or failure.stage is not Stage.TRANSLATE:
        return False
    return _OPSET in case.options or failure.known_from is not None


def _chooses_opset(case: Case) -> bool:
    """Whether the opset is the user's, or that of the legacy exporter, which stays behind its operators."""
    return _OPSET in case.options or not case.dynamo


def _with_newer_opset(case: Case) -> Trying:
    """The lowest opset that works, where the exporter's own choice or the newest does."""
    given = case.options.get(_OPSET, OLDEST_DEFAULT_OPSET)
    if not isinstance(given, int) or not _chooses_opset(case):
        return Correction()
    options = {name: value for name, value in case.options.items() if name != _OPSET}
    outcome = yield replace(case, options=options)
    if not outcome.ok:
        outcome = yield _with(case, _OPSET, last_opset(dynamo=case.dynamo))
    works, fails, best = _opset_of(outcome) if outcome.ok else 0, given, Correction()
    while works - fails > 1 or (works > fails and not best.call):
        tried = works if works - fails == 1 else (fails + works) // 2
        said = f"{_OPSET}: {given} is too old for this model: the lowest that works is {tried}"
        found = yield from _tried(_with(case, _OPSET, tried), said)
        if found.call:
            best, works = found, tried
        elif tried == works:
            return Correction()
        else:
            fails = tried
    return best


def _opset_of(outcome: Outcome) -> int:
    """The opset of the file that was exported."""
    assert outcome.onnx_path
    model = onnx.load(outcome.onnx_path, load_external_data=False)
    own = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    return max(own, default=0)
