"""A case under examination, step by step or to the end of the search."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

import torch

from onnx_debug.data.diagnosis import Diagnosis, SearchState, Step
from onnx_debug.data.errors import CaseError, NoSpaceError, PausedError, SessionClosedError
from onnx_debug.data.events import CulpritFound, Event, Started
from onnx_debug.data.module_info import ModuleCall
from onnx_debug.data.outcome import Trial
from onnx_debug.data.repro import Repro
from onnx_debug.request.case import Edges, make_case
from onnx_debug.runner.open_runner import open_runner
from onnx_debug.runner.workdir import keep_while_used
from onnx_debug.session.assemble import Known, calls_of
from onnx_debug.session.deliver import deliver
from onnx_debug.session.fault_of_request import explain_request
from onnx_debug.session.fixes.find import FixSearch, fixes_for, titles
from onnx_debug.session.repro.make import make as make_repro
from onnx_debug.session.search.findings import NextTrial
from onnx_debug.session.search.search import Search
from onnx_debug.session.trials import Trials


class Session:
    """One case under examination.

    Use it as a context manager: leaving it ends every process that it started. Takes the arguments
    of `diagnose`.

    Example:
        >>> with Session(model, args) as session:
        ...     while session.step():
        ...         pass
        ...     print(session.diagnosis.culprits)
    """

    def __init__(  # noqa: PLR0913 - the keywords of `diagnose`
        self,
        model: torch.nn.Module,
        args: Any = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        check_inputs: Iterable[Any] = (),
        atol: float | None = None,
        rtol: float | None = None,
        edges: Edges = "report",
        timeout: float = 60.0,
        memory_limit: int | None = None,
        isolate: bool = True,
        fixes: bool = True,
        fix: bool = False,
        on_event: Callable[[Event], None] | None = None,
        f: Any = None,
        **export_options: Any,
    ) -> None:
        if fix and not fixes:
            raise CaseError("a fix can be applied only where fixes are looked for")
        case = make_case(
            model,
            args,
            kwargs,
            f=f,
            check_inputs=check_inputs,
            atol=atol,
            rtol=rtol,
            edges=edges,
            options=export_options,
        )
        self._timeout, self._want_fixes, self._apply = timeout, fixes, fix
        self._runner, protection = open_runner(case, isolate=isolate, memory_limit=memory_limit)
        keep_while_used(self, self._runner.directory)
        self._trials = Trials(self._runner, timeout, on_event or (lambda _: None))
        self._known = Known(case, self._trials.describe, self._trials.outcomes, self._trials.steps)
        self._known.notes += [note for note in (protection, case.note) if note]
        self._asking: Any = None
        self._next: NextTrial | None = None
        self._fixing: FixSearch | None = None
        self._announced: set[str] = set()
        self._closed = self._stopped = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def on_event(self) -> Callable[[Event], None]:
        """Told what happens, see `onnx_debug.data.events`."""
        return self._trials.tell

    @on_event.setter
    def on_event(self, tell: Callable[[Event], None]) -> None:
        self._trials.tell = tell

    @property
    def finished(self) -> bool:
        """Whether the search has ended or was stopped."""
        ended = self._known.state in (SearchState.FINISHED, SearchState.STOPPED)
        return ended and self._fixing is None

    def step(self) -> Step | None:
        """Run the next trial of the search and return it; None when the search has ended or was stopped, or `pause` was called."""
        with self._pausable():
            step = self._step()
        if self._known.state is SearchState.RUNNING:
            self._known.state = SearchState.PAUSED
        return step

    def run(self) -> Diagnosis:
        """Run the search to its end, or until `pause`. Ctrl-C stops it. What was found so far stays."""
        try:
            with self._pausable():
                while self._step() is not None:
                    pass
        except KeyboardInterrupt:
            self.stop()
        return self.diagnosis

    def probe(self, module: str, stubs: Iterable[str] = (), *, call: int = 0) -> Step:
        """Ask a question of your own: export `module` with the modules in `stubs` replaced.

        Raises:
            PausedError: `pause` was called before it was answered.
            ValueError: the model has no module of that name.
        """
        with self._pausable():
            self._begin()
            tree = self._known.report.tree() if self._known.report is not None else None
            names = {name: tree.canonical(name) if tree else name for name in (module, *stubs)}
            for name, found in names.items():
                if found is None:
                    raise ValueError(f"the model has no module {name!r}")
            trial = Trial(names[module] or "", frozenset(names[stub] or "" for stub in stubs), call)
            return self._trials.ask(trial, "you asked")[0]

    def repro(self, module: str | None = None) -> Repro:
        """A standalone script that fails as a culprit does, seen to fail so in a clean process; or why there is none.

        Args:
            module: the culprit; None: the first one, or the whole model where no module is to blame.

        Raises:
            PausedError: `pause` was called before it was written.
            ValueError: the model has no module of that name.
        """
        found = self.diagnosis
        if module is not None and module not in {one.fqn for one in found.modules}:
            raise ValueError(f"the model has no module {module!r}")
        first = found.culprits[0].fqn if found.culprits else ""
        wanted = first if module is None else module
        if self._closed:
            return Repro(wanted, why_not="the session is closed; take it within the session")
        call = next((one.call_index for one in found.culprits if one.fqn == wanted), 0)
        alone = self._trials.outcomes.get(Trial(wanted, call=call))
        return make_repro(
            found,
            wanted,
            self._runner,
            self._timeout,
            alone=alone.failure if alone is not None else None,
            dynamic=self._known.case.asks_dynamic,
            required=self._trials.needs_dynamic_sizes(),
        )

    def pause(self) -> None:
        """From another thread: end the trial under way within a second. What was found so far stays, and the next call goes on from there.

        A trial in the user's own process (`isolate=False`) cannot be ended: the pause begins after
        it.
        """
        self._runner.pause()

    def calls(self, module: str) -> tuple[ModuleCall, ...]:
        """What a module got and returned in the model: the first call, and each later one with other shapes, dtypes or arguments."""
        report = self._known.report
        if report is None or module not in report.tree().modules:
            return ()
        return calls_of(module, report.tree(), self._trials.describe)

    def stop(self) -> None:
        """End the search for good; what was found so far stays."""
        if self._known.state is not SearchState.FINISHED:
            self._known.state = SearchState.STOPPED
        self._fixing, self._stopped = None, True
        self._runner.close(keep_files=True)
        self._closed = True

    def rest(self) -> None:
        """End every process until something is asked. What was found stays; the next question runs the model again."""
        if not self._closed:
            self._runner.rest()

    def close(self) -> None:
        """End every process of the session. The diagnosis' files stay as long as a diagnosis refers to them."""
        if not self._closed:
            self._runner.close(keep_files=True)
        self._closed = True

    @property
    def diagnosis(self) -> Diagnosis:
        """What is known so far."""
        made = self._known.diagnosis()
        keep_while_used(made, self._runner.directory)
        return made

    # --- the search

    @contextlib.contextmanager
    def _pausable(self) -> Iterator[None]:
        """What is done in this block ends with `pause`; one that comes too early or too late is forgotten."""
        self._runner.resume()
        try:
            yield
        finally:
            self._runner.resume()

    def _step(self) -> Step | None:
        try:
            if not self.finished and self._fixing is None:
                self._known.state = SearchState.RUNNING
            self._begin()
            return None if self.finished else self._go_on()
        except PausedError:
            if self._fixing is None:
                self._known.state = SearchState.PAUSED
        except SessionClosedError:
            if not self._stopped:  # else by an event's receiver, or from another thread
                raise
        except NoSpaceError as error:
            self._known.notes.append(str(error))
            self.stop()
        return None

    def _begin(self) -> None:
        if self._closed:
            raise SessionClosedError("this session is closed; make a new one")
        if self._known.report is not None:
            return
        self._known.report = found = self._runner.eager(self._timeout)
        self._known.notes += found.notes
        if self._known.case.model.training:
            self._known.notes.append(
                "The model is in training mode; call model.eval() first unless that is intended."
            )
        if found.outcome.failure is not None or found.outcome.unresolved:
            self._known.state = SearchState.FINISHED
        else:
            asks = self._known.case.minimal().options.keys() != self._known.case.options.keys()
            around = str(self._known.case.surroundings)
            search = Search(found.tree(), asks=asks, surroundings=around)
            self._known.findings = search.findings
            self._asking = search.run()
            self._next = next(self._asking)
        self._trials.tell(Started(len(found.modules)))

    def _go_on(self) -> Step | None:
        """Answer the search's question; None when it had none left. What is interrupted here is done again at the next step."""
        if self._fixing is not None:
            return self._try_fix(self._fixing)
        step = None
        if self._next is not None:
            step, outcome = self._trials.ask(self._next.trial, self._next.why)
            try:
                self._next = self._asking.send(outcome)
            except StopIteration:
                self._next = None
        self._announce()
        if self._next is None:
            self._finish()
        return step

    def _try_fix(self, fixing: FixSearch) -> Step | None:
        """Try one change, or a few together, on the whole case; None when there is none left."""
        changes = fixing.next()
        if not changes:
            self._fixing = None
            self._apply_fix()
            return None
        step = self._trials.ask_changed(f"try to {titles(changes)}", lambda: fixing.ask(changes))
        self._known.fixes, self._known.part_way = fixing.fixes, fixing.part_way
        return step

    def _finish(self) -> None:
        """The search has ended: what remains is the request, and the file that the user asked for."""
        explain_request(self._known, self._runner, self._timeout, want_fixes=self._want_fixes)
        self._known.state = SearchState.FINISHED
        found = self.diagnosis
        if found.ok and found.onnx_path is not None:
            self._deliver(found.onnx_path)
        if self._want_fixes and not found.request and self._runner.isolated:
            self._fixing = fixes_for(self._known.case, self._runner, found, self._timeout)
        if self._fixing is None and found.failure is not None:
            self._apply_fix()

    def _apply_fix(self) -> None:
        """Write the export with the best fix, where that was asked for."""
        if not self._apply:
            return
        exported = self._known.fixes[0].outcome.onnx_path if self._known.fixes else None
        if exported is None:
            why = "" if self._runner.isolated else "; changes of the model need isolate=True"
            self._known.notes.append(f"No change was found that makes it export{why}.")
            return
        self._known.fixed = True
        self._deliver(exported)

    def _deliver(self, exported: str) -> None:
        if self._known.case.f is None:
            self._known.unwritten = "no path was given (in Python f=, on the command line -o)"
            return
        try:
            self._known.written = deliver(self._known.case.f, exported)
        except OSError as error:
            self._known.unwritten = (
                f"{self._known.case.f} cannot be written to: {error.strerror or error}"
            )

    # --- what was found

    def _announce(self) -> None:
        for culprit in self._known.culprits():
            if culprit.fqn not in self._announced:
                self._announced.add(culprit.fqn)
                self._trials.tell(CulpritFound(culprit))
