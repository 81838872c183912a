"""The tables of the HTML report: tensors, comparisons, the history of trials."""

from __future__ import annotations

from collections.abc import Sequence

from onnx_debug.data.culprit import Culprit
from onnx_debug.data.diagnosis import Diagnosis, Step
from onnx_debug.data.module_info import TensorInfo
from onnx_debug.data.stage import Mode, Verdict
from onnx_debug.render.markup import Markup, tag
from onnx_debug.render.verdict import MARKS
from onnx_debug.render.words import module_name, number, shape, sizes


def tensors(culprit: Culprit) -> Markup | None:
    """Inputs and outputs; device and NaN have a column only where there is something to see."""
    infos = [("input", info) for info in culprit.inputs] + [
        ("output", info) for info in culprit.outputs
    ]
    columns: dict[str, list[str]] = {
        "": [role for role, _ in infos],
        "name": [info.name for _, info in infos],
        "dtype": [info.dtype for _, info in infos],
        "shape": [shape(info) for _, info in infos],
        "range": [_range(info) for _, info in infos],
    }
    if any(info.device != "cpu" for _, info in infos):
        columns["device"] = [info.device for _, info in infos]
    if any(info.nan_count for _, info in infos):
        columns["NaN"] = [str(info.nan_count) for _, info in infos]
    return table(tuple(columns), list(zip(*columns.values(), strict=True)))


def _range(info: TensorInfo) -> str:
    return "" if info.min is None or info.max is None else f"{info.min:.4g} … {info.max:.4g}"


def table(
    columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], most: int | None = None
) -> Markup | None:
    """A table that scrolls by itself on narrow pages; None when it has no rows. Of more than `most` the first are shown."""
    if not rows:
        return None
    if most is not None and len(rows) > most:
        rows = [*rows[:most], (f"… and {len(rows) - most} more",)]
    head = tag("thead", tag("tr", (tag("th", column, scope="col") for column in columns)))
    body = tag("tbody", (tag("tr", (tag("td", value) for value in row)) for row in rows))
    return tag("div", tag("table", head, body), class_="scroll", tabindex="0")


def comparisons(d: Diagnosis, most: int | None = None) -> Markup | None:
    """Eager against ONNX Runtime, one row for each output of each input."""
    columns = ("inputs", "output", "answer", "max abs diff", "max rel diff", "differing")
    rows = [
        (
            row.inputs or "given",
            row.output,
            row.problem or "✓ equal",
            number(row.max_abs_diff),
            number(row.max_rel_diff),
            f"{row.mismatched} of {row.total}",
        )
        for row in d.comparisons
    ]
    return table(columns, rows, most)


def asked(d: Diagnosis, most: int | None = None) -> Markup | None:
    """What was asked of the file beside what it has, and the sizes that were tried."""
    rows = [
        (
            row.subject,
            row.asked,
            f"{row.got} – {row.problem}" if row.problem else row.got,
            *map(sizes, (row.works, row.fails, row.rejected)),
        )
        for row in d.asked
    ]
    return table(
        ("option", "asked", "got", "works with", "fails with", "model rejects"), rows, most
    )


def steps(d: Diagnosis, most: int | None = None) -> Markup | None:
    """The trials in order: what was asked, why, and the answer."""
    rows = [
        (
            str(index),
            module_name(step.module, d.model_class),
            _first_of(step.stubs),
            step.why,
            _answer(step),
            f"{step.seconds:.2f} s",
        )
        for index, step in enumerate(d.trials, 1)
    ]
    return table(("", "module", "replaced", "why", "answer", "time"), rows, most)


def _answer(step: Step) -> str:
    """`✓ passed`, `✗ capture (timeout)`."""
    if step.answer is not Verdict.FAILED:
        return f"{MARKS[step.answer]} {step.answer}"
    how = "" if step.mode in (None, Mode.ERROR) else f" ({step.mode})"
    return f"{MARKS[step.answer]} {step.stage or step.answer}{how}"


def _first_of(names: tuple[str, ...]) -> str:
    if len(names) < 2:
        return names[0] if names else "–"
    return f"{names[0]} and {len(names) - 1} more"
