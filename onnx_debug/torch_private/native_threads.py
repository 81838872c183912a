"""The threads that torch computes with, and forks."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from pathlib import Path

import torch

_PAUSE_HARD = 2  # omp.h: omp_pause_hard


def release() -> bool:
    """Let OpenMP end its threads before a fork; it starts new ones when they are needed.

    A fork has none of its parent's threads, but a parent's OpenMP believes that they are there: a
    fork that computes with several threads would wait for them for ever. False where the library
    is not known: then a fork has to compute with one thread.
    """
    pause = _pause()
    return pause is not None and pause(_PAUSE_HARD) == 0


@functools.cache
def _pause() -> Callable[[int], int] | None:
    """`omp_pause_resource_all` of the OpenMP library that torch brings along (GNU's, on Linux)."""
    for file in sorted((Path(torch.__file__).parent / "lib").glob("libgomp*")):
        try:
            found: Callable[[int], int] = ctypes.CDLL(str(file)).omp_pause_resource_all
        except (OSError, AttributeError):
            continue
        return found
    return None
