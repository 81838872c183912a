"""An exported file on inputs at the edge of what the model takes: what differs there is told, with its operator and line."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from onnx_debug.data.comparison import Edge, EdgeKind
from onnx_debug.data.outcome import Outcome
from onnx_debug.data.stage import Stage
from onnx_debug.eager.edges import edge_inputs
from onnx_debug.eager.values import FurtherInputs
from onnx_debug.explain import drift
from onnx_debug.explain.wrong_operator import WrongOperators
from onnx_debug.onnx_file import compare, runtime
from onnx_debug.onnx_file.feeds import flat_tensors
from onnx_debug.request.case import Case, Inputs
from onnx_debug.trial.further_inputs import Eager

_MOST_NAMED = 3  # edges whose operator is looked for: each takes a run of eager


def look_at_edges(
    case: Case,
    outcome: Outcome,
    eager: Eager,
    stage: Callable[[Stage], None],
    seconds: float,
    *,
    gradients: bool = False,
) -> tuple[Edge, ...]:
    """Compare on edges; one session, at most a run of eager for each kind of edge.

    Args:
        case: the case.
        outcome: of its whole model, which passed.
        eager: answers for the model, whose state it leaves alone.
        stage: told what is being done.
        seconds: no new inputs are tried after that time.
        gradients: eager agrees with the file only with gradients.
    """
    assert outcome.onnx_path is not None
    path, end = Path(outcome.onnx_path), time.monotonic() + seconds
    onnx, tolerance = runtime.OnnxModel(case, path), compare.tolerance_of(case)
    found: list[tuple[FurtherInputs, str]] = []

    def ask(inputs: Inputs) -> list[torch.Tensor] | None:
        return eager(inputs, gradients=gradients)

    for further in edge_inputs(case):
        if time.monotonic() > end:
            break
        stage(Stage.EAGER)
        wanted = ask(further.inputs)
        if wanted is None:
            continue
        stage(Stage.COMPARE)
        try:
            got = onnx(further.inputs)
        except Exception as error:  # noqa: BLE001 - ONNX Runtime's exception types have no common base
            found.append((further, f"ONNX Runtime refuses it: {error}"))
            continue
        flat = flat_tensors(wanted)
        rows = compare.compare_outputs(onnx.outputs, flat, got, tolerance)
        wrong = next((row for row in rows if row.problem), None)
        if wrong and not drift.by_rounding(
            rows, further.inputs, wanted, got, ask, tolerance, floor=1.0
        ):
            found.append((further, f"output {wrong.output}: {wrong.problem}"))
    return _named(case, path, found, gradients=gradients)


def _named(
    case: Case, path: Path, found: list[tuple[FurtherInputs, str]], *, gradients: bool
) -> tuple[Edge, ...]:
    """The edges with what is known of their operators; those of one operator are one."""
    operators = WrongOperators(case, path, gradients=gradients) if found else None
    merged: dict[object, Edge] = {}
    for position, (further, problem) in enumerate(found):
        edge = Edge(EdgeKind.VALUES, further.description, problem)
        wrong = operators.first(further.inputs) if operators and position < _MOST_NAMED else None
        if wrong is not None and wrong.only_ties:
            continue
        key: object = position
        if wrong is not None:
            clue = wrong.clue
            key = (clue.fqn, clue.op, clue.source)
            edge = replace(edge, fqn=clue.fqn, source=clue.source, op=clue.op, known=wrong.known)
        earlier = merged.get(key)
        both = f"{earlier.inputs}; {edge.inputs}" if earlier else edge.inputs
        merged[key] = replace(earlier or edge, inputs=both)
    return tuple(merged.values())
