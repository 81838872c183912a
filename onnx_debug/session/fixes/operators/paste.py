"""A decomposition as a cell that a user pastes: the functions, and the lines that export with them."""

from __future__ import annotations

import ast
import builtins
import inspect
import re
import textwrap
import types
from collections.abc import Callable
from functools import partial
from typing import Any

from onnx_debug.session.fixes.operators import catalogue
from onnx_debug.session.fixes.operators.decomposition import Decomposition

CAPTURE = "program = torch.export.export(model, args)"
WRITE = 'torch.onnx.export(program, f="model.onnx")'


def paste(*entries: Decomposition, capture: str = CAPTURE, write: str = WRITE) -> str:
    """One self-contained cell, of public API only.

    Args:
        entries: what to export with.
        capture: the lines that capture the model as `program`; dynamic shapes belong there.
        write: the call that writes `program`; names and opset belong there.
    """
    cell = _Cell()
    lines = [
        f"    {target}: {cell.expression(entry.function)},"
        for entry in entries
        for target in map(_spelled, entry.targets)
    ]
    steps = [
        "decompositions = {",
        *lines,
        "}",
        capture.strip(),
        "program = program.run_decompositions(decompositions)",
        write.strip(),
    ]
    imports = "\n".join(sorted(cell.imports, key=lambda line: (line.startswith("from"), line)))
    return "\n\n\n".join([imports, *cell.definitions.values(), "\n".join(steps)]) + "\n"


class _Cell:
    """What the cell must hold, collected from the functions that are used in it."""

    def __init__(self) -> None:
        self.imports = {"import torch"}
        self.definitions: dict[str, str] = {}

    def expression(self, function: Callable[..., Any]) -> str:
        """How the function is written in the table; it is defined above."""
        if not isinstance(function, partial):
            self.define(function)
            return function.__name__
        self.imports.add("from functools import partial")
        self.define(function.func)
        return f"partial({function.func.__name__}, {', '.join(map(_spelled, function.args))})"

    def define(self, function: Any) -> None:
        """Put down the source of a function, after that of all it names."""
        if function.__name__ in self.definitions:
            return
        source = textwrap.dedent(inspect.getsource(function)).rstrip()
        for name in _names(source):
            if name != function.__name__ and name in function.__globals__:
                self.require(name, function.__globals__[name])
        self.definitions[function.__name__] = _without_directives(source)

    def require(self, name: str, value: Any) -> None:
        """Import what is of torch or Python, define what is of the catalogue."""
        if isinstance(value, types.ModuleType):
            found = value.__name__
            self.imports.add(f"import {found}" + ("" if found == name else f" as {name}"))
        elif value.__module__.startswith(f"{catalogue.__name__}."):
            self.define(value)
        else:
            self.imports.add(f"from {value.__module__} import {name}")


def _names(source: str) -> list[str]:
    """All names in a source, in order, annotations included."""
    names = (node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name))
    return [name for name in dict.fromkeys(names) if not hasattr(builtins, name)]


def _without_directives(source: str) -> str:
    """The source without what is meant for linters."""
    return re.sub(r" +# (noqa|type: ignore)\b.*$", "", source, flags=re.MULTILINE)


def _spelled(target: Any) -> str:
    """An operator as Python names it."""
    return f"torch.ops.{target}"
