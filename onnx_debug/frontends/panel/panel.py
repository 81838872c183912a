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
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from IPython.display import display

from onnx_debug.data.diagnosis import Diagnosis
from onnx_debug.data.errors import CaseError, PausedError
from onnx_debug.data.events import CulpritFound, Event, Started, TrialStarted
from onnx_debug.frontends.panel import own_trial
from onnx_debug.frontends.panel.driver import Driver
from onnx_debug.frontends.panel.shown import ShownDiagnosis, in_thread
from onnx_debug.frontends.panel.worker import Worker
from onnx_debug.render.page import netron
from onnx_debug.render.page.tree import children_of
from onnx_debug.render.page.view import call_row
from onnx_debug.render.words import CellName, module_name

logger = logging.getLogger(__name__)
_LONGEST_LOG = 2_000_000  # characters; of a longer log the end
_AT_ONCE = ("hello", "log", "graph", "stop", "closed")  # messages of a view that take no trial
_Source = Diagnosis | Driver | Callable[[], Driver]


class Panel(ShownDiagnosis):
    """A diagnosis on screen, with the session behind it if there is one."""

    def __init__(self, source: _Source, *, cell_name: CellName | None = None) -> None:
        """Show a diagnosis, a session, or one session after another from a function that makes them.

        `cell_name` is what to call a file that is a notebook cell.
        """
        first = source() if callable(source) else source  # what cannot be examined is not shown
        super().__init__(cell_name)
        self._make = source if callable(source) else None
        self._blocking = False
        self._problem: Exception | None = None
        self.on_msg(self._receive)
        self._worker = Worker(None)
        if isinstance(first, Diagnosis):
            self._show(first)
        else:
            self._begin(first)
            threading.Thread(target=netron.warm_up, daemon=True).start()
        self._say()

    def _begin(self, driver: Driver) -> None:
        driver.on_event = self._hear
        self._worker = Worker(driver)
        self.live, self.replaced, self.answers = True, [], {}
        self._show(driver.diagnosis)

    def close(self) -> None:
        """End the session, and take the panel from every page."""
        self._worker.close()
        super().close()

    # --- what can be asked for, from Python and by the buttons

    def run(self) -> Diagnosis:
        """Run the search, and return when it has ended.

        Ctrl-C and the Stop button pause it: a kernel that is busy with this cell hears the button
        as Ctrl-C. The trial under way ends with it, and the next step tries it again. What goes
        wrong is shown, and raised here as well.
        """
        self._problem, self._blocking = None, threading.current_thread() is threading.main_thread()
        done = threading.Event()
        threading.Thread(target=self._search, args=("run", done), daemon=True).start()
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
        self._search("step")

    def again(self) -> None:
        """Search anew, in a new session: the model may have changed."""
        if self._make is None or self._worker.working:
            return
        try:
            driver = self._make()
        except CaseError as error:  # the model was changed so that it takes these inputs no more
            self._say(error=str(error))
            return
        self._worker.close()
        self._begin(driver)
        self._search("run")

    def stop(self) -> None:
        """Pause the search, in the middle of a trial too."""
        driver = self._worker.driver
        if driver is not None and self._worker.working:
            driver.pause()
            self._say("stopping", stopping=True)

    def alone(self, fqn: str) -> None:
        """Try a module by itself."""
        self._try(fqn, own_trial.alone, fqn)

    def split(self, fqn: str) -> None:
        """Try a module with its children replaced: fails it still, its own code is at fault."""
        below = children_of(self._diagnosis.modules, fqn)
        if below:
            self._try(fqn, own_trial.split, fqn, below)
        else:
            self._say(error=f"{fqn} calls no modules: what fails here is its own code.")

    def replace(self, fqn: str) -> None:
        """Replace a module by a placeholder, or restore it, and try the whole model."""
        if self._worker.working:
            return
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
        self._try(fqn, own_trial.replaced, "", inner)

    # --- the session at work

    def _search(self, action: str, done: threading.Event | None = None) -> None:
        """Go on with the search: `step` or `run`. When it is over, its processes may end."""
        self._work(lambda driver: getattr(driver, action)(), done, search=True)

    def _try(
        self, fqn: str, sentence: own_trial.Sentence, module: str, stubs: Iterable[str] = ()
    ) -> None:
        """A trial of the user's own, answered where it was asked for: at `fqn`."""

        def ask(driver: Driver) -> None:
            step = driver.probe(module, stubs)
            self.answers = {**self.answers, fqn: sentence(driver.diagnosis, step)}

        self._work(ask)

    def _work(
        self,
        action: Callable[[Driver], object],
        done: threading.Event | None = None,
        *,
        search: bool = False,
    ) -> None:
        """Do one thing with the session, unless something is under way; show what came of it, errors too."""
        problem, starting = "", not self._diagnosis.trials or self._worker.resting
        with self._worker.work() as driver:
            if driver is not None:
                self._say(
                    "running the model, to record its calls" if starting else "", running=True
                )
                problem = self._do(driver, action, search=search)
        if driver is not None:
            self._say(error=problem)
        if done is not None:
            done.set()

    def _do(self, driver: Driver, action: Callable[[Driver], object], *, search: bool) -> str:
        """What went wrong, if anything."""
        try:
            with contextlib.suppress(PausedError):
                action(driver)
            self._show(driver.diagnosis)
            if search and driver.finished:
                self._worker.finish(module.fqn for module in self._diagnosis.modules)
        except Exception as error:  # the panel must say what happened, whatever it was
            logger.exception("The panel could not do what was asked for")
            self._problem = error
            return f"{type(error).__name__}: {error}"
        return ""

    def _hear(self, event: Event) -> None:
        if isinstance(event, Started | TrialStarted) and self._worker.driver is not None:
            self._show(self._worker.driver.diagnosis)
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
        busy = self._worker.working if running is None else running
        driver = self._worker.driver
        since = (
            self.progress.get("since")
            if busy and self.progress.get("running")
            else time.time() - self._diagnosis.seconds
        )
        with self._sending:
            self.progress = {
                "running": busy,
                "stopping": stopping,
                "blocking": self._blocking,
                "text": text,
                "error": error,
                "since": since,
                "seconds": self._diagnosis.seconds,
                "finished": driver is None or driver.finished,
                "again": self._make is not None,
            }

    # --- the browser

    def _receive(self, _: object, message: dict[str, Any], __: object) -> None:
        """A wish from a view. Trials run in a thread of their own, so that the kernel goes on hearing "stop"."""
        name, fqn = str(message.get("type")), str(message.get("fqn", ""))
        if name in _AT_ONCE:
            getattr(self, f"_on_{name}")(message)
        elif name in ("step", "run", "again"):
            self._heard(self.again if name == "again" else partial(self._search, name))
        elif name in ("alone", "split", "replace"):
            self._heard(partial(getattr(self, name), fqn))
        elif name == "module":
            self._heard(partial(self._describe, fqn))

    def _heard(self, work: Callable[[], None]) -> None:
        """Do it in a thread. A view that is not told takes the kernel for gone."""
        self.send({"type": "heard"})
        in_thread(work)

    def _on_hello(self, message: dict[str, Any]) -> None:
        self._graph.send(str(message.get("have", "")))

    def _on_log(self, _: dict[str, Any]) -> None:
        self.send({"type": "log", "text": self._diagnosis.log[-_LONGEST_LOG:]})

    def _on_graph(self, message: dict[str, Any]) -> None:
        whole = bool(message.get("whole"))
        self._graph.ask(self._diagnosis, message.get("of"), message.get("focus"), whole=whole)

    def _on_stop(self, _: dict[str, Any]) -> None:
        self.stop()

    def _on_closed(self, _: dict[str, Any]) -> None:
        """A view is gone; should there be another, what it asks for wakes the session."""
        if not self._worker.working:
            in_thread(self._worker.rest)

    def _describe(self, fqn: str) -> None:
        """Send what a module got and returned, as soon as no trial runs."""
        try:
            with self._worker.use() as driver:
                found = driver.calls(fqn) if driver is not None else ()
        except Exception:  # the tables of one module more or less
            logger.exception("Could not describe %s", fqn)
            return
        self.send({"type": "module", "fqn": fqn, "calls": [call_row(call) for call in found]})


def _wait(done: threading.Event) -> None:
    # `Thread.join` takes a thread for dead when Ctrl-C interrupts the waiting; without a limit, not
    # every system hears Ctrl-C.
    while not done.wait(0.1):
        pass


def panel(source: _Source, *, cell_name: CellName | None = None) -> Panel:
    """The panel for a diagnosis, or for a session that makes one."""
    return Panel(source, cell_name=cell_name)


def show(source: _Source, *, cell_name: CellName | None = None, run: bool = True) -> Panel:
    """Display the panel, run the search in it if that is wanted, and return it; its `diagnosis` is the answer.

    A saved notebook keeps no panel: let the diagnosis show itself below, its report wrapped by
    `saved`.
    """
    shown = Panel(source, cell_name=cell_name)
    display(shown)  # type: ignore[no-untyped-call]
    if run:
        shown.run()
    return shown
