"""The answer to a trial that the user asked for, as one sentence: what it means for the module."""

from __future__ import annotations

from collections.abc import Callable

from onnx_debug.data.diagnosis import Diagnosis, Step
from onnx_debug.data.stage import Mode, Verdict
from onnx_debug.render.messages import first_line
from onnx_debug.render.words import plural

Answered = dict[str, str]  # `answer`: passed, failed or unresolved; `text`: the sentence
Sentence = Callable[[Diagnosis, Step], Answered]
_HOW = {
    Mode.ERROR: "fails",
    Mode.CRASH: "crashes",
    Mode.TIMEOUT: "does not end in time",
    Mode.MEMORY: "needs too much memory",
}
_WORKS = "exports, loads, runs and matches"


def alone(d: Diagnosis, step: Step) -> Answered:
    """Of a module exported by itself."""
    if step.stage is None:
        return _said(step, f"Alone it {_WORKS}.")
    if _alike(d, step):
        return _said(step, f"Alone it {_fails(step)}, where the whole model fails too.")
    return _said(step, f"Alone it {_fails(step)}, which is not how the model fails{_why(step)}.")


def split(d: Diagnosis, step: Step) -> Answered:
    """Of a module exported by itself with its children replaced."""
    children = "child" if len(step.stubs) == 1 else f"{len(step.stubs)} children"
    what = f"With its {children} replaced it"
    if step.stage is None:
        return _said(step, f"{what} {_WORKS}: its own code is not at fault.")
    if _alike(d, step):
        return _said(step, f"{what} still {_fails(step)}: it is its own code.")
    return _said(step, f"{what} {_fails(step)}, which is not how the model fails{_why(step)}.")


def replaced(d: Diagnosis, step: Step) -> Answered:
    """Of the whole model with the modules replaced that the user chose."""
    what = "The whole model"
    if step.stubs:
        few = ", ".join(step.stubs) if len(step.stubs) <= 2 else plural(len(step.stubs), "module")
        what += f" with {few} replaced"
    if step.stage is None:
        return _said(step, f"{what} {_WORKS}.")
    if _alike(d, step):
        return _said(step, f"{what} {'still ' if step.stubs else ''}{_fails(step)}.")
    return _said(step, f"{what} now {_fails(step)}{_why(step)}.")


def _said(step: Step, sentence: str) -> Answered:
    if step.answer is Verdict.UNRESOLVED:
        sentence = f"No answer: {step.message or 'the trial could not be run'}."
    return {"answer": step.answer.value, "text": f"{sentence} ({step.seconds:.1f} s)"}


def _fails(step: Step) -> str:
    return f"{_HOW[step.mode or Mode.ERROR]} at {step.stage}"


def _why(step: Step) -> str:
    return f": {first_line(step.message)}" if step.message else ""


def _alike(d: Diagnosis, step: Step) -> bool:
    """Whether the trial failed where and how the model fails."""
    return d.failure is not None and (step.stage, step.mode) == (d.failure.stage, d.failure.mode)
