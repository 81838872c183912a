"""The line between the user's process and the fork server: one question at a time, which either end may give up."""

from __future__ import annotations

import os
import signal
from multiprocessing.connection import Connection, wait
from typing import Any

from onnx_debug.data.errors import PausedError
from onnx_debug.runner.forked.processes import Child, hang_up, uninterrupted
from onnx_debug.runner.forked.shared_memory import Signals

TICK = 0.05  # seconds between two looks
_LONGEST_SILENCE = 60.0  # seconds without a beat: a fork of a process with threads can inherit a lock that nobody will release
_LONGEST_PAUSE = (
    0.3  # seconds for the fork server to give a question up; then it is given up itself
)


class LostError(Exception):
    """The fork server died or hangs."""


class GivenUpError(Exception):
    """Nobody waits for the answer to the question under way any more."""


class GoneError(Exception):
    """The user's process hung up or is gone: there will be no more questions."""


def ask(server: Child, signals: Signals, question: tuple[Any, ...]) -> Any:
    """The user's end: ask the fork server, and wait for the answer.

    Raises:
        PausedError: the user does not want to wait for it any more; the fork server may have ended
            over it.
        LostError: the fork server is no more.
        IsolationError: a mistake of onnx_debug in the fork server.
    """
    if signals.pausing:
        raise _paused()
    signals.beat()
    try:
        server.connection.send(question)
        _wait_for_answer(server.connection, signals)
        answer, error = server.connection.recv()
    except BaseException as problem:
        with uninterrupted():
            server.end()  # also after Ctrl-C: its answer would be taken for that to the next question
        if not isinstance(problem, Exception):
            raise
        if signals.pausing:
            raise _paused() from problem
        raise LostError(f"the process that runs the trials died ({server.verdict()})") from problem
    if error is not None:
        raise error
    return answer


def _wait_for_answer(connection: Connection, signals: Signals) -> None:
    while not connection.poll(TICK):
        if signals.silence > _LONGEST_SILENCE or signals.pausing > _LONGEST_PAUSE:
            hang_up(connection)


def _paused() -> PausedError:
    return PausedError("paused before this was answered; ask again")


class Line:
    """The fork server's end."""

    def __init__(self, connection: Connection, signals: Signals) -> None:
        self._connection, self._signals = connection, signals
        self._user = os.getppid()
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        self._beat()

    @property
    def cut(self) -> bool:
        """Whether the user's process is gone, though a copy of its end may live on in another process."""
        return os.getppid() != self._user

    def question(self) -> Any:
        """The next question.

        Raises:
            GoneError: there will be none.
        """
        try:
            while not self._connection.poll(1.0):
                if self.cut:
                    raise GoneError
                self._beat()
            return self._connection.recv()
        except (EOFError, OSError) as error:
            raise GoneError from error

    def answer(self, answer: Any, error: Exception | None = None) -> None:
        """Answer it, or say why not.

        Raises:
            GoneError: nobody listens.
        """
        try:
            self._connection.send((answer, error))
        except OSError as problem:
            raise GoneError from problem

    def give_up(self) -> None:
        """Answer that the question was given up.

        Raises:
            GoneError: nobody listens.
        """
        self.answer(None, _paused())

    def wait(self, connection: Connection) -> bool:
        """Wait a moment for something to read from a process that works on the question.

        Raises:
            GivenUpError: the user paused, hung up, or is gone.
        """
        self._beat()
        ready = wait([connection, self._connection], TICK)
        if self._connection in ready or self.cut or self._signals.pausing:
            raise GivenUpError
        return connection in ready

    def _beat(self) -> None:
        """Show life. The system ends this process when it hangs, also when the user's process is gone and nobody else would."""
        self._signals.beat()
        signal.setitimer(signal.ITIMER_REAL, _LONGEST_SILENCE)
