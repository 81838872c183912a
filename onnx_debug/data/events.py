"""What a session reports while it works. Plain data; no torch."""

from __future__ import annotations

from dataclasses import dataclass

from onnx_debug.data.culprit import Culprit
from onnx_debug.data.diagnosis import Step
from onnx_debug.data.outcome import Trial


@dataclass(frozen=True)
class Started:
    """The model ran in eager; the search begins.

    Attributes:
        modules: number of modules in the model.
    """

    modules: int


@dataclass(frozen=True)
class TrialStarted:
    """A trial begins. `number` counts from 1; `why` says in plain words what it is to find out."""

    number: int
    trial: Trial
    why: str


@dataclass(frozen=True)
class TrialFinished:
    """A trial was answered."""

    number: int
    step: Step


@dataclass(frozen=True)
class CulpritFound:
    """A module was proven to be to blame."""

    culprit: Culprit


Event = Started | TrialStarted | TrialFinished | CulpritFound
