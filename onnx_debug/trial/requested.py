"""What the request asked for beside what the exported file says: exporters drop some of it without a word."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import onnx

from onnx_debug.data.comparison import Asked
from onnx_debug.data.failure import Clue
from onnx_debug.eager.dynamic_dims import AskedDim, asked_dims
from onnx_debug.onnx_file.feeds import match_inputs
from onnx_debug.request.case import Case
from onnx_debug.request.inputs import names_of


def compare_request(
    case: Case, model: onnx.ModelProto, leaves: Sequence[Any], hints: Iterable[Clue] = ()
) -> list[Asked]:
    """One row for each thing asked for.

    Args:
        case: the request.
        model: the exported file, read without external data.
        leaves: what is passed to the model, flat, in the order of the graph's inputs.
        hints: clues of the export; those that saw a dimension become a number explain such a row.
    """
    initial = {tensor.name for tensor in model.graph.initializer}
    inputs = {value.name: value for value in model.graph.input if value.name not in initial}
    outputs = {value.name: value for value in model.graph.output}
    rows = [
        *_dimensions(case, inputs, leaves, list(hints)),
        *_output_axes(case, outputs),
        *_opset(case, model),
        *_names(
            "input_names",
            names_of(case.options, "input_names"),
            list(inputs),
            may_drop=not case.dynamo,
        ),
        *_names("output_names", names_of(case.options, "output_names"), list(outputs)),
    ]
    return rows if case.dynamo else [*rows, *_unknown_axes(case, {*inputs, *outputs})]


def _dimensions(
    case: Case, inputs: Mapping[str, onnx.ValueInfoProto], leaves: Sequence[Any], hints: list[Clue]
) -> Iterator[Asked]:
    try:
        matched = match_inputs(list(inputs), leaves, names_of(case.options, "input_names"))
    except ValueError:
        return
    by_tensor = {id(leaf): inputs[name] for name, leaf in reversed(matched.items())}
    for dim in asked_dims(case):
        asked = (
            f"dynamic ({dim.name})"
            if dim.name
            else "dynamic"
            if dim.required
            else "dynamic where torch can"
        )
        value = by_tensor.get(id(dim.tensor))
        if value is None:
            yield Asked(dim.entry, asked, "no input of the graph: nothing uses it")
            continue
        size = _size(value, dim.axis)
        problem = f"the file hard-codes {size}" if dim.required and isinstance(size, int) else ""
        clue = _specialized_by(dim, hints) if isinstance(size, int) else None
        yield Asked(dim.entry, asked, str(size), problem, clue)


def _size(value: onnx.ValueInfoProto, axis: int) -> int | str:
    """A number, the name of a symbol, or "any size" where the file does not say."""
    shape = value.type.tensor_type.shape
    if not value.type.tensor_type.HasField("shape") or axis >= len(shape.dim):
        return "any size"
    dim = shape.dim[axis]
    return int(dim.dim_value) if dim.HasField("dim_value") else dim.dim_param or "any size"


def _specialized_by(dim: AskedDim, hints: list[Clue]) -> Clue | None:
    """Of what the capture specialized, the first to that size."""
    return next((hint for hint in hints if hint.size == dim.size), None)


def _output_axes(case: Case, outputs: Mapping[str, onnx.ValueInfoProto]) -> Iterator[Asked]:
    axes = case.options.get("dynamic_axes")
    for name, named in axes.items() if isinstance(axes, Mapping) else ():
        for axis in named or () if name in outputs else ():
            size = _size(outputs[name], axis)
            problem = f"the file hard-codes {size}" if isinstance(size, int) else ""
            yield Asked(f"dynamic_axes[{name!r}][{axis!r}]", "dynamic", str(size), problem)


def _opset(case: Case, model: onnx.ModelProto) -> Iterator[Asked]:
    wanted = case.options.get("opset_version")
    got = next(
        (item.version for item in model.opset_import if item.domain in ("", "ai.onnx")), None
    )
    if wanted is not None and got is not None:
        yield Asked(
            "opset_version",
            str(wanted),
            str(got),
            "" if got == wanted else f"the file has opset {got}",
        )


def _names(
    option: str, wanted: Sequence[str], got: Sequence[str], *, may_drop: bool = False
) -> Iterator[Asked]:
    """Names are given by position; the legacy exporter leaves out inputs that nothing uses, with their names."""
    kept = [name for name in wanted if name in got or not may_drop]
    for index, name in enumerate(wanted):
        if name not in kept:
            yield Asked(f"{option}[{index}]", name, "left out: nothing uses it")
            continue
        position = kept.index(name)
        found = got[position] if position < len(got) else "nothing"
        yield Asked(
            f"{option}[{index}]", name, found, "" if found == name else f"the file has {found}"
        )


def _unknown_axes(case: Case, known: set[str]) -> Iterator[Asked]:
    axes = case.options.get("dynamic_axes")
    named = {*names_of(case.options, "input_names"), *names_of(case.options, "output_names")}
    for name in axes if isinstance(axes, Mapping) else ():
        if name not in known and name not in named:
            yield Asked(
                f"dynamic_axes[{name!r}]", "dynamic", "ignored", "no input or output has this name"
            )


@dataclass(frozen=True)
class SizeTried:
    """What came of one set of further inputs.

    Attributes:
        sizes: as in `FurtherInputs`.
        accepted: the eager module took it.
        agreed: ONNX Runtime took it and returned the same.
    """

    sizes: Mapping[str, int]
    accepted: bool
    agreed: bool = False


def with_sizes(rows: Sequence[Asked], tried: Iterable[SizeTried]) -> list[Asked]:
    """The rows with the sizes that were tried; a size that the model itself insists on is no problem of the export."""
    tried = list(tried)
    return [_with_sizes(row, [one for one in tried if row.subject in one.sizes]) for row in rows]


def _with_sizes(row: Asked, tried: list[SizeTried]) -> Asked:
    def sizes(accepted: bool, agreed: bool) -> tuple[int, ...]:
        found = {
            one.sizes[row.subject]
            for one in tried
            if (one.accepted, one.agreed) == (accepted, agreed)
        }
        return tuple(sorted(found))

    works, fails = sizes(True, True), sizes(True, False)
    rejected = tuple(size for size in sizes(False, False) if size not in works + fails)
    insists = bool(rejected) and not works and not fails
    got = f"{row.got}; the model itself takes no other size" if insists else row.got
    return replace(
        row,
        got=got,
        problem="" if insists else row.problem,
        works=works,
        fails=fails,
        rejected=rejected,
    )
