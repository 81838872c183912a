"""What is wrong with an export request, and the request that was meant."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar

from onnx_debug.request.options.arguments import argument_problems
from onnx_debug.request.options.axes import axes_problems
from onnx_debug.request.options.correct import UnclearError, mend
from onnx_debug.request.options.inputs import read_inputs
from onnx_debug.request.options.keywords import keyword_problems
from onnx_debug.request.options.names import name_problems
from onnx_debug.request.options.problem import Problem
from onnx_debug.request.options.shapes import shape_problems
from onnx_debug.request.options.spell import call_text

__all__ = ["Problem", "call_text", "corrected", "problems"]

_Answer = TypeVar("_Answer")
# A correction can uncover the next problem: an option whose name was mistyped is looked into only
# under its right name.
_ROUNDS = 3


def problems(
    model: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    options: dict[str, Any],
    *,
    dynamo: bool,
    output_count: int | None = None,
) -> list[Problem]:
    """What is wrong with this request, by inspection alone; empty when nothing is, as far as can be told.

    Args:
        options: `torch.onnx.export`'s keywords, as the user gave them.
        output_count: how many tensors the model returns, if known; without it, output_names are not
            counted.
    """
    inputs = _guarded(lambda: read_inputs(model, args, kwargs))
    checks: list[Callable[[], Iterable[Problem]]] = [
        lambda: argument_problems(model, args, kwargs),
        lambda: keyword_problems(options, dynamo=dynamo),
        lambda: name_problems(model, inputs, options, dynamo=dynamo, output_count=output_count),
    ]
    if inputs is not None:
        if dynamo:
            checks.append(lambda: shape_problems(inputs, options.get("dynamic_shapes"), options))
        checks.append(
            lambda: axes_problems(inputs, options.get("dynamic_axes"), options, dynamo=dynamo)
        )
    found: list[Problem] = []
    for check in checks:
        found += _guarded(partial(_all_of, check)) or ()
    return found


def _all_of(check: Callable[[], Iterable[Problem]]) -> list[Problem]:
    return list(check())


def corrected(
    model: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    options: dict[str, Any],
    *,
    dynamo: bool,
    output_count: int | None = None,
) -> dict[str, Any] | None:
    """The options that ask for what the user evidently meant: a guess, no fix before it was exported.

    None when nothing is wrong, or when what was meant cannot be told.
    """

    def inspect(wanted: dict[str, Any]) -> list[Problem]:
        return problems(model, args, kwargs, wanted, dynamo=dynamo, output_count=output_count)

    return _guarded(lambda: _corrected(model, args, kwargs, options, inspect, dynamo=dynamo))


def _corrected(
    model: Any,
    args: Any,
    kwargs: Any,
    options: dict[str, Any],
    inspect: Callable[[dict[str, Any]], list[Problem]],
    *,
    dynamo: bool,
) -> dict[str, Any] | None:
    new, found = dict(options), inspect(options)
    inputs = read_inputs(model, args, kwargs)
    if not found or inputs is None:
        return None
    try:
        for _ in range(_ROUNDS):
            new = mend(inputs, new, found, dynamo=dynamo)
            found = inspect(new)
            if not found:
                return new
    except UnclearError:
        pass
    return None


def _guarded(ask: Callable[[], _Answer]) -> _Answer | None:
    try:
        return ask()
    except Exception:  # noqa: BLE001 - the request holds anything the user typed; what cannot be inspected is not known to be wrong
        return None
