"""The request read again: what is wrong with it by inspection alone, and the call that was meant."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from onnx_debug.request.case import Case
from onnx_debug.request.checks import axes_problems, shape_problems
from onnx_debug.request.inputs import forward_signature, read_inputs
from onnx_debug.request.keywords import keyword_problems, mended_keywords
from onnx_debug.request.meant import mended_dims
from onnx_debug.request.problem import Problem
from onnx_debug.request.spell import call_text

_Answer = TypeVar("_Answer")


def problems(case: Case) -> list[Problem]:
    """What is wrong with this request, by inspection alone; empty when nothing is, as far as can be told."""
    model, options, dynamo = case.model, case.options, case.dynamo
    inputs = read_inputs(model, case.args, case.kwargs)
    checks: list[Callable[[], Iterable[Problem]]] = [
        lambda: keyword_problems(model, inputs, options, dynamo=dynamo)
    ]
    if inputs is not None:
        axes, shapes = options.get("dynamic_axes"), options.get("dynamic_shapes")
        checks += [lambda: shape_problems(inputs, shapes, options)] if dynamo else []
        checks += [lambda: axes_problems(inputs, axes, options, dynamo=dynamo)]
    return [problem for check in checks for problem in _inspected(check)]


def corrected(case: Case) -> Case | None:
    """The case with the options that the user evidently meant: a guess, no fix before it was exported.

    None when nothing is wrong, or when what was meant cannot be told.
    """
    wrong = {problem.option for problem in problems(case)}
    for options in _inspected(lambda: _corrected(case, wrong)):
        better = replace(case, options=options)
        if not problems(better):
            return better
    return None


def _corrected(case: Case, wrong: set[str]) -> Iterable[dict[str, Any]]:
    inputs = read_inputs(case.model, case.args, case.kwargs)
    if wrong and inputs is not None:
        new = mended_keywords(case.model, inputs, case.options, wrong, dynamo=case.dynamo)
        yield mended_dims(inputs, new, wrong, dynamo=case.dynamo)


def _inspected(check: Callable[[], Iterable[_Answer]]) -> list[_Answer]:
    """What a look at the request gives: it holds anything the user typed, and what cannot be inspected is not known to be wrong."""
    try:
        return list(check())
    except Exception:  # noqa: BLE001 - any object of the user's may raise anything when it is looked at
        return []


def call_of(case: Case, options: Mapping[str, Any]) -> str:
    """The call with these options as source, in the names of the model's own parameters."""
    return call_text("model", _names(case), {name: name for name in case.kwargs}, options)


def capture_of(case: Case, options: Mapping[str, Any]) -> str:
    """The call of `torch.export.export` that captures the model, with these options of its own."""
    call = "program = torch.export.export"
    return call_text("model", _names(case), {n: n for n in case.kwargs}, options, call=call)


def _names(case: Case) -> list[str]:
    """What the positional inputs are called."""
    found = forward_signature(case.model)
    names = list(found.parameters) if found is not None else []
    names += [f"input_{position}" for position in range(len(names), len(case.args))]
    return names[: len(case.args)]
