"""An ONNX graph in the notebook, drawn by Netron inside the page: no server, no port, no request.

    from onnx_debug.ui.netron import Graph
    Graph("model.onnx")

`document` writes the same as one HTML file.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import logging
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from onnx_debug import graphs
from onnx_debug.ui import assets
from onnx_debug.ui.bundle import NetronChangedError, bundle, operator_docs

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Payload:
    """What a view needs to draw one graph.

    Attributes:
        facts: JSON-ready: name, nodes, counts, key of the viewer, and `problem` when there is no viewer.
        model: gzipped graph.
        docs: gzipped documentation of its operators.
        viewer: gzipped viewer; empty when Netron cannot be used, then `facts["nodes"]` is shown as a list.
    """

    facts: dict[str, Any]
    model: bytes
    docs: bytes
    viewer: bytes

    def as_text(self, *, viewer: bool = True) -> dict[str, Any]:
        """All of it as JSON-ready data, for a saved page; a page needs the viewer once."""
        packed = {"model": self.model, "docs": self.docs, "viewer": self.viewer if viewer else b""}
        return {**self.facts, **{name: assets.encode(data) for name, data in packed.items()}}


def payload(graph: graphs.Graph, name: str = "model.onnx") -> Payload:
    """Pack a graph for the browser; never fails because of Netron."""
    viewer, key, version, problem = b"", "", "", ""
    try:
        made = bundle()
        viewer, key, version = made.data, made.key, made.version
    except NetronChangedError as error:
        logger.warning("The graph is shown as a list: %s", error)
        problem = str(error)
    facts = {
        "name": name,
        "key": key,
        "version": version,
        "problem": problem,
        "total": graph.total,
        "nodes": [[node.name, node.op, node.fqn, node.placeholder] for node in graph.nodes],
        "failing": [node.name for node in graph.nodes if node.failing],
    }
    docs = operator_docs(graph.operators) if viewer else "[]"
    return Payload(facts, gzip.compress(graph.model, 6, mtime=0), gzip.compress(docs.encode(), 6, mtime=0), viewer)


def warm_up() -> None:
    """Make the viewer ready, so that the first graph need not wait for it."""
    with contextlib.suppress(NetronChangedError):  # said when the graph is shown
        bundle()
        operator_docs(())


def document(graph: graphs.Graph, name: str = "model.onnx", **state: Any) -> str:
    """The graph as one HTML file that opens from disk, offline.

    Args:
        graph: what to show.
        name: title of the page.
        state: `selected` (node names), `marks` (node name to CSS colour), `dark`, `options` (of Netron).
    """
    module = assets.script("dom", "graph", "nodelist", "graph_widget")
    css = assets.style("base", "graph")
    return assets.document(name, module, css, {"graph": payload(graph, name).as_text(), "state": state})


class Graph(anywidget.AnyWidget):
    """An ONNX graph; only what has to survive a page reload is a trait, the graph itself goes by message when a view asks for it.

    Attributes:
        selected: names of the selected nodes; set by clicks too.
        marks: node name to CSS colour.
        theme: "auto" follows the notebook; else "light" or "dark".
        options: Netron's own: names, attributes, weights, direction, mousewheel.
        height: CSS length.
    """

    _esm = assets.script("dom", "graph", "nodelist", "graph_widget")
    _css = assets.style("base", "graph")
    selected = traitlets.List(traitlets.Unicode()).tag(sync=True)
    marks = traitlets.Dict().tag(sync=True)
    theme = traitlets.Enum(["auto", "light", "dark"], "auto").tag(sync=True)
    options = traitlets.Dict().tag(sync=True)
    height = traitlets.Unicode("480px").tag(sync=True)

    def __init__(self, source: str | Path | graphs.Graph, **traits: Any) -> None:
        """Show the file or the graph `source`."""
        super().__init__(**traits)
        self.layout.width = "100%"  # else a Box gives it the width of an empty frame
        self._name = "graph" if isinstance(source, graphs.Graph) else Path(source).name
        self._graph = source if isinstance(source, graphs.Graph) else graphs.load(source)
        self.on_msg(self._answer)

    def _answer(self, _: object, message: dict[str, Any], __: object) -> None:
        if message.get("type") == "hello":
            send(self, payload(self._graph, self._name), str(message.get("have", "")))


def send(widget: anywidget.AnyWidget, packed: Payload, have: str = "") -> None:
    """Send a graph to the views of `widget`; the viewer goes along unless they `have` it."""
    viewer = b"" if have and have == packed.facts["key"] else packed.viewer
    widget.send({"type": "graph", "facts": packed.facts}, buffers=[packed.model, packed.docs, viewer])


def send_viewer(widget: anywidget.AnyWidget, have: str = "") -> None:
    """Send the viewer ahead of the first graph; an empty message when Netron cannot be used, which is said when there is a graph."""
    try:
        made = bundle()
    except NetronChangedError:
        widget.send({"type": "no viewer"})
        return
    widget.send({"type": "viewer", "key": made.key}, buffers=[b"" if have == made.key else made.data])
