"""The fork server: a clean and warm copy of the user's process, which forks the recorders and the trials and answers questions by them.

Every one of them starts from its clean state. Each may die: the fork server tells what became of
its forks.
"""

from __future__ import annotations

import contextlib
import gc
import io
import shutil
import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import torch

from onnx_debug.compat import canary
from onnx_debug.data.call_tree import EagerReport
from onnx_debug.data.errors import IsolationError
from onnx_debug.data.outcome import Clue, Failure, Outcome, Stage, Trial
from onnx_debug.eager.calls import TracedCalls
from onnx_debug.eager.outputs import eager_outputs
from onnx_debug.eager.recorder import ModuleNames, Recording
from onnx_debug.explain import locate
from onnx_debug.explain.drift import seen_in_eager
from onnx_debug.explain.random_modules import with_drawing_line
from onnx_debug.request import remedy
from onnx_debug.request.case import Case
from onnx_debug.runner.forked import watchdog
from onnx_debug.runner.forked.channel import GivenUpError, GoneError, Line
from onnx_debug.runner.forked.processes import adopt_orphans, end_children, end_orphans, fork
from onnx_debug.runner.forked.recorders import Described, Recorders, eager_in_fork
from onnx_debug.runner.forked.shared_memory import Setting
from onnx_debug.trial import further_inputs
from onnx_debug.trial.edges import look_at_edges
from onnx_debug.trial.further_inputs import Beyond, Eager
from onnx_debug.trial.prepare import Bench
from onnx_debug.trial.run import Answer, run_trial


def serve(setting: Setting, board: TracedCalls, connection: Connection) -> None:
    """Answer questions until the user's process hangs up or dies."""
    torch.set_num_threads(1)  # thread pools do not survive a fork
    adopt_orphans()
    line = Line(connection, setting.signals)
    signal.signal(signal.SIGTERM, _leave)
    try:
        with contextlib.suppress(GoneError, SystemExit):
            _answer_questions(_Server(setting, board, line), line)
    finally:
        end_children()
    if line.cut:
        shutil.rmtree(
            setting.directory, ignore_errors=True
        )  # the user's process was killed: nobody else cleans up


