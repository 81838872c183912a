"""The functions that a module's class defines, and the lines at which they stand."""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterable, Iterator
from typing import Any

from torch import nn

from onnx_debug.data.failure import Source
from onnx_debug.explain import syntax
from onnx_debug.explain.installed import is_library
from onnx_debug.torch_private import modules

Span = tuple[str, int, int]


def spans(members: Iterable[Any]) -> Iterator[Span]:
    """(file, first line, last line) of all functions among the attributes of a class or of a module.

    A decorated function counts together with the function that decorates it, unless that one is a
    library's: every function under `torch.no_grad` runs through the same lines.
    """
    for member in members:
        function = member.fget if isinstance(member, property) else member
        *outer, inner = _layers(getattr(function, "__func__", function))
        user = [layer for layer in outer if not is_library(layer.__code__.co_filename)]
        for layer in (*user, inner):
            code = getattr(layer, "__code__", None)
            if isinstance(code, types.CodeType):
                numbers = list(_line_numbers(code))
                yield code.co_filename, min(numbers, default=0), max(numbers, default=-1)


def _layers(function: Any) -> list[Any]:
    """A function, after the functions that decorate it, outermost first."""
    found = [function]
    while isinstance(function, types.FunctionType) and hasattr(function, "__wrapped__"):
        function = function.__wrapped__
        found.append(function)
    return found


def _line_numbers(code: types.CodeType) -> Iterator[int]:
    """All lines of a function, those of nested functions included."""
    yield from (line for _, _, line in code.co_lines() if line)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _line_numbers(constant)


def unseen(module: nn.Module) -> Source | None:
    """The line of a module's only function that a capture's stack traces leave out: a hook, or a forward of another name."""
    given = [
        *modules.forward_hooks(module),
        *(held for name, held in vars(module).items() if name == "forward"),
    ]
    functions = [
        inspect.unwrap(getattr(held, "__func__", held))
        if inspect.isroutine(held)
        else type(held).__call__
        for held in given
    ]
    user = [
        found
        for found in functions
        if isinstance(found, types.FunctionType) and not is_library(found.__code__.co_filename)
    ]
    if len(user) != 1:
        return None
    code = user[0].__code__
    return syntax.only_return(user[0]) or syntax.source_at(
        code.co_filename, code.co_firstlineno, code.co_name
    )
