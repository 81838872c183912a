"""The packages that an export needs, and combinations of them that are known not to work."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator

import onnx

from onnx_debug.data.compatibility import Cell, RuntimeOpset
from onnx_debug.data.stage import Stage, Verdict
from onnx_debug.session.assemble import versions

__all__ = ["problems", "versions"]


def problems(
    cells: tuple[Cell, ...], runtime: tuple[RuntimeOpset, ...], file_format: str
) -> Iterator[str]:
    """What does not fit, one sentence each.

    Args:
        cells: exports of one layer.
        runtime: what ONNX Runtime runs.
        file_format: its refusal of the format that onnx writes by itself.
    """
    yield from _several_runtimes()
    installed = versions()
    if file_format:
        yield (
            f"onnx {installed['onnx']} writes files of IR version {onnx.IR_VERSION}, which "
            f"onnxruntime {installed['onnxruntime']} does not read: install a newer onnxruntime or "
            f"an older onnx"
        )
    runs = [one.opset for one in runtime if not one.said]
    if runtime and not runs:
        yield f"onnxruntime {installed['onnxruntime']} runs no file at all: {runtime[-1].said}"
    for cell in cells:
        if cell.asked is None and cell.verdict is Verdict.FAILED:
            yield _default_fails(cell, runs)


def _several_runtimes() -> Iterator[str]:
    """The variants of ONNX Runtime are one package under several names, and overwrite each other's files."""
    names = importlib.metadata.packages_distributions().get("onnxruntime", [])
    found = sorted(set(names))
    if len(found) > 1:
        yield (
            f"{' and '.join(found)} are both installed and share their files: uninstall all of "
            f"them, then install one"
        )


def _default_fails(cell: Cell, runs: list[int]) -> str:
    call = f"torch.onnx.export(..., dynamo={cell.dynamo})"
    if cell.stage is Stage.LOAD and cell.got is not None and runs and cell.got > max(runs):
        return (
            f"{call} writes opset {cell.got}, which this ONNX Runtime does not run: pass "
            f"opset_version={max(runs)}"
        )
    return f"{call} fails for a single layer at {cell.stage}: {cell.said}"
