"""One HTML file with everything in it: the panel, the graph, the static report. Opens from disk, offline."""

from __future__ import annotations

from typing import Any

from onnx_debug.data.diagnosis import Diagnosis
from onnx_debug.render.page import assets
from onnx_debug.render.page.drawing import drawing
from onnx_debug.render.page.sources import forwards
from onnx_debug.render.page.tree import rows, states
from onnx_debug.render.page.view import steps, view
from onnx_debug.render.words import CellName

_MOST_GRAPHS = 20  # of culprits; each is some kilobytes


def page(d: Diagnosis, report_html: str = "", *, cell_name: CellName | None = None) -> str:
    """The diagnosis as an interactive page.

    Args:
        d: what was found; its graph is read from `d.onnx_path`.
        report_html: the report for readers whose browser runs no scripts, and for printing.
        cell_name: what to call a file that is a notebook cell.
    """
    data = {
        "panel": {
            "rows": rows(d.modules),
            "states": states(d),
            "sources": forwards(d.modules, cell_name),
            "view": view(d, cell_name=cell_name),
            "steps": steps(d.trials, d.model_class),
            "progress": {
                "running": False,
                "text": "",
                "error": "",
                "since": 0,
                "seconds": d.seconds,
                "finished": True,
            },
        },
        "log": d.log,
        "graphs": graphs(d),
    }
    body = (
        f'<details class="od-saved-report" open><summary>The same as a report</summary>{report_html}</details>'
        if report_html
        else ""
    )
    return assets.document(
        f"onnx_debug: {d.model_class}",
        assets.script(*assets.SCRIPTS),
        assets.style(*assets.STYLES),
        data,
        body,
    )


def graphs(d: Diagnosis) -> list[dict[str, Any]]:
    """The model's graph first, then those of culprits; the first carries the viewer for all."""
    own = [culprit.fqn for culprit in d.culprits if culprit.graph_path][:_MOST_GRAPHS]
    found = [
        drawing(d, d.culprits[0].fqn if d.culprits else None),
        *(drawing(d, of=fqn) for fqn in own),
    ]
    packed = [one for one in found if one is not None]
    return [one.as_text(viewer=not position) for position, one in enumerate(packed)]
