"""The recorders of one case: a process for each set of inputs that ran the model and hands over what was recorded.

A recorder can die like a trial, also long after it ran the model (it computes with ONNX Runtime); then the next question makes a new one.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from onnx_debug import clues, watching
from onnx_debug.case import Case, Inputs
from onnx_debug.outcome import Clue, Outcome
from onnx_debug.processes import Child, fork
from onnx_debug.recording import Call, ModuleNames, Recording
from onnx_debug.verify.beyond import eager_outputs
from onnx_debug.workshop import EagerReport, EagerRun, describe, first_wrong_module, random_modules, run_eager

Described = tuple[tuple[Any, ...], tuple[Any, ...]]


class Recorders:
    """Runs the model in forks of this process.

    Args:
        case: the export to work on.
        directory: takes what the recorders print.
        memory_limit: bytes that one of them may take.
        line: to the user, who may lose interest: everything here raises `GoneError` then.
    """

    def __init__(self, case: Case, directory: Path, memory_limit: int | None, line: watching.Line) -> None:
        self._case, self._directory, self._memory_limit, self._line = case, directory, memory_limit, line
        self._names = ModuleNames(case.model)
        self._children: dict[int, Child] = {}
        self._reports: dict[int, EagerReport] = {}

    def use(self, case: Case) -> None:
        """Take the case with more inputs to agree on; what was recorded of the others stays."""
        self._case = case

    def start(self, index: int, seed: int | None = None) -> tuple[Child, watching.Watch]:
        """Begin to run the model on the inputs `case.inputs[index]`."""
        directory = Path(tempfile.mkdtemp(dir=self._directory))
        watch = watching.Watch(directory)

        def work(connection: Connection) -> None:
            watching.arm(directory)
            run = run_eager(self._case, index, watch.progress, seed=seed)
            connection.send(run.report())
            _hand_over(run, self._case, connection)

        return fork(work, watch.output), watch

    def finish(self, index: int, started: tuple[Child, watching.Watch], timeout: float) -> EagerReport:
        """Wait for a run to end, and keep its process for questions."""
        child, watch = started
        with watch:
            answer = watch.wait(child, self._line, timeout, self._memory_limit)
            if not isinstance(answer, EagerReport):
                failure = watching.failure_of(answer, watch, clues.Locator(self._names))
                answer = EagerReport(Outcome(failure), self._names.infos({}))
        self._children[index], self._reports[index] = child, answer
        return answer

    def recordings(self, fqns: set[str], timeout: float) -> dict[int, Recording]:
        """What these modules received and returned, by position of the inputs; without inputs that eager rejects."""
        found = {}
        for index in range(len(self._case.inputs)):
            answer = self._ask(index, timeout, "slim", fqns)
            if isinstance(answer, bytes):
                found[index] = torch.load(io.BytesIO(answer), weights_only=False)
        return found

    def describe(self, traced: dict[str, list[Call]], fqn: str, call: int) -> Described:
        """The tensors of a recorded call."""
        answer = self._ask(0, 60.0, "describe", traced, fqn, call)
        return answer if isinstance(answer, tuple) else ((), ())

    def first_wrong_module(self, path: str, index: int, timeout: float) -> tuple[Clue, ...]:
        """Where the numbers of an exported model go wrong."""
        answer = self._ask(index, timeout, "first_wrong_module", path, index)
        return tuple(answer) if isinstance(answer, list) else ()

    def random_modules(self, timeout: float) -> tuple[Clue, ...]:
        """Run eager twice more with other seeds: a module that answers otherwise is random by design."""
        digests = []
        for seed in (1, 2):
            child, watch = self.start(0, seed)
            with watch:
                watch.wait(child, self._line, timeout, self._memory_limit)
            answer = self._exchange(child, timeout, "digests")
            child.kill()
            digests.append(answer if isinstance(answer, list) else [])
        return tuple(random_modules(*digests)) if all(digests) else ()

    def _ask(self, index: int, timeout: float, *question: Any) -> Any:
        """An answer, or None: eager rejects these inputs, or the recorder died over the question."""
        if index not in self._children:
            self.finish(index, self.start(index), timeout)
        if index and self._reports[index].outcome.failure is not None:
            return None  # there is nothing to compare with
        answer = self._exchange(self._children[index], timeout, *question)
        if self._children[index].poll() is not None:
            del self._children[index]
        return answer

    def _exchange(self, child: Child, timeout: float, *question: Any) -> Any:
        limit = time.monotonic() + timeout
        try:
            child.connection.send(question)
            while time.monotonic() < limit:
                if self._line.wait(child.connection):
                    return child.connection.recv()
        except watching.GoneError:
            child.kill()
            raise
        except Exception:  # noqa: BLE001 - it died, or what it sent cannot be read
            pass
        child.kill()  # a late answer would be taken for the next one
        return None


def eager_in_fork(case: Case, output: Path, inputs: Inputs) -> list[torch.Tensor] | None:
    """What the model returns for these inputs, computed in a fork: the model here keeps its state. None: it rejects them, or dies."""

    def work(connection: Connection) -> None:
        buffer = io.BytesIO()
        torch.save(eager_outputs(case, inputs), buffer)
        connection.send_bytes(buffer.getbuffer())

    child = fork(work, output)
    try:
        found: list[torch.Tensor] | None = torch.load(io.BytesIO(child.connection.recv_bytes()), weights_only=True)
        return found
    except EOFError:
        return None
    finally:
        child.kill()


def _hand_over(run: EagerRun, case: Case, connection: Connection) -> None:
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
