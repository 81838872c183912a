"""Who may use the panel's session, and how long its processes live when nobody does."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from onnx_debug.frontends.panel.driver import Driver

IDLE = 60.0  # seconds without a question after which the session's processes end
_LAST_QUESTIONS = 0.5  # seconds


class Worker:
    """Lets one thread at a time use a session.

    The processes of a session hold a copy of every value that its modules got and returned. They
    end when the search is over, and when nothing was asked for a while; the next question starts
    them anew.
    """

    def __init__(self, driver: Driver | None) -> None:
        self.driver = driver
        self.resting = False
        self._working, self._using = threading.Lock(), threading.RLock()
        self._timer: threading.Timer | None = None

    @property
    def working(self) -> bool:
        """Whether something is under way that the user asked for."""
        return self._working.locked()

    @contextmanager
    def work(self) -> Iterator[Driver | None]:
        """The session, to do what the user asked for; None while something else is under way."""
        if self.driver is None or not self._working.acquire(blocking=False):
            yield None
            return
        try:
            with self.use() as driver:
                yield driver
        finally:
            self._working.release()

    @contextmanager
    def use(self) -> Iterator[Driver | None]:
        """The session, as soon as nobody else asks it something."""
        with self._using:
            if self._timer is not None:
                self._timer.cancel()
            self.resting = False
            try:
                yield self.driver
            finally:
                if not self.resting:
                    self._rest_later()

    def finish(self, modules: Iterable[str]) -> None:
        """The search is over: ask once more what users look at, what these modules got, and let the processes end."""
        limit = time.monotonic() + _LAST_QUESTIONS
        with self.use():
            for fqn in modules:
                if self.driver is not None and time.monotonic() < limit:
                    self.driver.calls(fqn)
        self.rest()

    def _rest_later(self) -> None:
        self._timer = threading.Timer(IDLE, self.rest)
        self._timer.daemon = True
        self._timer.start()

    def rest(self) -> None:
        """End the session's processes until something is asked."""
        with self._using:
            if self.driver is not None and not self.resting:
                self.driver.rest()
                self.resting = True

    def close(self) -> None:
        """End the session, in the middle of a trial too."""
        if self._timer is not None:
            self._timer.cancel()
        if self.driver is not None:
            self.driver.close()
            self.driver = None
