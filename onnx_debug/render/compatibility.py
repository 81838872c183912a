"""What fits with what, as text and as HTML."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from onnx_debug.data.compatibility import Cell, Compatibility, FileAnswer
from onnx_debug.data.stage import Verdict
from onnx_debug.render.html import style
from onnx_debug.render.markup import tag
from onnx_debug.render.tables import table
from onnx_debug.render.verdict import MARKS

_LONGEST = 60  # characters of a message in a table


def text(report: Compatibility) -> str:
    """The report as text, the table in columns."""
    parts = [_headline(report), *_sentences(report)]
    columns, rows = _table(report)
    if rows:
        lines = [columns, *rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
        parts += [
            "  "
            + "  ".join(
                cell.ljust(width) for cell, width in zip(line, widths, strict=True)
            ).rstrip()
            for line in lines
        ]
    return "\n".join(parts)


def fragment(report: Compatibility) -> str:
    """The report as one element with its own style, for the output of a notebook cell."""
    columns, rows = _table(report)
    return tag(
        "section",
        tag("style", style()),
        tag("p", tag("strong", _headline(report))),
        (tag("p", line) for line in _sentences(report)),
        table(columns, rows),
        class_="onnx-debug",
    )


def _headline(report: Compatibility) -> str:
    mark = MARKS[Verdict.PASSED if report.ok else Verdict.FAILED]
    packages = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    return f"{mark} {packages}"


def _sentences(report: Compatibility) -> Iterator[str]:
    yield from (f"✗ {problem[0].upper()}{problem[1:]}." for problem in report.problems)
    if report.file is not None:
        yield from _file(report.file)
    yield from _requested(report)
    if report.model_class:
        yield f"{report.model_class}, exported, loaded, run and compared:"
    elif report.cells and report.file is None:
        yield "One layer, exported, loaded, run and compared; one operator, run:"
    yield from report.notes


def _file(file: FileAnswer) -> Iterator[str]:
    written = ", ".join(
        f"{domain or 'ai.onnx'} {version}" for domain, version in file.opsets.items()
    )
    about = (
        f" (opset {written}; IR version {file.ir_version}; by {file.producer or 'nobody named'})"
    )
    if file.loads:
        yield f"✓ {file.path} loads: ONNX Runtime has a kernel for every operator{about}."
    elif file.loads is None:
        yield f"? Whether {file.path} loads here is not known."
    else:
        yield f"✗ {file.path} does not load{about if file.opsets else ''}:"
        yield from (f"  {reason}" for reason in file.reasons)
    if file.lint:
        yield "onnx-doctor says:"
        yield from (f"  {line}" for line in file.lint)


def _requested(report: Compatibility) -> Iterator[str]:
    """What comes out of the opset that was asked for, where that is another one."""
    if report.requested is None:
        return
    for dynamo in (True, False):
        cell = report.cell(dynamo=dynamo, asked=report.requested)
        if cell is not None:
            call = f"opset_version={report.requested} with dynamo={dynamo}"
            yield f"{call}: {_answer(cell, f'a file of opset {cell.got}')}."


def _table(report: Compatibility) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """One row for each opset, those with the same answers in one."""
    if report.file is not None:
        return (), []
    runtime = {one.opset: one.said for one in report.runtime}
    asked = dict.fromkeys(cell.asked for cell in report.cells)
    numbers = sorted(opset for opset in asked if opset is not None)
    rows = []
    for opset in [*([None] if None in asked else []), *numbers]:
        found = [report.cell(dynamo=dynamo, asked=opset) for dynamo in (True, False)]
        exports = [_answer(cell, _written(cell)) if cell is not None else "" for cell in found]
        rows.append((opset, (*exports, _runs(runtime.get(opset or 0)))))
    columns = ("opset_version", "dynamo=True", "dynamo=False", "ONNX Runtime")
    return columns, [
        (_span([opset for opset, _ in group]), *answers)
        for answers, group in (
            (key, list(found)) for key, found in groupby(rows, lambda row: row[1])
        )
    ]


def _span(opsets: list[int | None]) -> str:
    if opsets[0] is None:
        return "not given"
    return str(opsets[0]) if len(opsets) == 1 else f"{opsets[0]} to {opsets[-1]}"


def _written(cell: Cell) -> str:
    return "as asked" if cell.got == cell.asked else f"writes {cell.got}"


def _runs(said: str | None) -> str:
    if said is None:
        return ""
    return f"✗ {_short(said)}" if said else "✓ runs"


def _answer(cell: Cell, written: str) -> str:
    if cell.verdict is Verdict.PASSED:
        return f"✓ {written}"
    if cell.verdict is Verdict.NOT_BEGUN:
        return "– not tried"
    where = f"{cell.stage}: " if cell.stage is not None else ""
    return f"{MARKS[cell.verdict]} {where}{_short(cell.said)}"


def _short(said: str) -> str:
    return said if len(said) <= _LONGEST else f"{said[: _LONGEST - 1]}…"
