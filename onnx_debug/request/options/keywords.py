"""What is wrong with the single options: names that torch.onnx.export does not know, the opset, the translation table."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import onnx
import torch

from onnx_debug.request.options.inputs import describe
from onnx_debug.request.options.problem import Problem

FIRST_OPSET = 7
# The legacy exporter is not developed any further; 24 raises on torch 2.13.
_LAST_LEGACY_OPSET = 23
_Overload = type(torch.ops.aten.relu.default)
_Packet = type(torch.ops.aten.relu)


def known_options() -> list[str]:
    """The keywords of torch.onnx.export."""
    return [
        name
        for name in inspect.signature(torch.onnx.export).parameters
        if name not in ("model", "args")
    ]


def last_opset(*, dynamo: bool) -> int:
    """The newest opset that can be asked for."""
    newest = onnx.defs.onnx_opset_version()
    return newest if dynamo else min(newest, _LAST_LEGACY_OPSET)


def keyword_problems(options: Mapping[str, Any], *, dynamo: bool) -> Iterator[Problem]:
    """Wrong options, one by one."""
    for name in options:
        if name not in known_options():
            close = difflib.get_close_matches(str(name), known_options(), n=1)
            yield Problem(
                str(name),
                str(name),
                "no option of torch.onnx.export",
                repr(close[0]) if close else "no such option",
            )
    if options.get("dynamic_shapes") and not dynamo:
        expected = "dynamic_axes with input_names, or dynamo=True: the legacy exporter takes no dynamic_shapes"
        yield Problem(
            "dynamic_shapes", "dynamic_shapes", "given together with dynamo=False", expected
        )
    yield from _opset(options.get("opset_version"), dynamo=dynamo)
    yield from _table(options.get("custom_translation_table"), dynamo=dynamo)


def _opset(version: Any, *, dynamo: bool) -> Iterator[Problem]:
    last = last_opset(dynamo=dynamo)
    expected = f"an int from {FIRST_OPSET} to {last}"
    if version is None:
        return
    if not isinstance(version, int) or isinstance(version, bool):
        silent = isinstance(version, bool) or (dynamo and isinstance(version, float))
        yield Problem("opset_version", "opset_version", describe(version), expected, silent=silent)
    elif not FIRST_OPSET <= version <= last:
        # the new exporter then keeps the opset it has; the legacy one writes a model of opset 1 to
        # 6
        yield Problem(
            "opset_version",
            "opset_version",
            str(version),
            expected,
            silent=dynamo or 0 < version < FIRST_OPSET,
        )


def _table(table: Any, *, dynamo: bool) -> Iterator[Problem]:
    option = "custom_translation_table"
    if table is None:
        return
    if not dynamo:
        found = "given together with dynamo=False, which ignores it"
        yield Problem(option, option, found, "torch.onnx.register_custom_op_symbolic", silent=True)
        return
    if not isinstance(table, Mapping):
        yield Problem(option, option, describe(table), "a dict {operator: function}")
        return
    for op, function in table.items():
        entry = f"{option}[{spell_op(op)}]"
        if isinstance(op, str):
            expected = "the operator itself, such as torch.ops.aten.relu.default"
            yield Problem(
                option,
                entry,
                "an operator's name as a string, which matches nothing",
                expected,
                silent=True,
            )
        elif isinstance(op, _Packet):
            yield Problem(
                option, entry, "an operator without its overload", f"{spell_op(op)}.default"
            )
        if not callable(function):
            yield Problem(
                option, entry, describe(function), "a function that builds the ONNX nodes"
            )


def spell_op(op: Any) -> str:
    """An operator as Python source."""
    if isinstance(op, (_Overload, _Packet)):
        return f"torch.ops.{op}"
    return repr(op) if isinstance(op, str) else str(getattr(op, "__name__", op))
