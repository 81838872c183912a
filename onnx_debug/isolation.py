"""Trials in processes of their own: a fork server, one recorder for each set of inputs, one process for each trial.

    the user's process ──► fork server (clean, warm) ──► recorder: runs the model, keeps what its modules got and gave
                                                    └──► trial: changes its copy of the model and exports it

All are forks of the user's process, so models and operators that exist only there are at hand, and nothing has to be copied or pickled.
Every recorder and every trial starts from the clean state of the fork server.
"""

from __future__ import annotations

import contextlib
import gc
import io
import os
import shutil
import tempfile
import time
import traceback
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from onnx_debug import clues, torch_internals, watching
from onnx_debug.case import Case
from onnx_debug.errors import IsolationError
from onnx_debug.outcome import Clue, Failure, Outcome, Trial
from onnx_debug.processes import Child, fork
from onnx_debug.recording import ModuleNames, Recording
from onnx_debug.target import Bench
from onnx_debug.trial import Answer, run_trial
from onnx_debug.workshop import Board, EagerReport, describe, first_wrong_module, random_modules, reread_request, run_eager

Described = tuple[tuple[Any, ...], tuple[Any, ...]]


class ForkedLab:
    """The user's side: asks the fork server, one question at a time.

    Args:
        case: the export to work on.
        memory_limit: bytes that one trial may take beyond the model; None: most of what is free now.
    """

    def __init__(self, case: Case, *, memory_limit: int | None = None) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="onnx_debug_"))
        if case.dynamo:
            torch_internals.build_operator_tables()  # here, so that the next diagnosis finds them made
        limit = watching.free_memory() if memory_limit is None else memory_limit
        work = partial(_serve, case, self.directory, limit)
        self._server = fork(work, self.directory / "server.log", tied=False)

    def eager(self, timeout: float) -> EagerReport:
        """Run the model on the given inputs."""
        found: EagerReport = self._ask("eager", timeout)
        return found

    def run(self, trial: Trial, timeout: float, *, require_dynamic: bool = False) -> Outcome:
        """Answer one trial."""
        found: Outcome = self._ask("trial", trial, timeout, require_dynamic)
        return found

    def explain_numbers(self, outcome: Outcome, timeout: float) -> tuple[Clue, ...]:
        """Clues to where wrong numbers come from."""
        found: tuple[Clue, ...] = self._ask("explain_numbers", outcome, timeout)
        return found

    def describe(self, fqn: str, call: int) -> Described:
        """The tensors of a recorded call."""
        found: Described = self._ask("describe", fqn, call)
        return found

    def correct_options(self, timeout: float) -> tuple[tuple[str, ...], str, Outcome | None]:
        """What is wrong with the request; the call that was meant, spelled out; and its trial."""
        found: tuple[tuple[str, ...], str, Outcome | None] = self._ask("correct_options", timeout)
        return found

    def close(self, *, keep_files: bool = False) -> None:
        """End all processes."""
        self._server.end()
        if not keep_files:
            shutil.rmtree(self.directory, ignore_errors=True)

    def _ask(self, name: str, *arguments: Any) -> Any:
        try:
            self._server.connection.send((name, arguments))
            answer, problem = self._server.connection.recv()
        except (EOFError, OSError) as error:
            raise IsolationError(f"the process that runs the trials died ({self._server.verdict()})") from error
        if problem:
            raise IsolationError(problem)
        return answer


def _serve(case: Case, directory: Path, memory_limit: int | None, connection: Connection) -> None:
    """The fork server's life: answer questions until the user's process closes the connection or dies."""
    torch.set_num_threads(1)  # thread pools do not survive a fork
    server = _Server(case, directory, memory_limit, connection)
    user = os.getppid()
    with contextlib.suppress(EOFError, OSError):
        while True:
            name, arguments = connection.recv()
            try:
                connection.send((getattr(server, name)(*arguments), ""))
            except (EOFError, OSError):
                raise
            except Exception:  # noqa: BLE001 - our own mistake: the user's side shows it
                connection.send((None, traceback.format_exc()))
    server.end()
    if os.getppid() != user:
        shutil.rmtree(directory, ignore_errors=True)  # the user's process was killed: nobody else cleans up


