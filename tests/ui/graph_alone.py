"""A graph on its own, as a page and as a widget: what the panel does with a graph, without the panel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import traitlets

from onnx_debug.frontends.panel.graph_feed import _send
from onnx_debug.onnx_file import display
from onnx_debug.render.page import assets
from onnx_debug.render.page.netron import payload

SCRIPTS = ("dom", "graph", "nodelist", str(Path(__file__).parent / "graph_widget"))


def document(graph: display.Graph, name: str = "model.onnx", **state: Any) -> str:
    """The graph as one HTML file that opens from disk, offline.

    Args:
        graph: what to show.
        name: title of the page.
        state: `selected` (node names), `marks` (node name to CSS colour), `dark`, `options` (of
            Netron).
    """
    module = assets.script(*SCRIPTS)
    css = assets.style("base", "graph")
    return assets.document(
        name, module, css, {"graph": payload(graph, name).as_text(), "state": state}
    )


class Graph(anywidget.AnyWidget):
    """An ONNX graph; only what has to survive a page reload is a trait, the graph itself goes by message when a view asks for it.

    Attributes:
        selected: names of the selected nodes; set by clicks too.
        marks: node name to CSS colour.
        theme: "auto" follows the notebook; else "light" or "dark".
        options: Netron's own: names, attributes, weights, direction, mousewheel.
        height: CSS length.
    """

    _esm = assets.script(*SCRIPTS)
    _css = assets.style("base", "graph")
    selected = traitlets.List(traitlets.Unicode()).tag(sync=True)
    marks = traitlets.Dict().tag(sync=True)
    theme = traitlets.Enum(["auto", "light", "dark"], "auto").tag(sync=True)
    options = traitlets.Dict().tag(sync=True)
    height = traitlets.Unicode("480px").tag(sync=True)

    def __init__(self, source: str | Path | display.Graph, **traits: Any) -> None:
        """Show the file or the graph `source`."""
        super().__init__(**traits)
        self.layout.width = "100%"  # else a Box gives it the width of an empty frame
        self._name = "graph" if isinstance(source, display.Graph) else Path(source).name
        self._graph = source if isinstance(source, display.Graph) else display.load(source)
        self.on_msg(self._answer)

    def _answer(self, _: object, message: dict[str, Any], __: object) -> None:
        if message.get("type") == "hello":
            _send(self, payload(self._graph, self._name), str(message.get("have", "")))
