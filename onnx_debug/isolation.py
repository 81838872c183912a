"""Trials in processes of their own: a fork server, one recorder for each set of inputs, one process for each trial.

    the user's process ──► fork server (clean, warm) ──► recorder: runs the model, keeps what its modules got and gave
                                                    └──► trial: changes its copy of the model and exports it

All are forks of the user's process, so models and operators that exist only there are at hand, and nothing has to be copied or pickled.
Every recorder and every trial starts from the clean state of the fork server. Each process may die: the fork server tells what became of
its forks, and the user's process makes a new fork server when that one is lost.
"""

from __future__ import annotations

import contextlib
import gc
import io
import os
import shutil
import signal
import tempfile
import time
import traceback
import weakref
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from onnx_debug import clues, directories, memory, torch_internals, watching
from onnx_debug.case import Case
from onnx_debug.errors import IsolationError, SessionClosedError
from onnx_debug.outcome import Clue, ClueKind, Failure, Mode, Outcome, Stage, Trial, signature
from onnx_debug.processes import Child, adopt_orphans, end_children, end_orphans, fork, hang_up, uninterrupted
from onnx_debug.recorders import Described, Recorders, eager_in_fork
from onnx_debug.recording import ModuleNames, Recording
from onnx_debug.target import Bench, Progress
from onnx_debug.trial import Answer, run_trial
from onnx_debug.verify import beyond
from onnx_debug.verify.beyond import Beyond
from onnx_debug.verify.randomness import other_random_numbers
from onnx_debug.workshop import Board, EagerReport, drawn_numbers, reread_request

_LONGEST_SILENCE = 60.0  # seconds without a pulse: a fork of a process with threads can inherit a lock that nobody will release
_TICK = 0.1


class _LostError(Exception):
    """The fork server died or hangs."""


class ForkedLab:
    """The user's side: asks the fork server, one question at a time.

    Args:
        case: the export to work on.
        memory_limit: bytes that one trial may take beyond the model; None: most of what is free now.
    """

    def __init__(self, case: Case, *, memory_limit: int | None = None) -> None:
        if case.dynamo:
            torch_internals.build_operator_tables()  # here, so that the next diagnosis finds them made
        self._case, self._memory_limit = case, memory.free() if memory_limit is None else memory_limit
        self._board, self._pulse, self._closed = Board(), watching.Pulse(), False
        with uninterrupted():
            self.directory = directories.make()
            try:
                self._server = self._fork()
            except OSError:  # too many processes, or no memory for one more
                directories.remove(self.directory)
                raise

    def _fork(self) -> Child:
        self._pulse.beat()
        work = partial(_serve, self._case, self.directory, self._memory_limit, self._board, self._pulse)
        server = fork(work, self.directory / "server.log", tied=False)
        weakref.finalize(self, _end, server, os.getpid())
        return server

    def eager(self, timeout: float) -> EagerReport:
        """Run the model on the given inputs."""
        try:
            found: EagerReport = self._ask("eager", timeout)
        except _LostError as error:
            return EagerReport(Outcome(_lost(Stage.EAGER, error)), ModuleNames(self._case.model).infos({}))
        return found

    def run(self, trial: Trial, timeout: float, *, require_dynamic: bool = False) -> Outcome:
        """Answer one trial."""
        try:
            outcome, traced = self._ask("trial", trial, timeout, require_dynamic)
        except _LostError as error:
            return Outcome(_lost(Stage.CAPTURE, error))
        directories.require_space(outcome.failure)
        self._board.merge(trial, traced)  # for the next fork server
        found: Outcome = outcome
        return found

    def look_beyond(self, outcome: Outcome, timeout: float) -> Outcome:
        """Other inputs than those given, and what was asked for; inputs on which ONNX differs count in all later trials."""
        with contextlib.suppress(_LostError):
            position, found = self._ask("look_beyond", outcome, timeout)
            if position is not None:
                self._case = beyond.adopted(self._case, outcome, position)  # for the next fork server
            outcome = found
        return outcome

    def explain_numbers(self, outcome: Outcome, timeout: float) -> tuple[Clue, ...]:
        """Clues to where wrong numbers come from."""
        with contextlib.suppress(_LostError):
            found: tuple[Clue, ...] = self._ask("explain_numbers", outcome, timeout)
            return found
        return ()

    def describe(self, fqn: str, call: int) -> Described:
        """The tensors of a recorded call."""
        with contextlib.suppress(_LostError):
            found: Described = self._ask("describe", fqn, call)
            return found
        return (), ()

    def correct_options(self, timeout: float) -> tuple[tuple[str, ...], str, Outcome | None]:
        """What is wrong with the request; the call that was meant, spelled out; and its trial."""
        with contextlib.suppress(_LostError):
            found: tuple[tuple[str, ...], str, Outcome | None] = self._ask("correct_options", timeout)
            return found
        return (), "", None

    def close(self, *, keep_files: bool = False) -> None:
        """End all processes; also from another thread, while a question is being asked."""
        self._closed = True
        with uninterrupted():
            self._server.end()
        if not keep_files:
            directories.remove(self.directory)

    def _ask(self, *question: Any) -> Any:
        if self._closed:
            raise SessionClosedError("this session is closed; make a new one")
        try:
            return self._exchange(question)
        except _LostError:
            with uninterrupted(), contextlib.suppress(OSError):  # if the system refuses, the next exchange says that the server is lost
                self._server = self._fork()
        return self._exchange(question)  # it may have been chance: memory, or a lock that was held at the moment of the fork

    def _exchange(self, question: tuple[Any, ...]) -> Any:
        line = self._server.connection
        self._pulse.beat()
        try:
            line.send(question)
            while not line.poll(_TICK):
                if self._pulse.age > _LONGEST_SILENCE:
                    hang_up(line)
            answer, problem = line.recv()
        except BaseException as error:
            with uninterrupted():
                self._server.end()  # also after Ctrl-C: its answer would be taken for that to the next question
            if not isinstance(error, Exception):
                raise
            if self._closed:
                raise SessionClosedError("this session was closed while it worked") from error
            raise _LostError(f"the process that runs the trials died ({self._server.verdict()})") from error
        if problem:
            raise IsolationError(problem)
        return answer


