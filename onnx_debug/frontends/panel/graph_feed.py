"""Which graph the views of a panel show, and sending it to them."""

from __future__ import annotations

import uuid

import anywidget

from onnx_debug.data.diagnosis import Diagnosis
from onnx_debug.render.page import netron
from onnx_debug.render.page.bundle import NetronChangedError, bundle
from onnx_debug.render.page.drawing import drawing


class GraphFeed:
    """Draws what is worth seeing, until the user asks for something else.

    Args:
        widget: whose views are fed; graphs go by message, never by trait, and so never into a
            notebook.
    """

    def __init__(self, widget: anywidget.AnyWidget) -> None:
        self._widget = widget
        self._payload: netron.Payload | None = None
        self._known: tuple[str | None, str | None] = (
            None,
            None,
        )  # the model's file, or else the culprit that has a graph of its own
        self._asked_for: str | None = None  # the culprit whose own graph the user wants to see
        self._have = ""

    def follow(self, d: Diagnosis) -> None:
        """Show the model's graph as soon as there is one; until then, the first culprit's own."""
        own = next((culprit.fqn for culprit in d.culprits if culprit.graph_path), None)
        now = (d.onnx_path, None if d.onnx_path else own)
        if now != self._known:
            self._known = now
            if self._asked_for is None:
                self._draw(d, d.culprits[0].fqn if d.culprits else None, now[1])

    def ask(self, d: Diagnosis, of: str | None, focus: str | None, *, whole: bool = False) -> None:
        """Show the graph of a culprit, or the model's around a module or as a whole."""
        self._asked_for = of
        self._draw(d, focus, of, whole=whole)

    def send(self, have: str | None = None) -> None:
        """Send the graph to views that `have` the viewer of that key; while there is none, the viewer alone: loading it takes a moment."""
        self._have = self._have if have is None else have
        if self._payload is not None:
            _send(self._widget, self._payload, self._have)
        else:
            _send_viewer(self._widget, self._have)

    def _draw(
        self, d: Diagnosis, focus: str | None, of: str | None, *, whole: bool = False
    ) -> None:
        self._payload = drawing(d, focus, of, whole=whole)
        if self._payload is not None:
            self._payload.facts["id"] = (
                uuid.uuid4().hex
            )  # one view's wish makes all hear it; those that show it already need not draw it again
        self.send()


def _send(widget: anywidget.AnyWidget, packed: netron.Payload, have: str = "") -> None:
    """Send a graph to the views of `widget`; the viewer goes along unless they `have` it."""
    viewer = b"" if have and have == packed.facts["key"] else packed.viewer
    widget.send(
        {"type": "graph", "facts": packed.facts}, buffers=[packed.model, packed.docs, viewer]
    )


def _send_viewer(widget: anywidget.AnyWidget, have: str = "") -> None:
    """Send the viewer ahead of the first graph; an empty message when Netron cannot be used, which is said when there is a graph."""
    try:
        made = bundle()
    except NetronChangedError:
        widget.send({"type": "no viewer"})
        return
    widget.send(
        {"type": "viewer", "key": made.key}, buffers=[b"" if have == made.key else made.data]
    )
