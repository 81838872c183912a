"""Trials in processes of their own: a fork server, one recorder for each set of inputs, one process for each trial.

    the user's process ──► fork server (clean, warm) ──► recorder: runs the model, keeps what its
    modules got and gave
                                                    └──► trial: changes its copy of the model and
                                                    exports it

All are forks of the user's process, so models and operators that exist only there are at hand, and
nothing has to be copied or pickled. Each process may die: the user's process makes a new fork
server when that one is lost.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from dataclasses import replace
from functools import partial
from typing import Any

from onnx_debug.compat import exporter
from onnx_debug.data.call_tree import EagerReport
from onnx_debug.data.errors import SessionClosedError
from onnx_debug.data.outcome import Clue, Failure, Mode, Outcome, Stage, Trial
from onnx_debug.eager.calls import TracedCalls
from onnx_debug.eager.recorder import ModuleNames
from onnx_debug.explain import locate
from onnx_debug.request.case import Case
from onnx_debug.runner import workdir
from onnx_debug.runner.forked import memory, watchdog
from onnx_debug.runner.forked.channel import LostError, ask
from onnx_debug.runner.forked.processes import Child, fork, uninterrupted
from onnx_debug.runner.forked.recorders import Described
from onnx_debug.runner.forked.server import serve
from onnx_debug.runner.forked.shared_memory import Setting
from onnx_debug.trial import further_inputs


class ForkedLab:
    """The user's side: asks the fork server, one question at a time. All that asks raises `PausedError` between `pause` and `resume`.

    Args:
        case: the export to work on.
        memory_limit: bytes that one trial may take beyond the model; None: most of what is free
            now.
    """

    def __init__(self, case: Case, *, memory_limit: int | None = None) -> None:
        if case.dynamo:
            exporter.build_operator_tables()  # here, so that the next diagnosis finds them made
        self._board, self._asking = TracedCalls(), threading.Lock()
        self._closed = self._resting = False
        with uninterrupted():
            self.directory = workdir.make()
            self._setting = Setting(
                case, self.directory, memory.free() if memory_limit is None else memory_limit
            )
            try:
                self._server = self._fork()
            except OSError:  # too many processes, or no memory for one more
                workdir.remove(self.directory)
                raise

    def _fork(self) -> Child:
        server = fork(
            partial(serve, self._setting, self._board), self.directory / "server.log", tied=False
        )
        weakref.finalize(self, _end, server, os.getpid())
        return server

    def eager(self, timeout: float) -> EagerReport:
        """Run the model on the given inputs."""
        try:
            found: EagerReport = self._ask("eager", timeout)
        except LostError as error:
            return EagerReport(
                Outcome(self._failure(error, Stage.EAGER)),
                ModuleNames(self._setting.case.model).infos({}),
            )
        return found

    def run(self, trial: Trial, timeout: float, *, require_dynamic: bool = False) -> Outcome:
        """Answer one trial."""
        try:
            outcome, traced = self._ask("trial", trial, timeout, require_dynamic)
        except LostError as error:
            return Outcome(self._failure(error, Stage.CAPTURE))
        workdir.require_space(outcome.failure)
        self._board.merge(trial, traced)  # for the next fork server
        found: Outcome = outcome
        return found

    def look_beyond(self, outcome: Outcome, timeout: float) -> Outcome:
        """Other inputs than those given, and what was asked for; inputs on which ONNX differs count in all later trials."""
        with contextlib.suppress(LostError):
            position, found = self._ask("look_beyond", outcome, timeout)
            if position is not None:  # for the next fork server
                self._setting = replace(
                    self._setting,
                    case=further_inputs.adopted(self._setting.case, outcome, position),
                )
            outcome = found
        return outcome

    def explain_numbers(self, outcome: Outcome, timeout: float) -> tuple[Clue, ...]:
        """Clues to where wrong numbers come from."""
        with contextlib.suppress(LostError):
            found: tuple[Clue, ...] = self._ask("explain_numbers", outcome, timeout)
            return found
        return ()

    def describe(self, fqn: str, call: int) -> Described:
        """The tensors of a recorded call."""
        with contextlib.suppress(LostError):
            found: Described = self._ask("describe", fqn, call)
            return found
        return (), ()

    def correct_options(self, timeout: float) -> tuple[tuple[str, ...], str, Outcome | None]:
        """What is wrong with the request; the call that was meant, spelled out; and its trial."""
        with contextlib.suppress(LostError):
            found: tuple[tuple[str, ...], str, Outcome | None] = self._ask(
                "correct_options", timeout
            )
            return found
        return (), "", None

    def pause(self) -> None:
        """From another thread: end the question under way within a second."""
        self._setting.signals.pause()

    def resume(self) -> None:
        """Answer questions again."""
        self._setting.signals.resume()

    def rest(self) -> None:
        """End all processes until something is asked; the model is then run again as it is by that time."""
        with self._asking, uninterrupted():
            self._server.end()
            self._resting = True

    def close(self, *, keep_files: bool = False) -> None:
        """End all processes; also from another thread, while a question is being asked."""
        self._closed = True
        with uninterrupted():
            self._server.end()
        if not keep_files:
            workdir.remove(self.directory)

    def _ask(self, *question: Any) -> Any:
        with self._asking:  # another thread may look at the diagnosis meanwhile
            if self._resting and not self._closed:
                with uninterrupted():
                    self._server, self._resting = self._fork(), False
            try:
                return self._exchange(question)
            except LostError:
                with (
                    uninterrupted(),
                    contextlib.suppress(OSError),
                ):  # if the system refuses, the next exchange says that the server is lost
                    self._server = self._fork()
            return self._exchange(
                question
            )  # it may have been chance: memory, or a lock that was held at the moment of the fork

    def _exchange(self, question: tuple[Any, ...]) -> Any:
        if self._closed:
            raise SessionClosedError("this session is closed; make a new one")
        try:
            return ask(self._server, self._setting.signals, question)
        except LostError as error:
            if self._closed:
                raise SessionClosedError("this session was closed while it worked") from error
            raise

    def _failure(self, error: LostError, stage: Stage) -> Failure:
        """Whoever ends the fork server is most likely the process that it watched: that left where it was."""
        reached, stack = self._setting.progress.read()
        locator = locate.Locator(ModuleNames(self._setting.case.model))
        return watchdog.failure_at(
            reached or stage, watchdog.Death(Mode.CRASH, str(error)), stack[::-1], locator
        )


def _end(server: Child, user: int) -> None:
    if os.getpid() == user:  # a fork inherits the finalizer, but not the child
        server.end()
