"""What the user writes for a set of changes: lines before the export, and one export with all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from onnx_debug.request.case import Case
from onnx_debug.request.correction import call_of, capture_of
from onnx_debug.request.spell import call_text
from onnx_debug.session.fixes.change import Change
from onnx_debug.session.fixes.operators.paste import paste


def code_of(case: Case, changes: Sequence[Change]) -> str:
    """The cell to paste; empty where the diff of the source is all there is to change."""
    lines = [change.lines(case) for change in changes if change.lines(case)]
    made, called = case, [change for change in changes if change.is_call]
    for change in called:
        made = change.apply(made)
    export = _export(made, changes)
    if not export and (called or lines):
        export = call_of(made, made.options)
    return "\n\n".join(filter(None, [*lines, export]))


def _export(case: Case, changes: Sequence[Change]) -> str:
    """The export of a program that is captured by itself; empty where no change needs that."""
    options = {name: value for change in changes for name, value in change.capture().items()}
    entries = [entry for change in changes for entry in change.decompositions()]
    table = {name: function for change in changes for name, function in change.table().items()}
    if not (options or entries or table):
        return ""
    capture, write = _capture_and_write(case, **options)
    if table:
        listed = ", ".join(f"{name}: {function}" for name, function in table.items())
        write = f"program = program.run_decompositions({{{listed}}})\n{write}"
    return paste(*entries, capture=capture, write=write) if entries else capture + write


def _capture_and_write(case: Case, **capture: Any) -> tuple[str, str]:
    """The two calls that an export by `torch.export` consists of."""
    options = {name: v for name, v in case.options.items() if name not in ("dynamo", "verbose")}
    shapes = options.pop("dynamic_shapes", None)
    asked = {"dynamic_shapes": shapes} if shapes is not None else {}
    written = {"f": "model.onnx", **options}
    return capture_of(case, {**asked, **capture}), call_text("program", None, {}, written)
