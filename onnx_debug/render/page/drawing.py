"""The graph of a diagnosis, packed for the browser, with a colour for each node that makes wrong numbers."""

from __future__ import annotations

import dataclasses
import logging
import math
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from onnx_debug.data.comparison import Comparison
from onnx_debug.data.culprit import Culprit
from onnx_debug.data.diagnosis import Diagnosis
from onnx_debug.data.stage import Stage
from onnx_debug.onnx_file import display
from onnx_debug.onnx_file.display import Graph
from onnx_debug.onnx_file.names import INNER
from onnx_debug.render.page import netron
from onnx_debug.render.words import module_name, number

logger = logging.getLogger(__name__)
_HEAT = (
    "#fdd49e",
    "#fdae6b",
    "#f16913",
    "#d94801",
    "#8c2d04",
)  # pale to dark, from 1e-6 to 1e-2 and more


def drawing(
    d: Diagnosis, focus: str | None = None, of: str | None = None, *, whole: bool = False
) -> netron.Payload | None:
    """A graph of the diagnosis, packed for the browser; None when there is none or its file has gone.

    Args:
        d: what was found.
        focus: module to show when the graph is too large to be shown whole.
        of: the culprit whose own graph is wanted; None: the model's, partial or complete.
        whole: show all of it, however large it is.
    """
    culprit = next((one for one in d.culprits if one.fqn == of), None) if of is not None else None
    path = d.onnx_path if of is None else culprit.graph_path if culprit is not None else None
    if path is None:
        return None
    names = {name: module.fqn for module in d.modules for name in (module.fqn, *module.aliases)}
    try:
        graph = display.load(
            path, modules=names, focus=focus, limit=sys.maxsize if whole else display.LARGE
        )
    except Exception:  # any broken file: the rest of the panel does not depend on it
        logger.exception("Could not read the graph %s", path)
        return None
    wrapped = (
        culprit.fqn if culprit is not None and not any(node.failing for node in graph.nodes) else ""
    )
    nodes = tuple(
        dataclasses.replace(node, fqn=_module(node.fqn, names, wrapped)) for node in graph.nodes
    )
    packed = netron.payload(
        dataclasses.replace(graph, nodes=nodes),
        d.model_class if culprit is None else culprit.fqn or d.model_class,
    )
    own = (
        {"of": of, "about": about(culprit, d.model_class)}
        if culprit is not None
        else {"of": None, "about": ""}
    )
    packed.facts.update(own, **(differences(graph, d) if culprit is None else {}))
    return packed


def about(culprit: Culprit, model_class: str) -> str:
    """What a culprit's own graph is, in words."""
    name = module_name(culprit.fqn, model_class)
    if culprit.failure.stage is Stage.CAPTURE:
        return f"what was captured of {name} before the failing line; the last is marked"
    if culprit.failure.stage in (Stage.TRANSLATE, Stage.OPTIMIZE):
        return f"what was captured of {name} up to the failing operator, marked"
    return f"{name}, exported alone"


def _module(fqn: str | None, names: Mapping[str, str], wrapped: str) -> str | None:
    """The module as the tree knows it: the exporter may use another name of a shared one, and knows one exported alone by its wrapper."""
    if fqn is not None and wrapped and display.within(fqn, INNER):
        fqn = wrapped + fqn.removeprefix(INNER)
    return names.get(fqn, fqn) if fqn else fqn


def differences(graph: Graph, d: Diagnosis) -> dict[str, Any]:
    """Where the numbers of an exported model differ: a colour for each node, the difference in words, and where differences begin."""
    rows = {row.name: row for row in d.node_errors}
    errors = {
        **errors_of(d.comparisons),
        **{name: _size(row.max_abs_diff, row.problem) for name, row in rows.items()},
    }
    begins = [
        node.name
        for node in graph.nodes
        if any(rows[value].own_problem for value in node.outputs if value in rows)
    ]
    said = {
        node.name: f"max diff {number(errors[value])}"
        if math.isfinite(errors[value])
        else rows[value].problem
        if value in rows
        else ""
        for node in graph.nodes
        for value in node.outputs
        if value in errors
    }
    return {"heat": heat(graph, errors), "scale": _HEAT, "begins": begins, "said": said}


def heat(graph: Graph, errors: Mapping[str, float]) -> dict[str, str]:
    """Node name to colour, for the nodes that make a value known to differ; `errors` is value name to largest difference."""
    worst = {
        node.name: max((errors[value] for value in node.outputs if value in errors), default=0.0)
        for node in graph.nodes
    }
    return {name: _colour(error) for name, error in worst.items() if error > 0}


def errors_of(comparisons: Iterable[Comparison]) -> dict[str, float]:
    """The largest difference of each output that differs, over all inputs; infinite when shape, dtype or NaN pattern differ."""
    found: dict[str, float] = {}
    for row in comparisons:
        if row.problem:
            error = _size(row.max_abs_diff if row.mismatched else math.nan, row.problem)
            found[row.output] = max(found.get(row.output, 0.0), error)
    return found


def _size(difference: float, problem: str) -> float:
    """A difference without a size, as of shapes, is the largest there is."""
    return difference if math.isfinite(difference) and (difference or not problem) else math.inf


def _colour(error: float) -> str:
    if not math.isfinite(error):
        return _HEAT[-1]
    return _HEAT[max(0, min(len(_HEAT) - 1, int(math.log10(error) + 7) - 1))]
