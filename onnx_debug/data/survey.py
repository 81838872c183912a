"""What became of many models, over exporters and opsets. No torch."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Protocol

from onnx_debug.data.diagnosis import Diagnosis
from onnx_debug.data.stage import Verdict


@dataclass(frozen=True)
class Combination:
    """What is asked: one case, by one exporter, for one opset.

    Attributes:
        case: its name.
        dynamo: by which exporter.
        opset: `opset_version`; None: not given.
    """

    case: str
    dynamo: bool = True
    opset: int | None = None

    @property
    def exporter(self) -> str:
        """`dynamo` or `legacy`."""
        return "dynamo" if self.dynamo else "legacy"

    def __str__(self) -> str:
        opset = "" if self.opset is None else f", opset {self.opset}"
        return f"{self.case} ({self.exporter}{opset})"


@dataclass(frozen=True)
class Answer:
    """What became of it.

    Attributes:
        diagnosis: None where there is none: the case could not be made, its time was over, or its
            process died.
        said: why there is none.
        seconds: wall time, the start of its process included.
    """

    combination: Combination
    diagnosis: Diagnosis | None = None
    said: str = ""
    seconds: float = 0.0

    @property
    def verdict(self) -> Verdict:
        """That of the diagnosis; without one nobody knows."""
        return Verdict.UNRESOLVED if self.diagnosis is None else self.diagnosis.verdict


@dataclass(frozen=True)
class Change:
    """An answer of the last run beside the one before it, which is of other code or other versions."""

    before: Answer
    now: Answer


class SurveyForms(Protocol):
    """What a survey looks like; `onnx_debug` sets the one implementation."""

    def text(self, survey: Survey, /) -> str:
        """The survey in a few lines."""
        ...

    def page(self, survey: Survey, /) -> str:
        """The survey as one static HTML page."""
        ...

    def markdown(self, survey: Survey, /) -> str:
        """The survey as Markdown."""
        ...


@dataclass(frozen=True, repr=False)
class Survey:
    """Many diagnoses, and what changed since they were made before.

    Attributes:
        combinations: what was asked, in order.
        answers: what is known; after an interruption some are missing.
        changes: of the last run, what had an earlier answer.
        versions: package name to version.
    """

    combinations: tuple[Combination, ...]
    answers: tuple[Answer, ...] = ()
    changes: tuple[Change, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    forms: ClassVar[SurveyForms]

    @cached_property
    def by_combination(self) -> dict[Combination, Answer]:
        """The answers, to look one up."""
        return {answer.combination: answer for answer in self.answers}

    @property
    def verdicts(self) -> Counter[Verdict]:
        """How many have which verdict; what has no answer yet is not begun."""
        found = self.by_combination
        return Counter(
            found[one].verdict if one in found else Verdict.NOT_BEGUN for one in self.combinations
        )

    @property
    def ok(self) -> bool:
        """Whether everything exports."""
        return self.verdicts[Verdict.PASSED] == len(self.combinations)

    def to_markdown(self) -> str:
        """The survey as Markdown: a matrix, the causes, what changed, and each answer's text."""
        return self.forms.markdown(self)

    def save_html(self, path: str | Path) -> Path:
        """Write the survey as one static HTML page, and return its path."""
        target = Path(path)
        target.write_text(self.forms.page(self), encoding="utf-8")
        return target

    def __str__(self) -> str:
        return self.forms.text(self)

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {verdict}" for verdict, count in self.verdicts.items())
        return f"<Survey: {counts}>"
