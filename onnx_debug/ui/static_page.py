"""One HTML file with everything in it: the panel, the graph, the static report. Opens from disk, offline."""

from __future__ import annotations

from onnx_debug.diagnosis import Diagnosis
from onnx_debug.renderers.words import CellName
from onnx_debug.ui import assets
from onnx_debug.ui.drawing import drawing
from onnx_debug.ui.panel import SCRIPTS, STYLES
from onnx_debug.ui.tree import rows, states
from onnx_debug.ui.view import steps, view


def page(d: Diagnosis, report_html: str = "", *, cell_name: CellName | None = None) -> str:
    """The diagnosis as an interactive page.

    Args:
        d: what was found; its graph is read from `d.onnx_path`.
        report_html: the report for readers whose browser runs no scripts, and for printing.
        cell_name: what to call a file that is a notebook cell.
    """
    packed = drawing(d, d.culprits[0].fqn if d.culprits else None)
    data = {
        "panel": {
            "rows": rows(d.modules),
            "states": states(d),
            "view": view(d, cell_name=cell_name),
            "steps": steps(d.trials, d.model_class),
            "progress": {"running": False, "text": "", "error": "", "since": 0, "seconds": d.seconds, "finished": True},
        },
        "log": d.log,
        "graph": packed.as_text() if packed is not None else None,
    }
    body = f'<details class="od-saved-report" open><summary>The same as a report</summary>{report_html}</details>' if report_html else ""
    return assets.document(f"onnx_debug: {d.model_class}", assets.script(*SCRIPTS), assets.style(*STYLES), data, body)