def _leave(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit


def _answer_questions(server: _Server, line: Line) -> None:
    try:
        while True:
            name, *arguments = line.question()
            try:
                line.answer(getattr(server, name)(*arguments))
            except GoneError:
                raise
            except GivenUpError:
                line.give_up()
            except Exception:  # noqa: BLE001 - our own mistake: the user's side shows it
                line.answer(None, IsolationError(traceback.format_exc()))
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # nothing may disturb the end


class _Server:
    """Its methods are the questions."""

    def __init__(self, setting: Setting, board: TracedCalls, line: Line) -> None:
        self._setting, self._board, self._line = setting, board, line
        self._names = ModuleNames(setting.case.model)
        self._recorders = Recorders(setting, line)

    def eager(self, timeout: float) -> EagerReport:
        started = self._recorders.start(0)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            canary.check(dynamo=self._setting.case.dynamo)  # while the model runs
        gc.freeze()  # a collection in a fork would touch, and so copy, every object there is
        return self._recorders.finish(0, started, timeout)

    def trial(
        self, trial: Trial, timeout: float, require_dynamic: bool, *, case: Case | None = None
    ) -> tuple[Outcome, Recording]:
        start = time.perf_counter()
        recordings = self._recorders.recordings({"", trial.module, *trial.stubs}, timeout)

        def work(connection: Connection, watch: watchdog.Watch) -> None:
            watch.arm()
            traced, directory = self._board.traced, watch.directory
            bench = Bench(
                case or self._setting.case,
                self._names,
                recordings,
                traced,
                directory,
                require_dynamic,
                watch.progress,
            )
            connection.send(run_trial(bench, trial))

        answer, printed = self._in_fork(work, timeout, trial.module)
        if isinstance(answer, Failure):
            answer = Answer(Outcome(answer))
        traced = Recording() if trial.module else answer.traced
        self._board.merge(trial, traced)
        return replace(
            answer.outcome, log=answer.outcome.log + printed, seconds=time.perf_counter() - start
        ), traced

    def look_beyond(self, outcome: Outcome, timeout: float) -> tuple[int | None, Outcome]:
        start, case = time.perf_counter(), self._setting.case
        kept = self._recorders.set_for_good

        def in_fork(look: Callable[[Eager, Callable[[Stage], None]], Any]) -> Any:
            def work(connection: Connection, watch: watchdog.Watch) -> None:
                if kept:
                    eager_outputs(case, case.inputs[0])  # the forks of this process have it too
                eager = partial(eager_in_fork, case, watch.directory / "eager.log", timeout / 4)
                connection.send(look(eager, watch.progress.stage))

            return self._in_fork(work, timeout)[0]

        found = in_fork(
            lambda eager, stage: further_inputs.look_beyond(
                case, outcome, eager, stage, timeout / 2, kept
            )
        )
        if isinstance(found, Failure):
            found = Beyond(
                asked=outcome.asked,
                notes=(f"Other inputs than those given could not all be tried: {found.message}.",),
            )
        if further_inputs.wants_edges(case, outcome, found):
            edges = in_fork(
                lambda eager, stage: look_at_edges(
                    case, outcome, eager, stage, timeout / 6, gradients=found.needs_gradients
                )
            )
            found = found.with_edges(edges)
        if found.differs is not None:
            outcome = self._adopt(further_inputs.adopted(case, outcome, found.differs), timeout)
        return found.differs, replace(
            further_inputs.joined(outcome, found), seconds=time.perf_counter() - start
        )

    def _in_fork(
        self, work: Callable[[Connection, watchdog.Watch], None], timeout: float, module: str = ""
    ) -> tuple[Any, str]:
        """What `work` sends from a fork of this clean process, or the `Failure` that it ended in; and what it printed."""
        watch = watchdog.Watch(self._setting)
        child = fork(lambda connection: work(connection, watch), watch.output)
        try:
            answer = watch.wait(child, self._line, timeout)
        finally:
            child.kill()
            end_orphans()
        if isinstance(answer, watchdog.Death):
            answer = watchdog.failure_of(answer, watch, locate.Locator(self._names, module))
        return answer, watchdog.end_of(watch.output)

    def _adopt(self, case: Case, timeout: float) -> Outcome:
        """Try the whole model on this case, and stay with it once that is answered."""
        before, self._setting = self._setting, replace(self._setting, case=case)
        self._recorders.use(self._setting)
        try:
            return self.trial(Trial(""), timeout, require_dynamic=False)[0]
        except GivenUpError:
            self._setting = before
            self._recorders.use(before)
            raise

    def explain_numbers(self, outcome: Outcome, timeout: float) -> tuple[Clue, ...]:
        if outcome.onnx_path is None:
            return ()
        random = self._recorders.random_modules(timeout)
        if random:
            return tuple(self._with_line(clue, timeout) for clue in random)
        first = next((row.input_index for row in outcome.comparisons if row.problem), 0)
        drifts = self._drift(outcome, first, timeout)
        if drifts:
            return drifts
        baked = self._recorders.baked_constants(outcome.onnx_path, first, timeout)
        return baked + self._recorders.first_wrong_module(outcome.onnx_path, first, timeout)

    def _drift(self, outcome: Outcome, index: int, timeout: float) -> tuple[Clue, ...]:
        def work(connection: Connection, _: watchdog.Watch) -> None:
            connection.send(seen_in_eager(self._setting.case, index, outcome))

        found, _ = self._in_fork(work, timeout)
        return found if isinstance(found, tuple) else ()

    def _with_line(self, random: Clue, timeout: float) -> Clue:
        def work(connection: Connection, _: watchdog.Watch) -> None:
            connection.send(with_drawing_line(random, self._setting.case))

        found, _ = self._in_fork(work, timeout)
        return found if isinstance(found, Clue) else random

    def describe(self, fqn: str, call: int) -> Described:
        return self._recorders.describe(self._board.traced, fqn, call)

    def correct_options(self, timeout: float) -> tuple[tuple[str, ...], str, Outcome | None]:
        def export(case: Case) -> Outcome:
            return self.trial(Trial(""), timeout, require_dynamic=False, case=case)[0]

        found = remedy.run(remedy.correct(self._setting.case), export)
        return found.problems, found.call, found.outcome
