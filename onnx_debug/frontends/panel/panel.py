"""The panel: shows a diagnosis, live while it is made, and runs trials that the user asks for.

    from onnx_debug import Session
    from onnx_debug.frontends.panel.panel import panel

    shown = panel(Session(model, args))   # or panel(diagnosis)
    shown                                 # displays; its buttons step, run, stop, try modules
    shown.run()                           # or run the search from Python

All state that must survive a reload of the page is in traits. Graph and log go by message when a
view asks, and so never into a notebook.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import anywidget
import traitlets
from IPython.display import display

from onnx_debug.data.diagnosis import Diagnosis
from onnx_debug.data.errors import PausedError
from onnx_debug.data.events import CulpritFound, Event, Started, TrialStarted
from onnx_debug.frontends.panel.driver import Driver
from onnx_debug.frontends.panel.graph_feed import GraphFeed
from onnx_debug.render.page import assets, netron
from onnx_debug.render.page.sources import forwards
from onnx_debug.render.page.tree import children_of, rows, states
from onnx_debug.render.page.view import call_row, steps, view
from onnx_debug.render.words import CellName, module_name

logger = logging.getLogger(__name__)
_LONGEST_LOG = 2_000_000  # characters; of a longer log the end


class Panel(anywidget.AnyWidget):
    """A diagnosis on screen, with the session behind it if there is one.

    Attributes:
        selected: FQN of the selected module, None before a choice.
        rows, states, sources, view, steps, progress, replaced, live: what is shown; see `panel.js`.
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
    live = traitlets.Bool(False).tag(sync=True)

    def __init__(self, source: Diagnosis | Driver, *, cell_name: CellName | None = None) -> None:
        """Show a diagnosis, or a session; `cell_name` is what to call a file that is a notebook cell."""
        super().__init__(key=f"onnx-debug-{uuid.uuid4().hex[:8]}")
        self.layout.width = "100%"
        self._driver = None if isinstance(source, Diagnosis) else source
        self._cell_name = cell_name
        self._working, self._blocking = threading.Lock(), False
        self._problem: Exception | None = None
        self._graph = GraphFeed(self)
        self.live = self._driver is not None
        self.on_msg(self._receive)
        if self._driver is not None:
            self._driver.on_event = self._hear
            threading.Thread(target=netron.warm_up, daemon=True).start()
        self._show(source if isinstance(source, Diagnosis) else source.diagnosis)
        self._say()

    def __repr__(self) -> str:
        """One line: a widget's own would write the whole diagnosis into the notebook."""
        return f"onnx_debug panel of {self._diagnosis.model_class}"

    @property
    def diagnosis(self) -> Diagnosis:
        """What is shown."""
        return self._diagnosis

    # --- what can be asked for, from Python and by the buttons

    def run(self) -> Diagnosis:
        """Run the search, and return when it has ended.

        Ctrl-C and the Stop button pause it: a kernel that is busy with this cell hears the button
        as Ctrl-C. The trial under way ends with it, and the next step tries it again. What goes
        wrong is shown, and raised here as well.
        """
        self._problem, self._blocking = None, threading.current_thread() is threading.main_thread()
        done = threading.Event()
        threading.Thread(
            target=self._work, args=(lambda driver: driver.run(), done), daemon=True
        ).start()
        try:
            _wait(done)
        except (
            KeyboardInterrupt
        ):  # a second one leaves a trial alone that cannot be ended: one in the user's own process
            while not done.is_set():
                self.stop()
                done.wait(0.5)
        finally:
            self._blocking = False
        if self._problem is not None:
            raise self._problem
        return self._diagnosis

    def step(self) -> None:
        """Run the next trial of the search."""
        self._work(lambda driver: driver.step())

    def stop(self) -> None:
        """Pause the search, in the middle of a trial too."""
        if self._driver is not None and self._working.locked():
            self._driver.pause()
            self._say("stopping", stopping=True)

    def alone(self, fqn: str) -> None:
        """Try a module by itself."""
        self._work(lambda driver: driver.probe(fqn))

    def split(self, fqn: str) -> None:
        """Try a module with its children replaced: fails it still, its own code is at fault."""
        below = children_of(self._diagnosis.modules, fqn)
        if not below:
            self._say(error=f"{fqn} has no called children: what fails here is its own code.")
            return
        self._work(lambda driver: driver.probe(fqn, below))

    def replace(self, fqn: str) -> None:
        """Replace a module by a placeholder, or restore it, and try the whole model."""
        self.replaced = (
            [name for name in self.replaced if name != fqn]
            if fqn in self.replaced
            else [*self.replaced, fqn]
        )
        inner = [
            name
            for name in self.replaced
            if not any(name.startswith(other + ".") for other in self.replaced)
        ]
        self._work(lambda driver: driver.probe("", inner))

    # --- the search

    def _work(
        self, action: Callable[[Driver], object], done: threading.Event | None = None
    ) -> None:
        """Do one thing with the session, unless something is under way; show what came of it, errors too."""
        done = done or threading.Event()
        driver = self._driver
        if driver is None or not self._working.acquire(blocking=False):
            done.set()
            return
        problem = ""
        try:
            self._say(
                "recording the model's calls" if not self._diagnosis.trials else "", running=True
            )
            with contextlib.suppress(PausedError):
                action(driver)
            self._show(driver.diagnosis)
        except Exception as error:  # the panel must say what happened, whatever it was
            logger.exception("The panel could not do what was asked for")
            problem = f"{type(error).__name__}: {error}"
            self._problem = error
        finally:
            self._working.release()
            self._say(error=problem)
            done.set()

    def _hear(self, event: Event) -> None:
        if isinstance(event, Started | TrialStarted) and self._driver is not None:
            self._show(self._driver.diagnosis)
        if isinstance(event, Started):
            self._say(f"searching {event.modules} modules", running=True)
            self._graph.send()
        elif isinstance(event, TrialStarted):
            what = module_name(event.trial.module, self._diagnosis.model_class)
            self._say(f"trying {what}: {event.why}", running=True)
        elif isinstance(event, CulpritFound):
            self._say(f"found {event.culprit.fqn or 'the whole model'}", running=True)

    def _say(
        self,
        text: str = "",
        *,
        running: bool | None = None,
        stopping: bool = False,
        error: str = "",
    ) -> None:
        busy = self._working.locked() if running is None else running
        since = (
            self.progress.get("since")
            if busy and self.progress.get("running")
            else time.time() - self._diagnosis.seconds
        )
        self.progress = {
            "running": busy,
            "stopping": stopping,
            "blocking": self._blocking,
            "text": text,
            "error": error,
            "since": since,
            "seconds": self._diagnosis.seconds,
            "finished": self._driver is None or self._driver.finished,
        }

    # --- the browser

    def _receive(self, _: object, message: dict[str, Any], __: object) -> None:
        """A wish from a view. Trials run in a thread of their own, so that the kernel goes on hearing "stop"."""
        name, fqn = message.get("type"), str(message.get("fqn", ""))
        if name == "hello":
            self._graph.send(str(message.get("have", "")))
        elif name == "log":
            self.send({"type": "log", "text": self._diagnosis.log[-_LONGEST_LOG:]})
        elif name == "module":
            self._describe(fqn)
        elif name == "graph":
            self._graph.ask(
                self._diagnosis,
                message.get("of"),
                message.get("focus"),
                whole=bool(message.get("whole")),
            )
        elif name == "stop":
            self.stop()
        elif name in ("step", "alone", "split", "replace", "run"):
            action = getattr(self, name)
            threading.Thread(
                target=action, args=() if name in ("step", "run") else (fqn,), daemon=True
            ).start()

    def _show(self, d: Diagnosis) -> None:
        known = getattr(self, "_diagnosis", None)
        self._diagnosis = d
        with self.hold_sync():
            if known is None or known.modules != d.modules:
                self.rows = rows(d.modules)
            self.states = {fqn: state.value for fqn, state in states(d, self.replaced).items()}
            self.view = view(d, cell_name=self._cell_name)
            self.steps = steps(d.trials, d.model_class)
        self._graph.follow(d)
        if known is not None and known.log != d.log:
            self.send({"type": "log changed"})
        if known is None or known.modules != d.modules:
            threading.Thread(target=self._read_sources, args=(d,), daemon=True).start()

    def _read_sources(self, d: Diagnosis) -> None:
        """In a thread: a large model's files take a moment."""
        self.sources = forwards(d.modules, self._cell_name)

    def _describe(self, fqn: str) -> None:
        """Send what a module got and returned; nothing while a trial runs, then the view asks again."""
        if self._driver is None or not self._working.acquire(blocking=False):
            return
        try:
            self.send(
                {
                    "type": "module",
                    "fqn": fqn,
                    "calls": [call_row(call) for call in self._driver.calls(fqn)],
                }
            )
        except Exception:  # the tables of one module more or less
            logger.exception("Could not describe %s", fqn)
        finally:
            self._working.release()


def _wait(done: threading.Event) -> None:
    # `Thread.join` takes a thread for dead when Ctrl-C interrupts the waiting; without a limit, not
    # every system hears Ctrl-C.
    while not done.wait(0.1):
        pass


def panel(source: Diagnosis | Driver, *, cell_name: CellName | None = None) -> Panel:
    """The panel for a diagnosis, or for a session that makes one."""
    return Panel(source, cell_name=cell_name)


def show(driver: Driver, *, cell_name: CellName | None = None) -> Panel:
    """Display the panel, run the search in it, and return it; its `diagnosis` is the answer.

    A saved notebook keeps no panel: let the diagnosis show itself below, its report wrapped by
    `saved`.
    """
    shown = Panel(driver, cell_name=cell_name)
    display(shown)  # type: ignore[no-untyped-call]
    shown.run()
    return shown


def saved(report_html: str, shown: Panel) -> str:
    """A static report for the same cell: hidden while the panel is alive, there when the notebook is opened without a kernel."""
    return f'<div class="onnx-debug-saved {shown.key}">{report_html}</div>'