def _end(server: Child, user: int) -> None:
    if os.getpid() == user:  # a fork inherits the finalizer, but not the child
        server.end()


def _lost(stage: Stage, error: _LostError) -> Failure:
    return Failure(stage, Mode.CRASH, signature(stage, Mode.CRASH), "", str(error))


def _serve(case: Case, directory: Path, memory_limit: int | None, board: Board, pulse: watching.Pulse, connection: Connection) -> None:
    """The fork server's life: answer questions until the user's process hangs up or dies."""
    torch.set_num_threads(1)  # thread pools do not survive a fork
    adopt_orphans()
    line = watching.Line(connection, pulse)
    server = _Server(case, directory, memory_limit, board, line)
    signal.signal(signal.SIGTERM, _leave)
    try:
        with contextlib.suppress(watching.GoneError, SystemExit):
            _answer_questions(server, line)
    finally:
        end_children()
    if line.cut:
        shutil.rmtree(directory, ignore_errors=True)  # the user's process was killed: nobody else cleans up


def _leave(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit


def _answer_questions(server: _Server, line: watching.Line) -> None:
    try:
        while True:
            name, *arguments = line.question()
            try:
                line.answer(getattr(server, name)(*arguments))
            except watching.GoneError:
                raise
            except Exception:  # noqa: BLE001 - our own mistake: the user's side shows it
                line.answer(None, traceback.format_exc())
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # nothing may disturb the end


class _Server:
    def __init__(self, case: Case, directory: Path, memory_limit: int | None, board: Board, line: watching.Line) -> None:
        self._case, self._directory, self._memory_limit, self._board, self._line = case, directory, memory_limit, board, line
        self._names = ModuleNames(case.model)
        self.recorders = Recorders(case, directory, memory_limit, line)

    def eager(self, timeout: float) -> EagerReport:
        started = self.recorders.start(0)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            torch_internals.warm_up(dynamo=self._case.dynamo)  # while the model runs
        gc.freeze()  # a collection in a fork would touch, and so copy, every object there is
        return self.recorders.finish(0, started, timeout)

    def trial(
        self, trial: Trial, timeout: float, require_dynamic: bool, *, case: Case | None = None, seed: int = 0
    ) -> tuple[Outcome, Recording]:
        start = time.perf_counter()
        recordings = self.recorders.recordings({"", trial.module, *trial.stubs}, timeout)
        directory = Path(tempfile.mkdtemp(dir=self._directory))

        def work(connection: Connection, progress: Progress) -> None:
            watching.arm(directory)
            bench = Bench(case or self._case, self._names, recordings, self._board.traced, directory, require_dynamic, progress)
            with other_random_numbers(seed) if seed else contextlib.nullcontext():
                connection.send(run_trial(bench, trial))

        answer, printed = self._in_fork(directory, work, timeout, trial.module)
        if isinstance(answer, Failure):
            answer = Answer(Outcome(answer))
        traced = Recording() if trial.module else answer.traced
        self._board.merge(trial, traced)
        return replace(answer.outcome, log=answer.outcome.log + printed, seconds=time.perf_counter() - start), traced

    def look_beyond(self, outcome: Outcome, timeout: float) -> tuple[int | None, Outcome]:
        start = time.perf_counter()
        directory = Path(tempfile.mkdtemp(dir=self._directory))

        def work(connection: Connection, progress: Progress) -> None:
            eager = partial(eager_in_fork, self._case, directory / "eager.log")
            connection.send(beyond.look_beyond(self._case, outcome, eager, progress.stage, timeout / 2))

        found, _ = self._in_fork(directory, work, timeout)
        if isinstance(found, Failure):
            found = Beyond(asked=outcome.asked, notes=(f"Other inputs than those given could not all be tried: {found.message}.",))
        if found.differs is not None:
            self._case = beyond.adopted(self._case, outcome, found.differs)
            self.recorders.use(self._case)
            outcome = self.trial(Trial(""), timeout, require_dynamic=False)[0]
        return found.differs, replace(beyond.joined(outcome, found), seconds=time.perf_counter() - start)

    def _in_fork(self, directory: Path, work: Callable[[Connection, Progress], None], timeout: float, module: str = "") -> tuple[Any, str]:
        """What `work` sends from a fork of this clean process, or the `Failure` that it ended in; and what it printed."""
        with watching.Watch(directory) as watch:
            child = fork(lambda connection: work(connection, watch.progress), watch.output)
            answer = watch.wait(child, self._line, timeout, self._memory_limit)
            child.kill()
            end_orphans()
            if isinstance(answer, watching.Death):
                answer = watching.failure_of(answer, watch, clues.Locator(self._names, module))
        return answer, watching.end_of(watch.output)

    def explain_numbers(self, outcome: Outcome, timeout: float) -> tuple[Clue, ...]:
        if outcome.onnx_path is None:
            return ()
        random = self.recorders.random_modules(timeout)
        if random:
            by_torch = any(hint.kind is ClueKind.RANDOM for hint in outcome.hints)  # which leaves an operator in the graph, with its line
            return random if by_torch else self._drawn(outcome.onnx_path, timeout) + random
        first = next((row.input_index for row in outcome.comparisons if row.problem), 0)
        return self.recorders.first_wrong_module(outcome.onnx_path, first, timeout)

    def _drawn(self, path: str, timeout: float) -> tuple[Clue, ...]:
        again = self.trial(Trial(""), timeout, require_dynamic=False, seed=2)[0].onnx_path
        return tuple(drawn_numbers(self._case, path, again, clues.Locator(self._names))) if again is not None else ()

    def describe(self, fqn: str, call: int) -> Described:
        return self.recorders.describe(self._board.traced, fqn, call)

    def correct_options(self, timeout: float) -> tuple[tuple[str, ...], str, Outcome | None]:
        problems, better, call = reread_request(self._case)
        outcome = None if better is None else self.trial(Trial(""), timeout, require_dynamic=False, case=better)[0]
        return problems, call, outcome
