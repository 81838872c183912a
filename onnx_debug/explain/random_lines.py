"""Which lines of a model draw random numbers: after them a generator of Python, NumPy or torch is in another state."""

from __future__ import annotations

import contextlib
import itertools
import pickle
import random
import sys
import traceback
from collections.abc import Iterator
from dataclasses import replace
from types import FrameType
from typing import Any

import numpy as np
import torch

from onnx_debug.data.failure import Clue, ClueKind
from onnx_debug.explain.exceptions import from_frames
from onnx_debug.explain.installed import is_library
from onnx_debug.explain.locate import Locator
from onnx_debug.request.case import Case


def drawing_lines(case: Case, locator: Locator) -> list[Clue]:
    """Run the model once, line by line, and return the first line of each module that draws, in the order of execution."""
    watch = _Watch(locator)
    with contextlib.suppress(Exception), watch.at_work():
        case.model(*case.args, **case.kwargs)
    return list(watch.found.values())


class _Watch:
    def __init__(self, locator: Locator) -> None:
        self.found: dict[str, Clue] = {}
        self._locator = locator
        self._before = _states()

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        tracer = sys.gettrace()
        sys.settrace(self._enter)
        try:
            yield
        finally:
            sys.settrace(tracer)

    def _enter(self, frame: FrameType, *_: Any) -> Any:
        """Follow the lines of a module's or the user's function; a draw in any other counts for the line that calls it."""
        owner = self._locator.names.fqn(frame.f_locals.get("self"))
        if owner is None and is_library(frame.f_code.co_filename):
            return None
        line = frame.f_lineno

        def follow(frame: FrameType, *_: Any) -> Any:
            nonlocal line
            self._look(frame, line)
            line = frame.f_lineno
            return follow

        return follow

    def _look(self, frame: FrameType, line: int) -> None:
        now = _states()
        if now == self._before:
            return
        self._before = now
        inside = itertools.takewhile(
            lambda one: one[0].f_code is not drawing_lines.__code__, traceback.walk_stack(frame)
        )
        *outer, _ = reversed(list(inside))
        clue = from_frames([*outer, (frame, line)], self._locator)
        if clue is not None:
            self.found.setdefault(clue.fqn, replace(clue, kind=ClueKind.RANDOM))


def _states() -> tuple[bytes, bytes]:
    return pickle.dumps((random.getstate(), np.random.get_state())), bytes(
        torch.get_rng_state().numpy()
    )
