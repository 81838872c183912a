"""One thing that is wrong with an export request, and the words to say it."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

from onnx_debug.data.request_fault import RequestFault
from onnx_debug.request.dims import is_hint

_BY_OPTION = {
    "custom_translation_table": RequestFault.TABLE,
    "dynamic_axes": RequestFault.AXES,
    "dynamic_shapes": RequestFault.STRUCTURE,
    "dynamo": RequestFault.SCRIPT,
    "input_names": RequestFault.BORDER,
    "opset_version": RequestFault.OPSET,
    "output_names": RequestFault.BORDER,
}


@dataclass(frozen=True)
class Problem:
    """One wrong entry of a request.

    Attributes:
        option: the argument of `torch.onnx.export` that holds it: "dynamic_shapes", "args", …
        entry: the wrong entry, as the user would write it: "dynamic_shapes['users']".
        found: what stands there, in plain words.
        expected: what was expected, in plain words.
        special: the kind of mistake, where the option does not tell it.
    """

    option: str
    entry: str
    found: str
    expected: str
    special: RequestFault | None = None

    @property
    def fault(self) -> RequestFault | None:
        """The kind of mistake."""
        return self.special or _BY_OPTION.get(self.option)

    def __str__(self) -> str:
        """One plain line, entry first."""
        return f"{self.entry}: {self.found}; expected {self.expected}"


def describe(value: Any) -> str:
    """A value in a few plain words."""
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {list(value.shape)}"
    if is_hint(value):
        return f"Dim.{value.type.name}"
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return f"the named tuple {type(value).__name__}"
    if isinstance(value, list | tuple | dict | set) and len(value) > 1:
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, type):
        return f"the class {value.__name__} itself"
    return reprlib.repr(value)


def count(number: int, noun: str) -> str:
    """A number and its noun, in the plural where it must be."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun.removesuffix('y')}ies" if noun.endswith("y") else f"{number} {noun}s"


def quoted(names: Iterable[Any]) -> str:
    """Names as a list in a sentence."""
    return ", ".join(repr(name) for name in names)
