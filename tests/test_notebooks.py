"""The quickstart does what it says, from start to end."""

from __future__ import annotations

import time
from importlib.machinery import SourceFileLoader
from pathlib import Path

import nbclient
import nbformat
import pytest

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "01_quickstart.ipynb"


def outputs(notebook, start):
    """What the cells that begin like this put out."""
    cells = [
        cell
        for cell in notebook.cells
        if cell.cell_type == "code" and cell.source.startswith(start)
    ]
    return [output for cell in cells for output in cell.outputs]


@pytest.mark.slow
def test_quickstart(tmp_path):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "commit it without outputs"
    nbclient.NotebookClient(
        notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    assert [
        output.ename
        for output in outputs(notebook, "torch.onnx.export")
        if output.output_type == "error"
    ] == ["ConversionError"]
    failed, mended = (
        output.data
        for output in outputs(notebook, "%%onnx_export")
        if output.output_type == "execute_result"
    )
    assert (
        "layers.0.mlp.experts  MixtralExperts  transformers::grouped_mm_fallback has no ONNX translation"
        in failed["text/plain"]
    )
    assert '<section class="onnx-debug"' in failed["text/html"]
    assert mended["text/plain"].startswith("✓ MixtralModel exports")
    assert (tmp_path / "mixtral.onnx").exists()
    assert (tmp_path / "mixtral_report.html").exists()


def test_the_demo_is_never_silent_for_long():
    path = NOTEBOOK.parent / "demo.py"
    demo = SourceFileLoader("demo", str(path)).load_module()
    said = []
    with demo.every(0.02, lambda: said.append(time.monotonic())):
        time.sleep(0.3)
    ended = time.monotonic()
    assert len(said) >= 3
    assert said[-1] <= ended
