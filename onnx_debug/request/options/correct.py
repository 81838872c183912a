"""The request that the user evidently meant: a guess, to be proven by exporting it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from onnx_debug.request.options.inputs import Inputs
from onnx_debug.request.options.keywords import FIRST_OPSET, known_options, last_opset
from onnx_debug.request.options.meaning import UnclearError
from onnx_debug.request.options.mend_axes import (
    Options,
    axes_to_shapes,
    mend_legacy_axes,
    shapes_to_axes,
)
from onnx_debug.request.options.mend_shapes import mend_shapes
from onnx_debug.request.options.problem import Problem


def mend(
    inputs: Inputs, options: Mapping[str, Any], found: Sequence[Problem], *, dynamo: bool
) -> Options:
    """One round of corrections for the options that `found` names.

    Raises:
        UnclearError: what the user meant cannot be told.
    """
    wrong = {problem.option for problem in found}
    new = _rename_unknown(options)
    if "opset_version" in wrong:
        _mend_opset(new, dynamo=dynamo)
    if "custom_translation_table" in wrong:
        _mend_table(new, dynamo=dynamo)
    for option in ("input_names", "output_names"):
        if option in wrong:
            _mend_names(new, option, found)
    if "dynamic_shapes" in wrong:
        new = (
            {**new, "dynamic_shapes": mend_shapes(inputs, new["dynamic_shapes"], new)}
            if dynamo
            else shapes_to_axes(inputs, new)
        )
    elif "dynamic_axes" in wrong:
        new = axes_to_shapes(inputs, new) if dynamo else mend_legacy_axes(inputs, new)
    return new


def _rename_unknown(options: Mapping[str, Any]) -> Options:
    known = known_options()
    new = {name: value for name, value in options.items() if name in known}
    for name, value in options.items():
        if name not in known:
            close = difflib.get_close_matches(str(name), known, n=1)
            if close:
                new.setdefault(close[0], value)
    return new


def _mend_opset(options: Options, *, dynamo: bool) -> None:
    version = options.pop("opset_version")
    if isinstance(version, str) and version.strip().isdigit():
        version = int(version)
    if isinstance(version, float) and version.is_integer():
        version = int(version)
    if isinstance(version, int) and version > last_opset(dynamo=dynamo):
        version = last_opset(dynamo=dynamo)
    if isinstance(version, int) and not isinstance(version, bool) and version >= FIRST_OPSET:
        options["opset_version"] = version  # else torch's own default


def _mend_table(options: Options, *, dynamo: bool) -> None:
    table = options.pop("custom_translation_table")
    if not dynamo or not isinstance(table, Mapping):
        return
    single = {
        op: function[0] if isinstance(function, list | tuple) and len(function) == 1 else function
        for op, function in table.items()
    }
    kept = {
        getattr(op, "default", op): function
        for op, function in single.items()
        if callable(function) and not isinstance(op, str)
    }
    if kept:
        options["custom_translation_table"] = kept


def _mend_names(options: Options, option: str, found: Sequence[Problem]) -> None:
    names = options.pop(option)
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list | tuple):
        return
    start = f"{option}["
    spare = [
        int(p.entry[len(start) : -2])
        for p in found
        if p.entry.startswith(start) and p.entry.endswith(":]")
    ]
    names = list(names[: spare[0]] if spare else names)
    taken = set(options.get("input_names") or ()) if option == "output_names" else set()
    if (
        names
        and all(isinstance(name, str) for name in names)
        and len({*names, *taken}) == len(names) + len(taken)
    ):
        options[option] = names  # else torch's own names


__all__ = ["UnclearError", "mend"]
