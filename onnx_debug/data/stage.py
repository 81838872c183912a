"""The stages of an export, what became of each, and the verdict. No torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Stage(StrEnum):
    """The steps an export goes through, in order; a case is exported only when all of them pass."""

    EAGER = "eager"
    OPTIONS = "options"
    CAPTURE = "capture"
    TRANSLATE = "translate"
    OPTIMIZE = "optimize"
    LOAD = "load"
    RUN = "run"
    COMPARE = "compare"


class Verdict(StrEnum):
    """What is known of an export, or of one trial. Only `PASSED` is a success."""

    NOT_BEGUN = "not begun"
    PASSED = "passed"  # every stage passed, and outputs were compared
    FAILED = "failed"
    UNRESOLVED = "unresolved"  # a stage could not be tried, so nobody knows
    STOPPED = "stopped"  # by the user, before there was an answer


class StageState(StrEnum):
    """What became of one stage."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    NOT_REACHED = "not reached"


@dataclass(frozen=True)
class StageResult:
    """What became of one stage; `reason` says why it was skipped."""

    stage: Stage
    state: StageState
    reason: str = ""


class Mode(StrEnum):
    """How a stage failed."""

    ERROR = "error"
    CRASH = "crash"
    TIMEOUT = "timeout"
    MEMORY = "memory"


def stages_before(stage: Stage) -> tuple[Stage, ...]:
    """The stages that come before one."""
    order = list(Stage)
    return tuple(order[: order.index(stage)])


def skipped(stages: Iterable[Stage], reason: str) -> tuple[StageResult, ...]:
    """Stages that are not tried, and why."""
    return tuple(StageResult(stage, StageState.SKIPPED, reason) for stage in stages)
