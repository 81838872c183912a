"""A case over exporters and opsets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import onnx

from onnx_debug.data.compatibility import Cell
from onnx_debug.data.outcome import Outcome, Trial
from onnx_debug.eager.module_names import ModuleNames
from onnx_debug.request.case import Case
from onnx_debug.request.inputs import read_inputs
from onnx_debug.request.matching import UnclearError
from onnx_debug.request.meant import mended_dims
from onnx_debug.runner.questions import Context, Question
from onnx_debug.runner.runner import Runner, UnansweredError
from onnx_debug.trial.prepare import Bench
from onnx_debug.trial.run import run_trial


@dataclass(frozen=True)
class TryCell(Question[tuple[Outcome, int | None]]):
    """Does the case export with this exporter and this opset, and what is the opset of the file?"""

    dynamo: bool
    opset: int | None

    @property
    def needs(self) -> frozenset[str]:
        """What the model returned."""
        return frozenset({""})

    def run(self, context: Context) -> tuple[Outcome, int | None]:
        """Export, load, run and compare."""
        try:
            case = with_exporter(context.case, dynamo=self.dynamo, opset=self.opset)
        except ValueError as error:
            return Outcome(unresolved=str(error)), None
        names = ModuleNames(case.model)
        bench = Bench(
            case, names, context.recordings, {}, context.directory, progress=context.progress
        )
        outcome = run_trial(bench, Trial("")).outcome
        if outcome.onnx_path is None:
            return outcome, None
        model = onnx.load(outcome.onnx_path, load_external_data=False)
        opsets = {one.domain: one.version for one in model.opset_import}
        return outcome, opsets.get("") or opsets.get("ai.onnx")


def with_exporter(case: Case, *, dynamo: bool, opset: int | None) -> Case:
    """The same request to an exporter, its dynamic dimensions in the words of that one.

    Raises:
        ValueError: they cannot be said so.
    """
    options = {k: v for k, v in case.options.items() if k != "opset_version"}
    if dynamo is not case.dynamo and case.asks_dynamic:
        options = _translated(case, options, dynamo=dynamo)
    options["dynamo"] = dynamo
    if opset is not None:
        options["opset_version"] = opset
    return replace(case, options=options)


def _translated(case: Case, options: dict[str, Any], *, dynamo: bool) -> dict[str, Any]:
    inputs = read_inputs(case.model, case.args, case.kwargs)
    given = {name for name in ("dynamic_shapes", "dynamic_axes") if options.get(name)}
    try:
        if inputs is not None:
            return mended_dims(inputs, options, given, dynamo=dynamo)
    except UnclearError:
        pass
    raise ValueError("its dynamic dimensions cannot be said in the words of the other exporter")


def cells(runner: Runner, asked: list[tuple[bool, int | None]], timeout: float) -> Iterator[Cell]:
    """The answers, one after the other."""
    for dynamo, opset in asked:
        try:
            outcome, got = runner.ask(TryCell(dynamo, opset), timeout)
        except UnansweredError as error:
            outcome, got = error.outcome, None
        failure = outcome.failure
        said = failure.message if failure is not None else outcome.undecided
        yield Cell(
            dynamo,
            opset,
            outcome.verdict,
            got,
            failure.stage if failure is not None else None,
            said.strip().partition("\n")[0],
        )
