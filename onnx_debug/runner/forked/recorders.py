"""The recorders of one case: a process for each set of inputs that ran the model and hands over what was recorded.

A recorder can die like a trial, also long after it ran the model (it computes with ONNX Runtime);
then the next question makes a new one.
"""

from __future__ import annotations

import contextlib
import io
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from onnx_debug.data.call_tree import EagerReport
from onnx_debug.data.outcome import Clue, Outcome
from onnx_debug.eager.calls import digests, slim
from onnx_debug.eager.describe import describe
from onnx_debug.eager.outputs import eager_outputs
from onnx_debug.eager.recorder import Call, ModuleNames, Recording
from onnx_debug.explain import locate
from onnx_debug.explain.baked import baked_constants
from onnx_debug.explain.random_modules import random_modules
from onnx_debug.explain.wrong_module import first_wrong_module
from onnx_debug.request.case import Case, Inputs
from onnx_debug.runner.forked import watchdog
from onnx_debug.runner.forked.channel import GivenUpError, Line
from onnx_debug.runner.forked.processes import Child, fork
from onnx_debug.runner.forked.shared_memory import Setting
from onnx_debug.trial.eager_stage import EagerRun, run_eager

Described = tuple[tuple[Any, ...], tuple[Any, ...]]


class Recorders:
    """Runs the model in forks of this process.

    Args:
        setting: what all processes share.
        line: to the user, who may lose interest: everything here raises `GivenUpError` then.
    """

    def __init__(self, setting: Setting, line: Line) -> None:
        self._setting, self._line = setting, line
        self._names = ModuleNames(setting.case.model)
        self._children: dict[int, Child] = {}
        self._reports: dict[int, EagerReport] = {}

    @property
    def set_for_good(self) -> tuple[str, ...]:
        """Attributes that a first call on the given inputs sets and another leaves as they are."""
        return self._reports[0].set_for_good if 0 in self._reports else ()

    def use(self, setting: Setting) -> None:
        """Take a case with more inputs to agree on; what was recorded of the others stays."""
        self._setting = setting

    def start(self, index: int, seed: int | None = None) -> tuple[Child, watchdog.Watch]:
        """Begin to run the model on the inputs `case.inputs[index]`."""
        case, watch = self._setting.case, watchdog.Watch(self._setting)
        after_first = index > 0 and bool(self.set_for_good)

        def work(connection: Connection) -> None:
            watch.arm()
            run = run_eager(case, index, watch.progress, seed=seed, after_first=after_first)
            connection.send(run.report())
            _hand_over(run, case, connection)

        return fork(work, watch.output), watch

    def finish(
        self, index: int, started: tuple[Child, watchdog.Watch], timeout: float
    ) -> EagerReport:
        """Wait for a run to end, and keep its process for questions."""
        child, watch = started
        answer = watch.wait(child, self._line, timeout)
        if not isinstance(answer, EagerReport):
            failure = watchdog.failure_of(answer, watch, locate.Locator(self._names))
            answer = EagerReport(Outcome(failure), self._names.infos({}))
        self._children[index], self._reports[index] = child, answer
        return answer

    def recordings(self, fqns: set[str], timeout: float) -> dict[int, Recording]:
        """What these modules received and returned, by position of the inputs; without inputs that eager rejects."""
        found = {}
        for index in range(len(self._setting.case.inputs)):
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

    def baked_constants(self, path: str, index: int, timeout: float) -> tuple[Clue, ...]:
        """Constants of an exported model that follow from the given inputs and would be others for the inputs at `index`."""
        given = self._ask(0, timeout, "slim", set(self._names.modules))
        answer = (
            self._ask(index, timeout, "baked_constants", path, given) if index and given else None
        )
        return tuple(answer) if isinstance(answer, list) else ()

    def random_modules(self, timeout: float) -> tuple[Clue, ...]:
        """Run eager twice more with other seeds: a module that answers otherwise is random by design."""
        runs = []
        for seed in (1, 2):
            child, watch = self.start(0, seed)
            watch.wait(child, self._line, timeout)
            answer = self._exchange(child, timeout, "digests")
            child.kill()
            runs.append(answer if isinstance(answer, list) else [])
        return tuple(random_modules(*runs)) if all(runs) else ()

    def _ask(self, index: int, timeout: float, *question: Any) -> Any:
        """An answer, or None: eager rejects these inputs, or the recorder died over the question."""
        if self._is_missing(index):
            self.finish(index, self.start(index), timeout)
        if self._is_rejected(index):
            return None  # there is nothing to compare with
        return self._exchange(self._children[index], timeout, *question)

    def _is_missing(self, index: int) -> bool:
        return index not in self._children or (
            self._children[index].poll() is not None and not self._is_rejected(index)
        )

    def _is_rejected(self, index: int) -> bool:
        """Whether eager rejects these inputs; where it rejects the first ones, there is no search."""
        return index > 0 and self._reports[index].outcome.failure is not None

    def _exchange(self, child: Child, timeout: float, *question: Any) -> Any:
        limit = time.monotonic() + timeout
        try:
            child.connection.send(question)
            while time.monotonic() < limit:
                if self._line.wait(child.connection):
                    return child.connection.recv()
        except GivenUpError:
            child.kill()
            raise
        except Exception:  # noqa: BLE001 - it died, or what it sent cannot be read
            pass
        child.kill()  # a late answer would be taken for the next one
        return None


def eager_in_fork(
    case: Case, output: Path, seconds: float, inputs: Inputs, *, gradients: bool = False
) -> list[torch.Tensor] | None:
    """What the model returns for these inputs, computed in a fork: the model here keeps its state.

    None where it rejects them, dies, or takes longer.
    """

    def work(connection: Connection) -> None:
        buffer = io.BytesIO()
        torch.save(eager_outputs(case, inputs, gradients=gradients), buffer)
        connection.send_bytes(buffer.getbuffer())

    child = fork(work, output)
    try:
        if not child.connection.poll(seconds):
            return None
        found: list[torch.Tensor] | None = torch.load(
            io.BytesIO(child.connection.recv_bytes()), weights_only=True
        )
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
                torch.save(slim(run.recording, *arguments), buffer)
                answer = buffer.getvalue()
            elif name == "describe":
                answer = describe(run.recording, run.names, *arguments)
            elif name == "digests":
                answer = digests(run.recording)
            elif name == "first_wrong_module":
                path, index = arguments
                answer = first_wrong_module(
                    case, run.recording, Path(path), index, locate.Locator(run.names)
                )
            elif name == "baked_constants":
                path, given = arguments
                recording = torch.load(io.BytesIO(given), weights_only=False)
                answer = baked_constants(
                    Path(path), recording, run.recording, locate.Locator(run.names)
                )
            connection.send(answer)
