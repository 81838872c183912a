"""A change of a case: what it does to a copy, what it costs, and what the user writes for it.

A change is proposed because of what failed; nothing calls it a fix before the whole case was
exported with it, loaded, run and compared.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from onnx_debug.data.outcome import Outcome
from onnx_debug.request.case import Case
from onnx_debug.session.fixes.operators.decomposition import Decomposition


class Cost(IntEnum):
    """How much a change takes from the user."""

    CALL = 1  # another call, for the same model and the same file
    PREPARATION = 2  # one line before the call; the numbers stay
    OPERATORS = 3  # functions to paste, no source to edit
    SOURCE = 4  # lines of the user's own code
    LESS = 5  # the file can do less than what was asked for


@dataclass(frozen=True)
class Change(ABC):
    """One change. Frozen and importable, so that it goes to another process by pickle."""

    @property
    @abstractmethod
    def title(self) -> str:
        """What to do, in a few words."""

    @property
    @abstractmethod
    def explanation(self) -> str:
        """What it changes, and what it costs."""

    @property
    @abstractmethod
    def cost(self) -> Cost:
        """How much it takes from the user."""

    @property
    def likely(self) -> bool:
        """Whether it answers to the very thing that fails, and so is tried before what may help anywhere."""
        return False

    @property
    def new_answers(self) -> bool:
        """Whether the model answers otherwise by intent: then it is compared with itself as changed."""
        return False

    @abstractmethod
    def apply(self, case: Case) -> Case:
        """The changed case. This may change the model in place: it runs where nobody else needs it.

        Raises:
            Exception: the change does not fit this model.
        """

    def lines(self, case: Case) -> str:
        """Python lines to run before the export; empty when there are none."""
        del case
        return ""

    def diff(self, case: Case) -> str:
        """Unified diff of the user's source; empty when that stays."""
        del case
        return ""

    @property
    def alone(self) -> bool:
        """Whether it is tried by itself only."""
        return self.new_answers

    @property
    def is_call(self) -> bool:
        """Whether the call of the changed options is all that the user writes."""
        return False

    def capture(self) -> dict[str, Any]:
        """Keywords of `torch.export.export`, where the capture has to be a call of its own."""
        return {}

    def decompositions(self) -> tuple[Decomposition, ...]:
        """The functions to export with."""
        return ()

    def table(self) -> dict[str, str]:
        """Further decompositions, of functions that the user has: operator by function, as source."""
        return {}

    def refuses(self, outcome: Outcome) -> str:
        """Why an export that passes is still no fix; empty when it is one."""
        del outcome
        return ""
