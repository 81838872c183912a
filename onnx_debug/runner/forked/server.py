"""The fork server: a clean and warm copy of the user's process, which forks a process for every run of the model and every question.

Each of them starts from its clean state, and may die: the server tells what became of it.
"""

from __future__ import annotations

import contextlib
import gc
import io
import os
import shutil
import signal
import traceback
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NoReturn

import torch

from onnx_debug.eager.calls import Call
from onnx_debug.eager.module_names import ModuleNames
from onnx_debug.eager.outputs import eager_outputs
from onnx_debug.request.case import Case, Inputs
from onnx_debug.runner.forked.death import Death, DiedError
from onnx_debug.runner.forked.processes import adopt_orphans, end_children, end_orphans
from onnx_debug.runner.forked.recorders import Recorders
from onnx_debug.runner.forked.shared_memory import Shared
from onnx_debug.runner.forked.worker import TICK, Worker, read, write
from onnx_debug.runner.questions import Context, FurtherCheck, Question, with_checks
from onnx_debug.torch_private import canary


@dataclass(frozen=True)
class Request:
    """What the user's process sends.

    Attributes:
        question: None: how did the eager run on the given inputs go?
        checks: further inputs that count.
        traced: what captures of the whole model saw of the modules that the question needs.
        timeout: seconds for each process that works on it.
        limit: seconds after which the server itself must hang, and ends.
    """

    question: Question[Any] | None
    checks: tuple[FurtherCheck, ...]
    traced: dict[str, list[Call]]
    timeout: float
    limit: float


@dataclass(frozen=True)
class Reply:
    """What the server sends back: a file with the answer, or why there is none.

    Attributes:
        given_up: the user did not want to wait for it.
    """

    answer: Path | None = None
    death: Death | None = None
    given_up: bool = False


class GivenUpError(Exception):
    """The user does not want to wait for the answer any more."""


def serve(shared: Shared, connection: Connection) -> None:
    """Answer requests until the user's process hangs up or dies."""
    adopt_orphans()
    user = _User(connection)
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    try:
        with contextlib.suppress(SystemExit):
            _Server(shared, user).work()
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # nothing may disturb the end
        end_children()
    if user.gone:  # it was killed: nobody else cleans up
        shutil.rmtree(shared.directory, ignore_errors=True)


def _leave(*_: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit


class _User:
    """The user's process, as the server sees it. Where it is gone, everything here raises `SystemExit`."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._parent, self._hung_up = connection, os.getppid(), False

    @property
    def gone(self) -> bool:
        """Whether that process is gone.

        Its end of the connection closes a moment before this process gets another parent, or lives
        on in another process; whoever ends the server on purpose sends a signal first.
        """
        return self._hung_up or os.getppid() != self._parent

    def request(self) -> Request:
        """The next request."""
        while True:
            if self._connection.poll(1.0):
                received = self._received()
                if isinstance(received, Request):  # else it gives up what is answered already
                    return received
            elif self.gone:
                raise SystemExit

    def reply(self, reply: Reply) -> None:
        """Answer it."""
        try:
            self._connection.send(reply)
        except OSError as error:
            self._hung_up = True
            raise SystemExit from error

    def ready(self, connection: Connection) -> bool:
        """Wait a moment for something to read from a process that works on the request.

        Raises:
            GivenUpError: the user does not want to wait for it any more.
        """
        ready = wait([connection, self._connection], TICK)
        if self._connection in ready:
            self._received()
            raise GivenUpError
        if self.gone:
            raise SystemExit
        return connection in ready

    def _received(self) -> Any:
        try:
            return self._connection.recv()
        except (EOFError, OSError) as error:
            self._hung_up = True
            raise SystemExit from error


class _Server:
    def __init__(self, shared: Shared, user: _User) -> None:
        self._shared, self._user = shared, user
        self._names = ModuleNames(shared.case.model)
        self._recorders = Recorders(shared, user.ready)
        self._warm = False
        self._notes: tuple[str, ...] = ()

    def work(self) -> None:
        """Answer one request after the other."""
        while True:
            request = self._user.request()
            signal.setitimer(signal.ITIMER_REAL, request.limit)
            reply = self._reply(request)
            signal.setitimer(signal.ITIMER_REAL, 0)
            self._user.reply(reply)

    def _reply(self, request: Request) -> Reply:
        try:
            return Reply(self._answer(request))
        except GivenUpError:
            return Reply(given_up=True)
        except DiedError as died:
            return Reply(death=died.death)
        except Exception:  # noqa: BLE001 - our own mistake: the user's side says so
            return Reply(death=Death.of_ours(traceback.format_exc()))
        finally:
            end_orphans()

    def _answer(self, request: Request) -> Path:
        case = with_checks(self._shared.case, request.checks)
        if not self._warm:
            self._warm_up(case)
        if request.question is None:
            path = self._recorders.report(case, 0, request.timeout)
            if self._notes:
                write(replace(read(path), notes=self._notes), path)
            return path
        needs = request.question.needs
        files = (
            {} if needs == frozenset() else self._recorders.recordings(case, needs, request.timeout)
        )
        worker = Worker(self._shared, partial(self._run, request, case, files))
        try:
            return worker.wait(request.timeout, self._user.ready)
        finally:
            worker.end()
            for file in files.values():
                file.unlink()

    def _warm_up(self, case: Case) -> None:
        """Import and build, while the model runs for the first time, what every fork will need."""
        self._recorders.start(case, 0)
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            contextlib.suppress(Exception),  # a trial will say it
        ):
            self._notes = canary.check(
                dynamo=case.dynamo, opset_version=case.options.get("opset_version")
            )
        gc.freeze()  # a collection in a fork would touch, and so copy, every object there is
        self._warm = True

    def _run(self, request: Request, case: Case, files: dict[int, Path], directory: Path) -> Any:
        """In the fork: answer the question."""
        assert request.question is not None
        context = Context(
            case,
            self._names,
            {index: read(file) for index, file in files.items()},
            request.traced,
            directory,
            self._shared.progress,
            partial(_eager_outputs, self._shared, case, request.timeout / 4),
        )
        return request.question.run(context)


def _eager_outputs(
    shared: Shared, case: Case, seconds: float, inputs: Inputs, *, gradients: bool = False
) -> list[torch.Tensor] | None:
    """The model's own outputs, computed in a fork: the model here keeps its state.

    None where it rejects the inputs, dies, or takes longer.
    """
    worker = Worker(shared, lambda _: eager_outputs(case, inputs, gradients=gradients))
    try:
        found: list[torch.Tensor] | None = read(worker.wait(seconds))
        return found
    except DiedError:
        return None
    finally:
        worker.end()
