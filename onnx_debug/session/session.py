"""Drives the search over a case: at once (`diagnose`) or step by step (`Session`)."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import torch

from onnx_debug.data.call_tree import EagerReport
from onnx_debug.data.diagnosis import (
    Culprit,
    Diagnosis,
    Fix,
    ModuleCall,
    ModuleInfo,
    SearchState,
    Step,
    Written,
)
from onnx_debug.data.errors import NoSpaceError, PausedError, SessionClosedError
from onnx_debug.data.events import CulpritFound, Event, Started, TrialFinished, TrialStarted
from onnx_debug.data.outcome import ClueKind, Mode, Outcome, Stage, Trial, TrialKind
from onnx_debug.eager.recorder import ModuleNames
from onnx_debug.request import remedy
from onnx_debug.request.case import Edges, make_case
from onnx_debug.runner.open_runner import open_runner
from onnx_debug.runner.workdir import keep_while_used
from onnx_debug.search.findings import Question, needs_number_clues, with_number_clues
from onnx_debug.search.search import Search
from onnx_debug.session import assemble
from onnx_debug.session.deliver import deliver

_PART_OF_LIMIT = 4  # a part of a model that hangs gets this fraction of the whole's time


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
        on_event: Callable[[Event], None] | None = None,
        f: Any = None,
        **export_options: Any,
    ) -> None:
        self._case = make_case(
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
        self._timeout, self._want_fixes = timeout, fixes
        self.on_event = on_event or (lambda _: None)
        self._start = time.perf_counter()
        self._notes: list[str] = []
        self._runner, protection = open_runner(
            self._case, isolate=isolate, memory_limit=memory_limit
        )
        self._notes += [note for note in (protection, self._case.note) if note]
        keep_while_used(self, self._runner.directory)
        self._report: EagerReport | None = None
        self._search: Search | None = None
        self._asking: Any = None
        self._question: Question | None = None
        self._steps: list[Step] = []
        self._outcomes: dict[Trial, Outcome] = {}
        self._described: dict[tuple[str, int], ModuleCall] = {}
        self._announced: set[str] = set()
        self._written: Written | None = None
        self._unwritten = ""
        self._request, self._fixes = "", ()  # type: tuple[str, tuple[Fix, ...]]
        self._state, self._closed = SearchState.NOT_BEGUN, False

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
    def finished(self) -> bool:
        """Whether the search has ended or was stopped."""
        return self._state in (SearchState.FINISHED, SearchState.STOPPED)

    def step(self) -> Step | None:
        """Run the next trial of the search and return it; None when the search has ended or was stopped, or `pause` was called."""
        with self._pausable():
            step = self._step()
        if self._state is SearchState.RUNNING:
            self._state = SearchState.PAUSED
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
            tree = self._report.tree() if self._report is not None else None
            names = {name: tree.canonical(name) if tree else name for name in (module, *stubs)}
            for name, found in names.items():
                if found is None:
                    raise ValueError(f"the model has no module {name!r}")
            trial = Trial(names[module] or "", frozenset(names[stub] or "" for stub in stubs), call)
            return self._answer(Question(trial, "you asked"))[0]

    def pause(self) -> None:
        """From another thread: end the trial under way within a second. What was found so far stays, and the next call goes on from there.

        A trial in the user's own process (`isolate=False`) cannot be ended: the pause begins after
        it.
        """
        self._runner.pause()

    def calls(self, module: str) -> tuple[ModuleCall, ...]:
        """What a module got and returned in the model: the first call, and each later one with other shapes, dtypes or arguments."""
        known = self._report is not None and module in self._report.tree().modules
        return (
            assemble.calls(module, self._report.tree(), self._describe)
            if self._report is not None and known
            else ()
        )

    def stop(self) -> None:
        """End the search for good; what was found so far stays."""
        if self._state is not SearchState.FINISHED:
            self._state = SearchState.STOPPED
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
        findings = self._search.findings if self._search is not None else None
        eager = self._report
        whole = self._whole()
        made = Diagnosis(
            model_class=type(self._case.model).__name__,
            failure=whole.failure if whole is not None else None,
            culprits=self._culprits(),
            sufficient=findings.sufficient if findings is not None else None,
            request=self._request,
            unresolved=assemble.undecided(whole) if whole is not None else "",
            ours=whole is not None and whole.ours,
            stages=whole.stages if whole is not None else (),
            search=self._state,
            fixes=self._fixes,
            written=self._written,
            unwritten=self._unwritten,
            onnx_path=assemble.graph_to_show(
                self._outcomes, findings.names if findings is not None else frozenset()
            ),
            notes=(
                *self._notes,
                *(findings.notes if findings is not None else ()),
                *_note_of(whole),
            ),
            trials=tuple(self._steps),
            comparisons=whole.comparisons if whole is not None else (),
            asked=whole.asked if whole is not None else (),
            node_errors=whole.node_errors if whole is not None else (),
            edges=whole.edges if whole is not None else (),
            modules=eager.modules if eager is not None else self._tree,
            log=whole.log if whole is not None else "",
            dynamo=self._case.dynamo,
            versions=assemble.versions(),
            seconds=time.perf_counter() - self._start,
        )
        keep_while_used(made, self._runner.directory)
        return made

    @functools.cached_property
    def _tree(self) -> tuple[ModuleInfo, ...]:
        """The model's modules, as they are known before it has run."""
        return ModuleNames(self._case.model).infos({})

    def _whole(self) -> Outcome | None:
        """What the whole model's trial answered, or else its eager run, where that was the end."""
        if self._search is not None:
            return self._search.findings.whole
        found = self._report.outcome if self._report is not None else None
        return found if found is not None and (found.failed or found.unresolved) else None

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
            if not self.finished:
                self._state = SearchState.RUNNING
            self._begin()
            return None if self.finished else self._go_on()
        except PausedError:
            self._state = SearchState.PAUSED
        except SessionClosedError:
            if (
                self._state is not SearchState.STOPPED
            ):  # by an event's receiver, or from another thread
                raise
        except NoSpaceError as error:
            self._notes.append(str(error))
            self.stop()
        return None

    def _begin(self) -> None:
        if self._closed:
            raise SessionClosedError("this session is closed; make a new one")
        if self._report is not None:
            return
        self._report = found = self._runner.eager(self._timeout)
        if self._case.model.training:
            self._notes.append(
                "The model is in training mode; call model.eval() first unless that is intended."
            )
        if found.outcome.failure is not None or found.outcome.unresolved:
            self._state = SearchState.FINISHED
        else:
            asks = self._case.minimal().options.keys() != self._case.options.keys()
            around = str(self._case.surroundings)
            self._search = Search(found.tree(), asks=asks, surroundings=around)
            self._asking = self._search.run()
            self._question = next(self._asking)
        self.on_event(Started(len(found.modules)))

    def _go_on(self) -> Step | None:
        """Answer the search's question; None when it had none left. What is interrupted here is done again at the next step."""
        step = None
        if self._question is not None:
            step, outcome = self._answer(self._question)
            try:
                self._question = self._asking.send(outcome)
            except StopIteration:
                self._question = None
        if self._question is None:
            self._finish()
        self._announce()
        return step

    def _finish(self) -> None:
        """The search has ended: what remains is the request, and the file that the user asked for."""
        findings = self._search.findings if self._search is not None else None
        whole = findings.whole if findings is not None else None
        if findings is not None and findings.request_at_fault:
            self._explain_request(_unmet(whole))
        elif whole is not None and remedy.opset_may_be_too_old(self._case, whole.failure):
            self._explain_request("", certain=False)
        self._state = SearchState.FINISHED
        found = self.diagnosis
        if found.ok and found.onnx_path is not None:
            self._deliver(found.onnx_path)

    def _deliver(self, exported: str) -> None:
        if self._case.f is None:
            self._unwritten = "no path was given (in Python f=, on the command line -o)"
            return
        try:
            self._written = deliver(self._case.f, exported)
        except OSError as error:
            self._unwritten = f"{self._case.f} cannot be written to: {error.strerror or error}"

    def _explain_request(self, unmet: str, *, certain: bool = True) -> None:
        """Say what is wrong with the request; where it is not certain that anything is, only if another call works."""
        problems, call, outcome = self._runner.correct_options(self._timeout)
        works = outcome is not None and outcome.ok
        if not works and not certain:
            return
        self._request = "; ".join(problems) or unmet or self._unexplained()
        if outcome is not None and works and self._want_fixes:
            difference = max((row.max_abs_diff for row in outcome.comparisons), default=0.0)
            self._fixes = (
                Fix(
                    "the call in a form that fits the model",
                    "It asks for the same in a way that this torch understands.",
                    outcome,
                    difference,
                    code=call,
                ),
            )

    def _unexplained(self) -> str:
        """That the request is at fault, where no call is found that works."""
        said = "it does not fit the model: with default options it"
        plain = self._outcomes.get(Trial("", kind=TrialKind.DEFAULT_OPTIONS))
        if plain is None:
            said = f"{self._case.surroundings}; without that it"
            plain = self._outcomes.get(Trial("", kind=TrialKind.NEUTRAL))
        return f"{said} {'exports' if plain is not None and plain.ok else 'fails in another way'}"

    def _answer(self, question: Question) -> tuple[Step, Outcome]:
        trial = question.trial
        number = len(self._steps) + 1
        self.on_event(TrialStarted(number, trial, question.why))
        outcome = self._run(trial)
        if needs_number_clues(trial, outcome):
            outcome = with_number_clues(
                outcome, self._runner.explain_numbers(outcome, self._timeout)
            )
        if trial.kind is TrialKind.FURTHER_INPUTS:
            trial = replace(trial, kind=TrialKind.EXPORT)  # a part of the whole model's answer
        self._outcomes[trial] = outcome
        step = assemble.step_of(question, outcome)
        self._steps.append(step)
        self.on_event(TrialFinished(number, step))
        return step, outcome

    def _run(self, trial: Trial) -> Outcome:
        if trial.kind is TrialKind.FURTHER_INPUTS:
            return self._runner.look_beyond(self._outcomes[Trial("")], self._timeout)
        return self._runner.run(trial, self._limit(trial), require_dynamic=self._dynamic_conflict())

    def _limit(self, trial: Trial) -> float:
        """Seconds for one trial: where the whole model hangs, its parts get less."""
        whole = self._outcomes.get(Trial(""))
        hangs = (
            whole is not None and whole.failure is not None and whole.failure.mode is Mode.TIMEOUT
        )
        return (
            min(self._timeout, max(5.0, self._timeout / _PART_OF_LIMIT))
            if hangs and trial.module
            else self._timeout
        )

    def _dynamic_conflict(self) -> bool:
        """Whether the whole model fails in its capture because a dynamic size became fixed."""
        whole = self._outcomes.get(Trial(""))
        failure = whole.failure if whole is not None else None
        return (
            failure is not None
            and failure.stage is Stage.CAPTURE
            and any(clue.kind is ClueKind.SPECIALIZATION for clue in failure.clues)
        )

    # --- what was found

    def _announce(self) -> None:
        for culprit in self._culprits():
            if culprit.fqn not in self._announced:
                self._announced.add(culprit.fqn)
                self.on_event(CulpritFound(culprit))

    def _culprits(self) -> tuple[Culprit, ...]:
        if self._report is None:
            return ()
        if self._report.outcome.failure is not None:
            return assemble.eager_culprits(
                self._report.outcome.failure, self._report, self._describe
            )
        found = self._search.findings.culprits if self._search is not None else ()
        return assemble.culprits(found, self._report, self._describe, self._outcomes)

    def _describe(self, fqn: str, call: int) -> ModuleCall:
        key = (fqn, call)
        if key not in self._described:
            if self._closed:
                return ModuleCall(call)
            try:
                self._described[key] = ModuleCall(call, *self._runner.describe(fqn, call))
            except PausedError:
                return ModuleCall(call)  # asked again when the session goes on
        return self._described[key]


