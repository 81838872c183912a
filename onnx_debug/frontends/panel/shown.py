"""A diagnosis on screen: the traits that the browser draws, and the graph that goes by message."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

import anywidget
import traitlets

from onnx_debug.data.diagnosis import Diagnosis
from onnx_debug.frontends.panel.graph_feed import GraphFeed
from onnx_debug.render.page import assets
from onnx_debug.render.page.sources import forwards
from onnx_debug.render.page.tree import rows, states
from onnx_debug.render.page.view import steps, view
from onnx_debug.render.words import CellName


class ShownDiagnosis(anywidget.AnyWidget):
    """What stands on the screen, without what can be asked.

    Attributes:
        selected: FQN of the selected module, None before a choice.
        rows, states, sources, view, steps, progress, replaced, answers, live: what is shown; see
            `panel.js`.
        key: CSS class under which a saved report belongs to this panel.
    """

    _esm = assets.script(*assets.SCRIPTS)
    _css = assets.style(*assets.STYLES)
    key = traitlets.Unicode().tag(sync=True)
    selected = traitlets.Unicode(None, allow_none=True).tag(sync=True)
    rows: traitlets.List[dict[str, Any]] = traitlets.List().tag(sync=True)
    states = traitlets.Dict().tag(sync=True)
    sources: traitlets.List[dict[str, Any]] = traitlets.List().tag(sync=True)
    view = traitlets.Dict().tag(sync=True)
    steps: traitlets.List[dict[str, Any]] = traitlets.List().tag(sync=True)
    progress = traitlets.Dict().tag(sync=True)
    replaced = traitlets.List(traitlets.Unicode()).tag(sync=True)
    answers = traitlets.Dict().tag(sync=True)
    live = traitlets.Bool(False).tag(sync=True)

    def __init__(self, cell_name: CellName | None) -> None:
        """Nothing is shown yet; `cell_name` is what to call a file that is a notebook cell."""
        super().__init__(key=f"onnx-debug-{uuid.uuid4().hex[:8]}")
        self.layout.width = "100%"
        self._cell_name = cell_name
        self._sending = threading.RLock()  # several threads set traits; a hold must end as one
        self._graph = GraphFeed(self)

    def __repr__(self) -> str:
        """One line: a widget's own would write the whole diagnosis into the notebook."""
        return f"onnx_debug panel of {self._diagnosis.model_class}"

    @property
    def diagnosis(self) -> Diagnosis:
        """What is shown."""
        return self._diagnosis

    def saved(self, report_html: str) -> str:
        """A static report for the same cell: hidden while the panel is alive, there when the notebook is opened without a kernel."""
        note = "<p>Saved report; run the cell again for the live panel.</p>"
        return f'<div class="onnx-debug-saved {self.key}">{report_html}{note}</div>'

    def _show(self, d: Diagnosis) -> None:
        known = getattr(self, "_diagnosis", None)
        self._diagnosis = d
        with self._sending, self.hold_sync():
            if known is None or known.modules != d.modules:
                self.rows = rows(d.modules)
            self.states = {fqn: state.value for fqn, state in states(d, self.replaced).items()}
            self.view = view(d, cell_name=self._cell_name)
            self.steps = steps(d.trials, d.model_class)
        self._graph.follow(d)
        if known is not None and known.log != d.log:
            self.send({"type": "log changed"})
        if known is None or known.modules != d.modules:
            in_thread(partial(self._read_sources, d))

    def _read_sources(self, d: Diagnosis) -> None:
        """In a thread: a large model's files take a moment."""
        found = forwards(d.modules, self._cell_name)
        with self._sending:
            self.sources = found


def in_thread(work: Callable[[], None]) -> None:
    """Do it beside whatever goes on."""
    threading.Thread(target=work, daemon=True).start()
