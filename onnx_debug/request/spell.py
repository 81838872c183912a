"""A call that exports or captures, as Python source, ready to paste."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping, Sequence
from typing import Any

from onnx_debug.request.dims import bounds, is_derived, is_hint, is_named
from onnx_debug.request.inputs import children, is_namedtuple
from onnx_debug.request.keywords import spell_op

_WIDTH = 100
_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


def call_text(
    model: str,
    args: Sequence[str] | None,
    kwargs: Mapping[str, str],
    options: Mapping[str, Any],
    *,
    call: str = "torch.onnx.export",
) -> str:
    """The call, after the imports and Dims that it needs.

    Args:
        model: the model, as the user writes it.
        args: the positional arguments, as the user writes them; `*xs` and the like are fine. None:
            the call takes none.
        kwargs: the keyword arguments, by name.
        options: its keywords as values; "f" among them is spelled like any other.
        call: what is called.

    What has no source of its own (a function without a name) is spelled `...`, to be filled in.
    """
    spelling = _Spelling({identifier(text) for text in (model, *(args or ()), *kwargs.values())})
    lines = [f"{model},"]
    if args is not None:
        lines.append(f"({', '.join(args)}{',' * (len(args) == 1)}),")
    if kwargs:
        given = ", ".join(f"{_double_quoted(name)}: {text}" for name, text in kwargs.items())
        lines.append(f"kwargs={{{given}}},")
    lines += [f"{name}={spelling.value(value)}," for name, value in options.items()]
    text = f"{call}({' '.join(lines).removesuffix(',')})"
    if len(text) > _WIDTH:
        text = "\n".join([f"{call}(", *(f"    {line}" for line in lines), ")"])
    imports = [f"from torch.export import {', '.join(spelling.imports)}", ""]
    dims = [f"{name} = {text}" for name, text in spelling.dims.items()]
    return "\n".join([*(imports if spelling.imports else ()), *dims, text]) + "\n"


def identifier(name: str) -> str:
    """`name` as a Python identifier."""
    word = re.sub(r"\W", "_", name)
    return word if word.isidentifier() else f"_{word}"


class _Spelling:
    """Values as source, and what must stand above them.

    Attributes:
        imports: names from torch.export.
        dims: the Dim variables, by name, in the order of their first use.
    """

    def __init__(self, taken: set[str]) -> None:
        self.imports: dict[str, None] = {}
        self.dims: dict[str, str] = {}
        self._taken = taken | {"torch", "Dim"}

    def value(self, value: Any) -> str:
        """One value as source."""
        if is_hint(value) or is_named(value):
            return self._dim(value)
        inside = children(value)
        if inside is not None:
            return self._container(value, inside)
        if isinstance(value, str):
            return _double_quoted(value)
        if value is None or isinstance(value, bool | int | float | bytes):
            return repr(value)
        text = spell_op(value)
        return text if _DOTTED.fullmatch(text) and not keyword.iskeyword(text) else "..."

    def _container(self, value: Any, inside: dict[Any, Any]) -> str:
        items = [self.value(child) for child in inside.values()]
        if is_namedtuple(value):
            named = [f"{key}={item}" for key, item in zip(inside, items, strict=True)]
            return f"{type(value).__name__}({', '.join(named)})"
        if isinstance(value, dict):
            pairs = [f"{self.value(key)}: {item}" for key, item in zip(inside, items, strict=True)]
            return f"{{{', '.join(pairs)}}}"
        if isinstance(value, list):
            return f"[{', '.join(items)}]"
        return f"({', '.join(items)}{',' * (len(items) == 1)})"

    def _dim(self, dim: Any) -> str:
        self.imports["Dim"] = None
        if is_derived(dim):
            root = self._dim(dim.root)
            return re.sub(rf"\b{re.escape(dim.root.__name__)}\b", root, dim.__name__)
        low, high = bounds(dim)
        limits = [f"min={low}"] if low else []
        limits += [f"max={high}"] if high is not None else []
        if is_hint(dim):
            return f"Dim.{dim.type.name}" + (f"({', '.join(limits)})" if limits else "")
        text = f"Dim({', '.join([_double_quoted(dim.__name__), *limits])})"
        name: str = dim.__name__
        while name in self._taken or keyword.iskeyword(name) or self.dims.get(name, text) != text:
            name += "_"
        self.dims[name] = text
        return name


def _double_quoted(text: str) -> str:
    plain = repr(text)
    return f'"{plain[1:-1]}"' if plain.startswith("'") and '"' not in plain else plain