def diagnose(  # noqa: PLR0913 - each is a keyword that users name
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
    on_event: Callable[[Event], None] | None = None,
    f: Any = None,
    **export_options: Any,
) -> Diagnosis:
    """Find every module that blocks the export of `model`, and prove it.

    Args:
        model: the model, as it would be passed to `torch.onnx.export`.
        args: its positional inputs; a bare tensor is one input, a dict at the end holds keyword
            inputs.
        kwargs: its keyword inputs.
        check_inputs: further inputs, each `(args, kwargs)` or only `args`, on which ONNX must agree
            with the eager module.
        atol, rtol: a value may differ by `atol + rtol * |value|`; None: by a share of its output's
            size, by dtype (float32: 1e-4).
        edges: zeros, ties, NaN, and sizes of 1, on which a model may answer otherwise than its file:
            "report" a difference, let it fail the export ("strict"), or do not try ("off").
        timeout: seconds for one trial.
        memory_limit: bytes that one trial, with all that it starts, may take beyond the model.
        isolate: run trials in processes of their own, where the system can.
        fixes: where the request is at fault, propose the call that works; it is tried before it is
            shown.
        on_event: told what happens, see `onnx_debug.data.events`.
        f: where to write the file when the export passes, as in `torch.onnx.export`.
        **export_options: `torch.onnx.export`'s own keywords, unchanged.

    Returns:
        What was found; also after Ctrl-C.

    Raises:
        CaseError: what was handed over cannot be an export.
    """
    with Session(
        model,
        args,
        kwargs,
        check_inputs=check_inputs,
        atol=atol,
        rtol=rtol,
        edges=edges,
        timeout=timeout,
        memory_limit=memory_limit,
        isolate=isolate,
        fixes=fixes,
        on_event=on_event,
        f=f,
        **export_options,
    ) as session:
        return session.run()


def _unmet(whole: Outcome | None) -> str:
    """What the exported file lacks of what was asked for; empty when no file was written."""
    return (
        whole.failure.message
        if whole is not None and whole.failure is not None and whole.onnx_path is not None
        else ""
    )


def _note_of(whole: Outcome | None) -> tuple[str, ...]:
    return (whole.note,) if whole is not None and whole.note else ()
