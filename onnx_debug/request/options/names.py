"""What is wrong with `input_names` and `output_names`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from onnx_debug.request.options.inputs import Inputs, describe, quoted
from onnx_debug.request.options.problem import Problem


def name_problems(
    model: Any,
    inputs: Inputs | None,
    options: Mapping[str, Any],
    *,
    dynamo: bool,
    output_count: int | None,
) -> Iterator[Problem]:
    """Names that are not names, that stand there twice, or that nothing is left for."""
    for option in ("input_names", "output_names"):
        yield from _form(option, options.get(option), dynamo=dynamo)
    taken = set(_names(options, "input_names"))
    for name in dict.fromkeys(_names(options, "output_names")):
        if name in taken and dynamo:
            # exported without a word; ONNX Runtime then refuses the file
            entry = f"output_names[{_names(options, 'output_names').index(name)}]"
            yield Problem(
                "output_names",
                entry,
                f"{name!r}, which input_names has too",
                "a name of its own",
                silent=True,
            )
    most = (
        None
        if inputs is None or inputs.has_opaque
        else _most_inputs(model, inputs, options, dynamo=dynamo)
    )
    yield from _too_many("input_names", _names(options, "input_names"), most, silent=dynamo)
    yield from _too_many(
        "output_names", _names(options, "output_names"), output_count, silent=dynamo
    )


def _form(option: str, names: Any, *, dynamo: bool) -> Iterator[Problem]:
    if names is None:
        return
    if isinstance(names, str):
        yield Problem(
            option,
            option,
            f"the string {names!r}, which is read letter by letter",
            f"a list: [{names!r}]",
            silent=dynamo,
        )
        return
    if not isinstance(names, list | tuple):
        yield Problem(option, option, describe(names), "a list of names")
        return
    for index, name in enumerate(names):
        if not isinstance(name, str):
            yield Problem(option, f"{option}[{index}]", describe(name), "a name, as a string")
    for name, count in Counter(name for name in names if isinstance(name, str)).items():
        if count > 1:
            # the legacy exporter renames one of the two by itself
            yield Problem(
                option,
                option,
                f"{name!r} {count} times",
                "a different name for each",
                silent=not dynamo,
            )


def _names(options: Mapping[str, Any], option: str) -> list[str]:
    names = options.get(option)
    return [str(name) for name in names] if isinstance(names, list | tuple) else []


def _most_inputs(model: Any, inputs: Inputs, options: Mapping[str, Any], *, dynamo: bool) -> int:
    if dynamo:
        numbers = (
            sum(isinstance(leaf.value, int) for leaf in inputs.leaves)
            if options.get("dynamic_shapes")
            else 0
        )
        return len(inputs.graph_inputs) + numbers
    # the legacy exporter goes on with the parameters, after the inputs
    parameters = len(model.state_dict(keep_vars=True)) if isinstance(model, nn.Module) else 0
    return len(inputs.traced_inputs) + parameters


def _too_many(
    option: str, names: list[str], most: int | None, *, silent: bool
) -> Iterator[Problem]:
    if most is not None and len(names) > most:
        kind = option.removesuffix("_names") + ("s" if most != 1 else "")
        found = f"{quoted(names[most:])}, for which nothing is left"
        yield Problem(
            option,
            f"{option}[{most}:]",
            found,
            f"at most {most}: the graph has {most} {kind}",
            silent=silent,
        )
