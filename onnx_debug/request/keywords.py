"""The single options: the names of inputs and outputs, the opset, the translation table. What is wrong with each, and what was meant."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import onnx
import torch
from torch import nn

from onnx_debug.data.request_fault import RequestFault
from onnx_debug.request.inputs import Inputs, names_of
from onnx_debug.request.problem import Problem, describe, quoted
from onnx_debug.request.surroundings import own_export

FIRST_OPSET = 7
OLDEST_DEFAULT_OPSET = 18  # of the exporters of torch 2.9; later ones ask for this or a newer one
# The legacy exporter is not developed any further; 24 raises on torch 2.13.
_LAST_LEGACY_OPSET = 23
_TABLE = "custom_translation_table"
_Overload = type(torch.ops.aten.relu.default)
_Packet = type(torch.ops.aten.relu)


def known_options() -> list[str]:
    """The keywords of torch.onnx.export that are options of the export, not the case itself."""
    parameters = inspect.signature(own_export()).parameters
    return [name for name in parameters if name not in ("model", "args", "f", "kwargs")]


def keyword_problems(
    model: Any, inputs: Inputs | None, options: Mapping[str, Any], *, dynamo: bool
) -> Iterator[Problem]:
    """Wrong options, one by one."""
    if dynamo and isinstance(model, torch.jit.ScriptModule):
        expected = "dynamo=False, or the model as it was before torch.jit"
        yield Problem("dynamo", "dynamo", "True, for a ScriptModule", expected)
    if options.get("dynamic_shapes") and not dynamo:
        found = "given together with dynamo=False"
        expected = "dynamic_axes with input_names, or dynamo=True: the legacy exporter takes no dynamic_shapes"
        fault = RequestFault.SHAPES_LEGACY
        yield Problem("dynamic_shapes", "dynamic_shapes", found, expected, fault)
    yield from _opset_problems(options.get("opset_version"), dynamo=dynamo)
    yield from _table_problems(options.get(_TABLE), dynamo=dynamo)
    for option in ("input_names", "output_names"):
        yield from _name_problems(option, options.get(option))
    taken, names = names_of(options, "input_names"), names_of(options, "output_names")
    for name in dict.fromkeys(names):
        if name in taken and dynamo:
            # Exported without a word; ONNX Runtime then refuses the file.
            entry = f"output_names[{names.index(name)}]"
            found = f"{name!r}, which input_names has too"
            yield Problem("output_names", entry, found, "a name of its own")
    most = _most_inputs(model, inputs, options, dynamo=dynamo)
    if most is not None and len(taken) > most:
        found = f"{quoted(taken[most:])}, for which nothing is left"
        expected = f"at most {most}: the graph has {most} input{'s' * (most != 1)}"
        yield Problem("input_names", f"input_names[{most}:]", found, expected)


def mended_keywords(
    model: Any, inputs: Inputs, options: Mapping[str, Any], wrong: set[str], *, dynamo: bool
) -> dict[str, Any]:
    """The options with those in `wrong` as they were meant, or left out so that torch's own default holds."""
    new = dict(options) | ({"dynamo": False} if "dynamo" in wrong else {})
    if "opset_version" in wrong:
        _mend_opset(new, dynamo=dynamo)
    if _TABLE in wrong:
        _mend_table(new, dynamo=dynamo)
    most = _most_inputs(model, inputs, options, dynamo=dynamo)
    for option in ("input_names", "output_names"):
        given = new.pop(option) if option in wrong else None
        listed = [given] if isinstance(given, str) else given
        names = list(listed) if isinstance(listed, list | tuple) else []
        names = names[:most] if option == "input_names" else names
        taken = set(names_of(new, "input_names")) if option == "output_names" else set()
        texts = all(isinstance(name, str) for name in names)
        if names and texts and len({*names, *taken}) == len(names) + len(taken):
            new[option] = names
    return new


def last_opset(*, dynamo: bool) -> int:
    """The newest opset that can be asked for."""
    newest = onnx.defs.onnx_opset_version()
    return newest if dynamo else min(newest, _LAST_LEGACY_OPSET)