class _Server:
    def __init__(self, case: Case, directory: Path, memory_limit: int | None, user: Connection) -> None:
        self._case, self._directory, self._memory_limit, self._user = case, directory, memory_limit, user
        self._names = ModuleNames(case.model)
        self._board = Board()
        self._recorders: dict[int, Child] = {}
        self._reports: dict[int, EagerReport] = {}
        self._count = 0

    def eager(self, timeout: float) -> EagerReport:
        child, watch = self._fork_recorder(0)
        self._warm_up()  # while the model runs
        self._recorders[0], self._reports[0] = child, self._await_report(child, watch, timeout)
        return self._reports[0]

    def _warm_up(self) -> None:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            torch_internals.warm_up(dynamo=self._case.dynamo)
        gc.freeze()  # a collection in a fork would touch, and so copy, every object there is

    def trial(self, trial: Trial, timeout: float, require_dynamic: bool, case: Case | None = None) -> Outcome:
        start = time.perf_counter()
        recordings = self._recordings({"", trial.module, *trial.stubs}, timeout)
        self._count += 1
        directory = self._directory / str(self._count)
        directory.mkdir()

        def work(connection: Connection) -> None:
            watching.arm(directory)
            bench = Bench(case or self._case, self._names, recordings, self._board.traced, directory, require_dynamic, watch.progress)
            connection.send(run_trial(bench, trial))

        with watching.Watch(directory) as watch:
            child = fork(work, directory / "output.log")
            answer = watch.wait(child, timeout, self._memory_limit, abandoned=self._user)
            if isinstance(answer, Answer):
                if not trial.module:
                    self._board.merge(trial, answer.traced)
                outcome = answer.outcome
            else:
                outcome = Outcome(self._death(answer, watch, trial.module))
        printed = watching.end_of(directory / "output.log")
        return replace(outcome, log=outcome.log + printed, seconds=time.perf_counter() - start)

    def explain_numbers(self, outcome: Outcome, timeout: float) -> tuple[Clue, ...]:
        first = next((row.input_index for row in outcome.comparisons if row.problem), 0)
        recorder = self._recorders.get(first)
        found = self._random(timeout)
        if found or outcome.onnx_path is None or recorder is None:
            return tuple(found)
        recorder.connection.send(("first_wrong_module", outcome.onnx_path, first))
        answer = self._receive(recorder, timeout)
        return tuple(answer) if isinstance(answer, list) else ()

    def describe(self, fqn: str, call: int) -> Described:
        recorder = self._recorders[0]
        recorder.connection.send(("describe", self._board.traced, fqn, call))
        answer = self._receive(recorder, 60.0)
        return answer if isinstance(answer, tuple) else ((), ())

    def correct_options(self, timeout: float) -> tuple[tuple[str, ...], str, Outcome | None]:
        problems, better, call = reread_request(self._case)
        outcome = None if better is None else self.trial(Trial(""), timeout, require_dynamic=False, case=better)
        return problems, call, outcome

    def end(self) -> None:
        for recorder in self._recorders.values():
            recorder.end()

    def _random(self, timeout: float) -> list[Clue]:
        """Run eager once more with another seed: a module that answers otherwise is random by design."""
        digests = []
        for seed in (1, 2):
            child, watch = self._fork_recorder(0, seed)
            if self._await_report(child, watch, timeout).outcome.failure is None:
                child.connection.send(("digests",))
                answer = self._receive(child, timeout)
                digests.append(answer if isinstance(answer, list) else [])
            child.end()
        return random_modules(*digests) if len(digests) == 2 else []

    def _recordings(self, fqns: set[str], timeout: float) -> dict[int, Recording]:
        found = {}
        for index in range(len(self._case.inputs)):
            child, report = self._record(index, timeout)
            if index and report.outcome.failure is not None:
                continue  # eager rejects these inputs: there is nothing to compare with
            child.connection.send(("slim", fqns))
            answer = self._receive(child, timeout)
            if isinstance(answer, bytes):
                found[index] = torch.load(io.BytesIO(answer), weights_only=False)
        return found

    def _record(self, index: int, timeout: float) -> tuple[Child, EagerReport]:
        if index not in self._recorders:
            child, watch = self._fork_recorder(index)
            self._recorders[index], self._reports[index] = child, self._await_report(child, watch, timeout)
        return self._recorders[index], self._reports[index]

    def _fork_recorder(self, index: int, seed: int | None = None) -> tuple[Child, watching.Watch]:
        directory = Path(tempfile.mkdtemp(dir=self._directory))
        watch = watching.Watch(directory)

        def work(connection: Connection) -> None:
            watching.arm(directory)
            run = run_eager(self._case, index, watch.progress, seed=seed)
            connection.send(run.report())
            _hand_over(run, self._case, connection)

        return fork(work, directory / "output.log"), watch

    def _await_report(self, child: Child, watch: watching.Watch, timeout: float) -> EagerReport:
        with watch:
            answer = watch.wait(child, timeout, self._memory_limit, abandoned=self._user, keep=True)
            if isinstance(answer, EagerReport):
                return answer
            return EagerReport(Outcome(self._death(answer, watch, "")), self._names.infos({}))

    def _receive(self, child: Child, timeout: float) -> Any:
        return watching.receive(child, timeout, abandoned=self._user)

    def _death(self, death: Any, watch: watching.Watch, root: str) -> Failure:
        locator = clues.Locator(self._names, root)
        return watching.failure_of(death, watch, locator)


def _hand_over(run: Any, case: Case, connection: Connection) -> None:
    """The recorder's life after the run: hand over what is asked for."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            name, *arguments = connection.recv()
            answer: Any = None
            if name == "slim":
                buffer = io.BytesIO()
                torch.save(run.slim(*arguments), buffer)
                answer = buffer.getvalue()
            elif name == "describe":
                answer = describe(run, *arguments)
            elif name == "digests":
                answer = run.digests()
            elif name == "first_wrong_module":
                path, index = arguments
                answer = first_wrong_module(case, run, Path(path), index, clues.Locator(run.names))
            connection.send(answer)
