"""Arguments that do not fit the model's `forward`, one line for each, with the argument's name."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterator
from typing import Any

import torch

from onnx_debug.request.options.inputs import describe, forward_signature, quoted, split_arguments
from onnx_debug.request.options.problem import Problem


def argument_problems(model: Any, args: Any, kwargs: Any) -> Iterator[Problem]:
    """What is wrong with `args` and `kwargs`."""
    signature = forward_signature(model)
    if signature is None:
        return
    if not isinstance(args, tuple | torch.Tensor):
        yield Problem(
            "args", "args", f"a {type(args).__name__}", "a tuple of the positional arguments: (x,)"
        )
        return
    positional, keywords = split_arguments(args, kwargs)
    if _fits(signature, positional, keywords):
        return
    if len(positional) < len(args) and _fits(signature, tuple(args), {}):
        expected = "kwargs={'name': the dict}, or a further {} after it: torch takes a dict at the end of args for the keyword arguments"
        yield Problem(
            "args",
            f"args[{len(args) - 1}]",
            "a dict that is meant as a positional argument",
            expected,
        )
        return
    yield from _misfits(signature, positional, keywords)


def _fits(signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        return False
    return True


def _misfits(
    signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Iterator[Problem]:
    parameters = list(signature.parameters.values())
    takes = f"forward{signature}"
    by_position = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(args) > len(by_position) and not any(p.kind is p.VAR_POSITIONAL for p in parameters):
        most = len(by_position)
        yield Problem(
            "args",
            f"args[{most}]",
            f"{describe(args[most])}, one argument too many",
            f"at most {most} for {takes}",
        )
    yield from _wrong_keywords(parameters, by_position[: len(args)], kwargs, takes)
    given = {p.name for p in by_position[: len(args)]} | set(kwargs)
    for parameter in parameters:
        required = parameter.default is parameter.empty and parameter.kind not in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        )
        if required and parameter.name not in given:
            yield Problem(
                "args",
                f"argument {parameter.name!r}",
                "not given",
                f"a value, because {takes} needs it",
            )


def _wrong_keywords(
    parameters: list[inspect.Parameter],
    taken: list[inspect.Parameter],
    kwargs: dict[str, Any],
    takes: str,
) -> Iterator[Problem]:
    catches_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    allowed = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    free = [name for name in allowed if name not in {p.name for p in taken} and name not in kwargs]
    for name in kwargs:
        if name in {p.name for p in taken} & set(allowed):
            yield Problem(
                "kwargs",
                f"kwargs[{name!r}]",
                "also given by position, in args",
                f"one value for each argument of {takes}",
            )
        elif name not in allowed and not catches_any:
            close = difflib.get_close_matches(str(name), free, n=1)
            expected = (
                repr(close[0])
                if close
                else f"one of {quoted(free)}"
                if free
                else "no such entry: every argument is given"
            )
            yield Problem("kwargs", f"kwargs[{name!r}]", f"no argument of {takes}", expected)
