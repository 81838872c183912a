"""Changes of the call alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.export import Dim

from onnx_debug.data.failure import ClueKind, Failure
from onnx_debug.data.outcome import Outcome
from onnx_debug.data.stage import Stage
from onnx_debug.request.case import Case
from onnx_debug.request.entries import entries_of
from onnx_debug.request.inputs import read_inputs
from onnx_debug.request.keywords import last_opset
from onnx_debug.request.meant import to_shapes
from onnx_debug.session.fixes.change import Change, Cost


@dataclass(frozen=True)
class OtherExporter(Change):
    """The other of torch's two exporters."""

    dynamo: bool

    @property
    def title(self) -> str:
        """What to do."""
        return f"export with dynamo={self.dynamo}"

    @property
    def explanation(self) -> str:
        """What it changes."""
        if self.dynamo:
            return "torch.export captures the model, with symbolic sizes, in place of tracing it."
        return "The legacy exporter traces the model. It gets no new features from torch any more."

    @property
    def cost(self) -> Cost:
        """The legacy exporter is the last resort."""
        return Cost.CALL if self.dynamo else Cost.LESS

    @property
    def is_call(self) -> bool:
        """One option."""
        return True

    @property
    def alone(self) -> bool:
        """The legacy exporter captures no program that could be changed."""
        return not self.dynamo

    def apply(self, case: Case) -> Case:
        """With the option turned over."""
        return replace(case, options={**case.options, "dynamo": self.dynamo})

    def refuses(self, outcome: Outcome) -> str:
        """A trace that froze a branch passes on the inputs that go the same way, and on no others."""
        frozen = any(hint.kind is ClueKind.TRACER_WARNING for hint in outcome.hints)
        return "tracing keeps a branch or a value as the given inputs have it" if frozen else ""


@dataclass(frozen=True)
class StrictCapture(Change):
    """A capture through TorchDynamo, which understands Python that a plain run of the model does not show."""

    @property
    def title(self) -> str:
        """What to do."""
        return "capture with strict=True"

    @property
    def explanation(self) -> str:
        """What it changes."""
        return "TorchDynamo reads the model's bytecode in place of running it; the program is then exported."

    @property
    def cost(self) -> Cost:
        """The same model, the same file."""
        return Cost.CALL

    def apply(self, case: Case) -> Case:
        """With every capture strict."""
        return replace(case, within=(*case.within, _strict))

    def capture(self) -> dict[str, Any]:
        """The capture by itself, then the export."""
        return {"strict": True}


@contextlib.contextmanager
def _strict() -> Iterator[None]:
    export = torch.export.export

    def strict(*args: Any, **kwargs: Any) -> Any:
        return export(*args, **{**kwargs, "strict": True})

    torch.export.export = strict
    try:
        yield
    finally:
        torch.export.export = export


@dataclass(frozen=True)
class SizesByTorch(Change):
    """Dim.AUTO in place of dimensions that were required to be dynamic."""

    @property
    def title(self) -> str:
        """What to do."""
        return "let torch choose which sizes are dynamic (Dim.AUTO)"

    @property
    def explanation(self) -> str:
        """What it changes."""
        return "A dimension that the model makes a number of keeps the size of the given inputs in the file."

    @property
    def cost(self) -> Cost:
        """The file takes fewer sizes."""
        return Cost.LESS

    @property
    def is_call(self) -> bool:
        """One option."""
        return True

    def apply(self, case: Case) -> Case:
        """With the request in torch's own terms.

        Raises:
            ValueError: it cannot be spelled so.
        """
        inputs = read_inputs(case.model, case.args, case.kwargs)
        if inputs is None:
            raise ValueError("the inputs cannot be told apart")
        entries = entries_of(inputs, case.model, case.options, dynamo=True)
        free = [replace(entry, dim=Dim.AUTO) for entry in entries if entry.axis is not None]
        options = {k: v for k, v in case.options.items() if k != "dynamic_axes"}
        return replace(case, options={**options, "dynamic_shapes": to_shapes(inputs, free)})


@dataclass(frozen=True)
class WithoutOptimizer(Change):
    """The graph as it was translated."""

    @property
    def title(self) -> str:
        """What to do."""
        return "export with optimize=False"

    @property
    def explanation(self) -> str:
        """What it changes."""
        return "The exporter's optimizer, which fails on this graph, is left out. ONNX Runtime has one of its own."

    @property
    def cost(self) -> Cost:
        """One option."""
        return Cost.CALL

    @property
    def is_call(self) -> bool:
        """One option."""
        return True

    def apply(self, case: Case) -> Case:
        """With the option."""
        return replace(case, options={**case.options, "optimize": False})


@dataclass(frozen=True)
class OtherOpset(Change):
    """Another version of the standard operators.

    Attributes:
        version: which.
    """

    version: int

    @property
    def title(self) -> str:
        """What to do."""
        return f"export with opset_version={self.version}"

    @property
    def explanation(self) -> str:
        """What it changes."""
        return "The file uses another version of the standard operators."

    @property
    def cost(self) -> Cost:
        """One option."""
        return Cost.CALL

    @property
    def is_call(self) -> bool:
        """One option."""
        return True

    def apply(self, case: Case) -> Case:
        """With the option."""
        return replace(case, options={**case.options, "opset_version": self.version})


def proposals(case: Case, failure: Failure) -> Iterator[Change]:
    """The calls that may help."""
    if failure.stage in (Stage.LOAD, Stage.RUN):
        asked = case.options.get("opset_version")
        newest = last_opset(dynamo=case.dynamo)
        yield from (OtherOpset(version) for version in (18, newest) if version != asked)
    if failure.stage is Stage.OPTIMIZE:
        yield WithoutOptimizer()
    if not case.dynamo:
        yield OtherExporter(dynamo=True)
        return
    if failure.stage is Stage.CAPTURE:
        yield StrictCapture()
        fixed = any(clue.kind is ClueKind.SPECIALIZATION for clue in failure.clues)
        if case.asks_dynamic and fixed:
            yield SizesByTorch()
    if failure.stage in (Stage.CAPTURE, Stage.TRANSLATE) and not case.asks_dynamic:
        yield OtherExporter(dynamo=False)
