"""Questions answered in forks of the user's process.

    the user's process ──► fork server (clean, warm) ──► recorder: ran the model, keeps what its
    modules got and gave
                                                    └──► one fork for each question

Models and operators that exist only in the user's process are at hand everywhere, and nothing has
to be copied. Each process may die: the user's process makes a new server when that one is lost.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import traceback
import weakref
from functools import partial
from typing import Any, NoReturn, TypeVar

import torch

from onnx_debug.data.call_tree import EagerReport
from onnx_debug.data.errors import PausedError, SessionClosedError
from onnx_debug.explain.locate import Locator
from onnx_debug.request.case import Case
from onnx_debug.runner import memory, workdir
from onnx_debug.runner.forked.death import Death
from onnx_debug.runner.forked.processes import Child, fork, uninterrupted
from onnx_debug.runner.forked.server import Reply, Request, serve
from onnx_debug.runner.forked.shared_memory import Shared
from onnx_debug.runner.forked.worker import TICK, read
from onnx_debug.runner.questions import Question
from onnx_debug.runner.runner import Runner, UnansweredError
from onnx_debug.torch_private import exporter, native_threads

T = TypeVar("T")

_WARM_UP = (
    300.0  # seconds that imports may take, from a slow disk; afterwards, what our own work may take
)
_OWN_WORK = 60.0
_LONGEST_PAUSE = 0.5  # seconds for the server to give a question up; then it is given up itself
_GIVE_UP = "give up"


class _LostError(Exception):
    """The fork server died or hangs."""


class ForkedRunner(Runner):
    """The user's side: asks the fork server, one question at a time.

    Args:
        case: the export to work on.
        memory_limit: bytes that one process may take beyond the model; None: most of what is free
            now.
    """

    isolated = True

    def __init__(self, case: Case, *, memory_limit: int | None = None) -> None:
        if case.dynamo:
            # Here, so that the next diagnosis finds them made.
            exporter.build_operator_tables(case.options.get("opset_version"))
        super().__init__(case)
        limit = memory.free() if memory_limit is None else memory_limit
        threads = torch.get_num_threads()
        slowdown = 1 if native_threads.release() else threads
        self._shared = Shared(case, self.directory, limit, threads, slowdown)
        self._asking, self._sending = threading.Lock(), threading.Lock()
        self._closed, self._resting, self._paused = False, False, 0.0
        try:
            self._start_server()
        except OSError:  # too many processes, or no memory for one more
            workdir.remove(self.directory)
            raise

    def _start_server(self) -> None:
        with uninterrupted():
            work = partial(serve, self._shared)
            self._server = fork(work, self.directory / "server.log", tied=False)
            self._fresh = True
            weakref.finalize(self, _end, self._server, os.getpid())

    def _eager(self, timeout: float) -> EagerReport:
        found: EagerReport = self._answer(None, timeout)
        return found

    def ask(self, question: Question[T], timeout: float) -> T:
        """The answer to a question."""
        found: T = self._answer(question, timeout)
        return found

    def pause(self) -> None:
        """From another thread: end the question under way within a second."""
        self._paused = time.monotonic()
        with contextlib.suppress(OSError), self._sending:
            self._server.connection.send(_GIVE_UP)

    def resume(self) -> None:
        """Answer questions again."""
        self._paused = 0.0

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

    def _answer(self, question: Question[Any] | None, timeout: float) -> Any:
        """The answer. What was lost by chance is asked once more.

        Raises:
            UnansweredError: there is none.
        """
        with self._asking:  # another thread may look at the diagnosis meanwhile
            if self._resting and not self._closed:
                self._start_server()
                self._resting = False
            for once_more in (True, False):
                try:
                    reply = self._exchange(question, timeout)
                except _LostError as error:
                    lost = str(error)
                    with contextlib.suppress(OSError):
                        self._start_server()
                    continue
                answer = _read(reply)
                if not isinstance(answer, Death):
                    return answer
                if not (once_more and answer.by_chance):
                    self._unanswered(question, answer)
        raise UnansweredError(f"the process that runs the trials was lost twice: {lost}")

    def _exchange(self, question: Question[Any] | None, timeout: float) -> Reply:
        """Send one request and wait for the reply.

        Raises:
            PausedError: the user does not want to wait for it any more.
            SessionClosedError: there is nobody to ask.
            _LostError: the server is no more.
        """
        if self._closed:
            raise SessionClosedError("this session is closed; make a new one")
        try:
            reply = self._await(self._request(question, timeout))
        except BaseException as problem:
            with uninterrupted():
                self._server.end()  # also after Ctrl-C: its reply would be taken for the next one
            if not isinstance(problem, Exception):
                raise
            if self._closed:
                raise SessionClosedError("this session was closed while it worked") from problem
            if not self._paused:
                raise _LostError(self._server.verdict()) from problem
            reply = Reply(given_up=True)
        if reply.given_up:
            raise PausedError("paused before this was answered; ask again")
        self._fresh = False
        return reply

    def _request(self, question: Question[Any] | None, timeout: float) -> Request:
        """With a limit for all processes that may work on it: one for each set of inputs, twice if one is lost, and its own."""
        runs = 1 + 2 * (1 + len(self._case.check_inputs) + len(self._checks))
        limit = runs * timeout * self._shared.slowdown + (_WARM_UP if self._fresh else _OWN_WORK)
        traced = self._traced.of(question.needs) if question is not None else {}
        return Request(question, self._checks, traced, timeout, limit)

    def _await(self, request: Request) -> Reply:
        connection, limit = self._server.connection, time.monotonic() + request.limit
        if self._paused:
            return Reply(given_up=True)
        with self._sending:
            connection.send(request)
        while not connection.poll(TICK):
            now = time.monotonic()
            if now > limit or (self._paused and now > self._paused + _LONGEST_PAUSE):
                raise TimeoutError
        reply: Reply = connection.recv()
        return reply

    def _unanswered(self, question: Question[Any] | None, death: Death) -> NoReturn:
        module = question.module if question is not None else ""
        failure = death.failure(Locator(self._names, module))
        raise UnansweredError(death.words, failure=failure, log=death.log)


def _read(reply: Reply) -> Any:
    """The answer, or why there is none."""
    if reply.answer is None:
        return reply.death
    try:
        return read(reply.answer)
    except Exception:  # noqa: BLE001 - what our own process wrote cannot be read
        return Death.of_ours(traceback.format_exc())


def _end(server: Child, user: int) -> None:
    if os.getpid() == user:  # a fork inherits the finalizer, but not the child
        server.end()
