"""What is wrong with `dynamic_axes`, the older spelling: keyed by input and output names, not by arguments.

The legacy exporter ignores names that it does not know, and dies of an index that the tensor does
not have. With dynamo=True the entries become dynamic_shapes by their order alone, and only when
there is exactly one for each input.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from onnx_debug.request.options.inputs import Inputs, Leaf, count, describe, quoted
from onnx_debug.request.options.problem import Problem

_OPTION = "dynamic_axes"
_OUTPUT = re.compile(r"out|logit|pred|prob|result|score|hidden_state|^y$")


def looks_like_output(name: str) -> bool:
    """Whether people call an output so."""
    return _OUTPUT.search(name.lower()) is not None


def axes_problems(
    inputs: Inputs, dynamic_axes: Any, options: Mapping[str, Any], *, dynamo: bool
) -> Iterator[Problem]:
    """What the exporter would refuse, or quietly ignore."""
    if dynamic_axes is None or (dynamo and options.get("dynamic_shapes") is not None):
        return  # dynamic_shapes wins
    if not isinstance(dynamic_axes, Mapping):
        yield Problem(_OPTION, _OPTION, describe(dynamic_axes), "a dict {name: {index: axis name}}")
    elif dynamo:
        yield from _converted(inputs, dynamic_axes, options)
    else:
        yield from _traced(inputs, dynamic_axes, options)


def _traced(
    inputs: Inputs, dynamic_axes: Mapping[str, Any], options: Mapping[str, Any]
) -> Iterator[Problem]:
    input_names, output_names = names_of(options, "input_names"), names_of(options, "output_names")
    by_name = dict(zip(input_names, inputs.traced_inputs, strict=False))
    for key, axes in dynamic_axes.items():
        entry = f"{_OPTION}[{key!r}]"
        if key not in input_names and key not in output_names:
            names = [*input_names, *output_names]
            expected = (
                f"one of {quoted(names)}"
                if names
                else "the same name in input_names or output_names"
            )
            yield Problem(
                _OPTION, entry, "a name that no input or output is given", expected, silent=True
            )
        yield from _entries(entry, axes, by_name.get(key), dynamo=False)
    given = [options[name] for name in ("input_names", "output_names") if options.get(name)]
    if (
        dynamic_axes
        and any(isinstance(names, tuple) for names in given)
        and not (len(given) == 2 and type(given[0]) is type(given[1]))
    ):
        wrong = next(
            name for name in ("input_names", "output_names") if isinstance(options.get(name), tuple)
        )
        yield Problem(
            wrong, wrong, "a tuple", "a list: the legacy exporter joins the two lists of names"
        )


def _converted(
    inputs: Inputs, dynamic_axes: Mapping[str, Any], options: Mapping[str, Any]
) -> Iterator[Problem]:
    input_names, output_names = names_of(options, "input_names"), names_of(options, "output_names")
    wanted = [key for key in dynamic_axes if key not in output_names]
    wanted += [name for name in input_names if name not in dynamic_axes]
    known = known_names(inputs, options)
    if inputs.has_opaque:
        return
    if len(wanted) != len(inputs.leaves):
        yield from _wrong_count(inputs, wanted, known)
        return
    for key, leaf in zip(wanted, inputs.leaves, strict=True):
        yield from _entries(f"{_OPTION}[{key!r}]", dynamic_axes.get(key), leaf, dynamo=True)
        meant = known.get(key)
        if meant is not None and meant.keys != leaf.keys:
            found = f"in the place of {leaf.name!r}; torch reads the entries by order, not by name"
            yield Problem(
                _OPTION,
                f"{_OPTION}[{key!r}]",
                found,
                "the order of the inputs, or dynamic_shapes",
                silent=True,
            )


def _wrong_count(inputs: Inputs, wanted: list[str], known: dict[str, Leaf]) -> Iterator[Problem]:
    arguments = quoted(leaf.name for leaf in inputs.leaves if leaf.is_tensor)
    unknown = [key for key in wanted if key not in known]
    for key in unknown:
        if looks_like_output(key):
            found, expected = (
                "a name that output_names does not have",
                "no entry: the sizes of outputs follow from the inputs",
            )
        else:
            found, expected = (
                "a name that no input has",
                f"dynamic_shapes with forward's own names: {arguments}",
            )
        yield Problem(_OPTION, f"{_OPTION}[{key!r}]", found, expected)
    if not unknown:
        entries, arguments = (
            count(len(wanted), "entry", "entries"),
            count(len(inputs.leaves), "input", "inputs"),
        )
        found = f"{entries} (names in input_names included) for {arguments}"
        yield Problem(
            _OPTION,
            _OPTION,
            found,
            f"dynamic_shapes with an entry for each argument: {quoted(inputs.arguments)}",
        )


def known_names(inputs: Inputs, options: Mapping[str, Any]) -> dict[str, Leaf]:
    """What the user can call each tensor: the exporter's name for it, or the one in input_names."""
    known = {leaf.name: leaf for leaf in inputs.graph_inputs}
    return known | dict(zip(names_of(options, "input_names"), inputs.graph_inputs, strict=False))


def names_of(options: Mapping[str, Any], option: str) -> Sequence[str]:
    """input_names or output_names as a list, whatever stands there."""
    names = options.get(option)
    return (
        [name for name in names if isinstance(name, str)] if isinstance(names, list | tuple) else []
    )


def _entries(entry: str, axes: Any, leaf: Leaf | None, *, dynamo: bool) -> Iterator[Problem]:
    if axes is None and dynamo:
        return
    if not isinstance(axes, dict | list):
        yield Problem(
            _OPTION, entry, describe(axes), "a dict {index: axis name}, or a list of indices"
        )
        return
    if leaf is not None and axes and not leaf.is_tensor and not leaf.is_opaque:
        expected = f"no axes: the argument {leaf.name!r} is {describe(leaf.value)}, not a tensor"
        yield Problem(_OPTION, entry, "dynamic axes", expected, silent=not dynamo)
        return
    for index in axes:
        yield from _index(entry, index, leaf)
    for index, name in axes.items() if isinstance(axes, dict) else ():
        if not isinstance(name, str):
            yield Problem(
                _OPTION, f"{entry}[{index!r}]", describe(name), "the name of the axis, a string"
            )


def _index(entry: str, index: Any, leaf: Leaf | None) -> Iterator[Problem]:
    if not isinstance(index, int):
        yield Problem(
            _OPTION, f"{entry}[{index!r}]", f"{index!r} as index of a dimension", "an int"
        )
    elif leaf is not None and leaf.is_tensor and not 0 <= index < leaf.value.dim():
        last = leaf.value.dim() - 1
        expected = (
            f"an index from 0 to {last}: the input is {describe(leaf.value)}"
            if last >= 0
            else "no entry: the input is a scalar"
        )
        yield Problem(_OPTION, f"{entry}[{index!r}]", f"index {index}", expected)
    elif index < 0:
        yield Problem(
            _OPTION,
            f"{entry}[{index!r}]",
            f"the negative index {index}",
            "an index counted from the front",
        )
