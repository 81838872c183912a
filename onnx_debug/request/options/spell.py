"""A `torch.onnx.export` call as Python source, ready to paste."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping, Sequence
from typing import Any

from onnx_debug.request.options.dims import bounds, is_derived, is_hint, is_named
from onnx_debug.request.options.inputs import children, identifier, is_namedtuple
from onnx_debug.request.options.keywords import spell_op

_WIDTH = 100


def call_text(
    model: str, args: Sequence[str], kwargs: Mapping[str, str], options: Mapping[str, Any]
) -> str:
    """The call, after the imports and Dims that it needs.

    Args:
        model: the model, as the user writes it.
        args: the positional arguments, as the user writes them; `*xs` and the like are fine.
        kwargs: the keyword arguments, by name.
        options: `torch.onnx.export`'s keywords as values; "f" among them is spelled like any other.

    What has no source of its own (a function without a name) is spelled `...`, to be filled in.
    """
    spelling = _Spelling({identifier(text) for text in (model, *args, *kwargs.values())})
    lines = [f"{model},", f"({', '.join(args)}{',' if len(args) == 1 else ''}),"]
    if kwargs:
        lines.append(
            "kwargs={"
            + ", ".join(f"{_double_quoted(name)}: {text}" for name, text in kwargs.items())
            + "},"
        )
    lines += [f"{name}={spelling.value(value)}," for name, value in options.items()]
    call = _one_line(lines)
    head = (
        [f"from torch.export import {', '.join(sorted(spelling.imports))}", ""]
        if spelling.imports
        else []
    )
    dims = [f"{name} = {text}" for name, text in spelling.dims.items()]
    return "\n".join([*head, *dims, call]) + "\n"


def _one_line(lines: list[str]) -> str:
    short = f"torch.onnx.export({' '.join(lines).removesuffix(',')})"
    return (
        short
        if len(short) <= _WIDTH
        else "\n".join(["torch.onnx.export(", *(f"    {line}" for line in lines), ")"])
    )


class _Spelling:
    """Values as source, and what must stand above them.

    Attributes:
        imports: names from torch.export.
        dims: the Dim variables, by name, in the order of their first use.
    """

    def __init__(self, taken: set[str]) -> None:
        self.imports: set[str] = set()
        self.dims: dict[str, str] = {}
        self._taken = taken | {"torch", "Dim"}

    def value(self, value: Any) -> str:
        """One value as source."""
        if is_hint(value):
            return self._hint(value)
        if is_named(value):
            return self._derived(value) if is_derived(value) else self._named(value)
        inside = children(value)
        if inside is not None:
            return self._container(value, inside)
        if value is None or isinstance(value, bool | int | float | str | bytes):
            return repr(value) if not isinstance(value, str) else _double_quoted(value)
        text = spell_op(value)
        return (
            text
            if re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", text) and not keyword.iskeyword(text)
            else "..."
        )

    def _container(self, value: Any, inside: dict[Any, Any]) -> str:
        if is_namedtuple(value):
            return f"{type(value).__name__}({', '.join(f'{key}={self.value(child)}' for key, child in inside.items())})"
        if isinstance(value, dict):
            return (
                "{"
                + ", ".join(
                    f"{self.value(key)}: {self.value(child)}" for key, child in inside.items()
                )
                + "}"
            )
        items = ", ".join(self.value(child) for child in value)
        return (
            f"[{items}]"
            if isinstance(value, list)
            else f"({items}{',' if len(value) == 1 else ''})"
        )

    def _hint(self, dim: Any) -> str:
        self.imports.add("Dim")
        return f"Dim.{dim.type.name}{_bounds_text(dim)}"

    def _named(self, dim: Any) -> str:
        self.imports.add("Dim")
        limits = _bounds_text(dim).strip("()")
        text = f"Dim({', '.join(filter(None, [_double_quoted(dim.__name__), limits]))})"
        name: str = dim.__name__
        while name in self._taken or keyword.iskeyword(name) or self.dims.get(name, text) != text:
            name += "_"
        self.dims[name] = text
        return name

    def _derived(self, dim: Any) -> str:
        root = self._named(dim.root)
        text: str = re.sub(rf"\b{re.escape(dim.root.__name__)}\b", root, dim.__name__)
        return text


def _bounds_text(dim: Any) -> str:
    low, high = bounds(dim)
    given = [f"min={low}"] if low else []
    given += [f"max={high}"] if high is not None else []
    return f"({', '.join(given)})" if given else ""


def _double_quoted(text: str) -> str:
    plain = repr(text)
    return f'"{plain[1:-1]}"' if plain.startswith("'") and '"' not in plain else plain
