"""What fits with what in this installation, found by trying. No torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from onnx_debug.data.stage import Stage, Verdict


@dataclass(frozen=True)
class Cell:
    """One export: an exporter, an opset, and what came of it.

    Attributes:
        dynamo: by which exporter.
        asked: `opset_version`; None: not given.
        verdict: of all stages, ONNX Runtime included; not begun where the time was over.
        got: the opset of the file; None where there is none.
        stage: where it failed.
        said: the first line of what went wrong.
    """

    dynamo: bool
    asked: int | None
    verdict: Verdict = Verdict.NOT_BEGUN
    got: int | None = None
    stage: Stage | None = None
    said: str = ""


@dataclass(frozen=True)
class RuntimeOpset:
    """Whether ONNX Runtime runs files of one opset; `said` is its refusal, empty when it does."""

    opset: int
    said: str = ""


@dataclass(frozen=True)
class FileAnswer:
    """Whether ONNX Runtime takes a file.

    Attributes:
        opsets: version by domain; "" is the standard one.
        loads: whether it does; None: nobody knows, because to try it ended the process or the time.
        reasons: what is in the way.
        lint: what onnx-doctor found, where that is installed.
    """

    path: str
    opsets: dict[str, int] = field(default_factory=dict)
    ir_version: int = 0
    producer: str = ""
    loads: bool | None = None
    reasons: tuple[str, ...] = ()
    lint: tuple[str, ...] = ()


class CompatibilityForms(Protocol):
    """What a report looks like; `onnx_debug` sets the one implementation."""

    def text(self, report: Compatibility, /) -> str:
        """The report as text."""
        ...


@dataclass(frozen=True, repr=False)
class Compatibility:
    """What fits with what.

    Attributes:
        versions: package name to version.
        problems: what does not fit, one sentence each.
        model_class: whose exports the cells are; empty: of one layer.
        requested: the opset that the request asks for; None where it asks for none.
        cells: exporters by opsets.
        runtime: what ONNX Runtime runs, opset by opset.
        file: about the file that was asked about.
        notes: what could not be tried.
        seconds: wall time.
    """

    versions: dict[str, str]
    problems: tuple[str, ...] = ()
    model_class: str = ""
    requested: int | None = None
    cells: tuple[Cell, ...] = ()
    runtime: tuple[RuntimeOpset, ...] = ()
    file: FileAnswer | None = None
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    forms: ClassVar[CompatibilityForms]

    @property
    def ok(self) -> bool:
        """Whether nothing stands in the way: no bad combination, a file that loads, one export that passes."""
        passed = not self.cells or any(cell.verdict is Verdict.PASSED for cell in self.cells)
        return passed and not self.problems and (self.file is None or self.file.loads is True)

    def cell(self, *, dynamo: bool, asked: int | None) -> Cell | None:
        """The answer for one exporter and one opset; None where that was not asked."""
        same = (cell for cell in self.cells if (cell.dynamo, cell.asked) == (dynamo, asked))
        return next(same, None)

    def __str__(self) -> str:
        return self.forms.text(self)

    def __repr__(self) -> str:
        return f"<Compatibility: {len(self.cells)} exports, {len(self.problems)} problems>"