def _opset_problems(version: Any, *, dynamo: bool) -> Iterator[Problem]:
    """The new exporter keeps the opset that it has where it cannot have another; the legacy one writes files of opset 1 to 6."""
    last = last_opset(dynamo=dynamo)
    number = isinstance(version, int) and not isinstance(version, bool)
    if version is not None and not (number and FIRST_OPSET <= version <= last):
        found = describe(version)
        expected = f"an int from {FIRST_OPSET} to {last}"
        yield Problem("opset_version", "opset_version", found, expected)


def _mend_opset(options: dict[str, Any], *, dynamo: bool) -> None:
    version = options.pop("opset_version")
    if isinstance(version, str) and version.strip().isdecimal():
        version = int(version)
    if isinstance(version, bool) or not isinstance(version, int | float) or version != version // 1:
        return
    if version >= FIRST_OPSET:
        options["opset_version"] = int(min(version, last_opset(dynamo=dynamo)))


def _table_problems(table: Any, *, dynamo: bool) -> Iterator[Problem]:
    if table is None:
        return
    if not dynamo:
        found = "given together with dynamo=False, which ignores it"
        yield Problem(_TABLE, _TABLE, found, "torch.onnx.register_custom_op_symbolic")
        return
    if not isinstance(table, Mapping):
        yield Problem(_TABLE, _TABLE, describe(table), "a dict {operator: function}")
        return
    for op, function in table.items():
        entry = f"{_TABLE}[{spell_op(op)}]"
        if isinstance(op, str):
            found = "an operator's name as a string, which matches nothing"
            expected = "the operator itself, such as torch.ops.aten.relu.default"
            yield Problem(_TABLE, entry, found, expected)
        elif isinstance(op, _Packet):
            found = "an operator without its overload"
            yield Problem(_TABLE, entry, found, f"{spell_op(op)}.default")
        if not callable(function):
            expected = "a function that builds the ONNX nodes"
            yield Problem(_TABLE, entry, describe(function), expected)


def _mend_table(options: dict[str, Any], *, dynamo: bool) -> None:
    table = options.pop(_TABLE)
    kept = {}
    for op, function in table.items() if dynamo and isinstance(table, Mapping) else ():
        single = isinstance(function, list | tuple) and len(function) == 1
        chosen = function[0] if single else function
        if callable(chosen) and not isinstance(op, str):
            kept[getattr(op, "default", op)] = chosen
    if kept:
        options[_TABLE] = kept


def spell_op(op: Any) -> str:
    """An operator as Python source."""
    if isinstance(op, (_Overload, _Packet)):
        return f"torch.ops.{op}"
    return repr(op) if isinstance(op, str) else str(getattr(op, "__name__", op))


def _name_problems(option: str, names: Any) -> Iterator[Problem]:
    if isinstance(names, str):
        found = f"the string {names!r}, which is read letter by letter"
        yield Problem(option, option, found, f"a list: [{names!r}]")
    elif names is not None and not isinstance(names, list | tuple):
        yield Problem(option, option, describe(names), "a list of names")
    else:
        for index, name in enumerate(names or ()):
            if not isinstance(name, str):
                yield Problem(option, f"{option}[{index}]", describe(name), "a name, as a string")
        for name, times in Counter(names_of({option: names}, option)).items():
            if times > 1:
                found = f"{name!r} {times} times"
                yield Problem(option, option, found, "a different name for each")


def _most_inputs(
    model: Any, inputs: Inputs | None, options: Mapping[str, Any], *, dynamo: bool
) -> int | None:
    """How many inputs the graph can have; None: they cannot be counted."""
    if inputs is None or inputs.has_opaque:
        return None
    if dynamo:
        numbers = sum(isinstance(leaf.value, int) for leaf in inputs.leaves)
        return len(inputs.graph_inputs) + (numbers if options.get("dynamic_shapes") else 0)
    # The legacy exporter goes on with the parameters, after the inputs.
    parameters = len(model.state_dict(keep_vars=True)) if isinstance(model, nn.Module) else 0
    return len(inputs.traced_inputs) + parameters
