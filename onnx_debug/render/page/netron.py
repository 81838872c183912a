"""An ONNX graph packed for the browser, to be drawn by Netron inside the page: no server, no port, no request."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import logging
from typing import Any

from onnx_debug.onnx_file import display
from onnx_debug.render.page import assets
from onnx_debug.render.page.bundle import NetronChangedError, bundle, operator_docs

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Payload:
    """What a view needs to draw one graph.

    Attributes:
        facts: JSON-ready: name, nodes, counts, key of the viewer, and `problem` when there is no
            viewer.
        model: gzipped graph.
        docs: gzipped documentation of its operators.
        viewer: gzipped viewer; empty when Netron cannot be used, then `facts["nodes"]` is shown as
            a list.
    """

    facts: dict[str, Any]
    model: bytes
    docs: bytes
    viewer: bytes

    def as_text(self, *, viewer: bool = True) -> dict[str, Any]:
        """All of it as JSON-ready data, for a saved page; a page needs the viewer once."""
        packed = {"model": self.model, "docs": self.docs, "viewer": self.viewer if viewer else b""}
        return {**self.facts, **{name: assets.encode(data) for name, data in packed.items()}}


def payload(graph: display.Graph, name: str = "model.onnx") -> Payload:
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
    return Payload(
        facts,
        gzip.compress(graph.model, 6, mtime=0),
        gzip.compress(docs.encode(), 6, mtime=0),
        viewer,
    )


def warm_up() -> None:
    """Make the viewer ready, so that the first graph need not wait for it."""
    with contextlib.suppress(NetronChangedError):  # said when the graph is shown
        bundle()
        operator_docs(())
