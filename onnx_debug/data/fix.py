"""What was tried as a remedy: fixes, which passed, and changes that only get an export further. No torch."""

from __future__ import annotations

from dataclasses import dataclass

from onnx_debug.data.failure import Failure
from onnx_debug.data.outcome import Outcome


@dataclass(frozen=True, repr=False)
class Fix:
    """A change that was applied to a copy of the case, exported again, run and compared. Nothing untried is a `Fix`.

    Attributes:
        outcome: the whole case with the fix applied; always passed.
        max_abs_diff: largest difference to the eager module, over all outputs and inputs: to the
            unchanged one, unless `explanation` says that its answers are new.
        changes: how many changes it consists of.
        diff: unified diff of the user's source; empty when the change is not one of source.
        code: the call or the lines to use instead; empty when `diff` says it.
    """

    title: str
    explanation: str
    outcome: Outcome
    max_abs_diff: float
    changes: int = 1
    diff: str = ""
    code: str = ""

    def __repr__(self) -> str:
        return f"<Fix: {self.title}>"


@dataclass(frozen=True, repr=False)
class PartWay:
    """Changes with which the export gets past some of its blockers, and stops at another one. No fix.

    Attributes:
        failure: where the whole case stops with the changes applied.
        diff, code: as in `Fix`.
    """

    title: str
    explanation: str
    failure: Failure
    diff: str = ""
    code: str = ""

    def __repr__(self) -> str:
        return f"<PartWay: {self.title}; then it fails at {self.failure.stage}>"
