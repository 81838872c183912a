"""The graph of a diagnosis, packed for the browser, with a colour for each node that makes wrong numbers."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Iterable, Mapping

from onnx_debug import graphs
from onnx_debug.diagnosis import Diagnosis
from onnx_debug.graphs import Graph
from onnx_debug.outcome import Comparison
from onnx_debug.ui import netron

logger = logging.getLogger(__name__)
_HEAT = ("#fdd49e", "#fdae6b", "#f16913", "#d94801", "#8c2d04")  # pale to dark, from 1e-6 to 1e-2 and more


def drawing(d: Diagnosis, focus: str | None = None) -> netron.Payload | None:
    """The diagnosis' graph, packed for the browser; None when there is none or its file has gone."""
    if d.onnx_path is None:
        return None
    names = {name: module.fqn for module in d.modules for name in (module.fqn, *module.aliases)}
    try:
        graph = graphs.load(d.onnx_path, modules=names, focus=focus)
    except Exception:  # any broken file: the rest of the panel does not depend on it
        logger.exception("Could not read the graph %s", d.onnx_path)
        return None
    # The exporter may know a shared module by another of its names.
    nodes = tuple(dataclasses.replace(node, fqn=names.get(node.fqn, node.fqn) if node.fqn else node.fqn) for node in graph.nodes)
    packed = netron.payload(dataclasses.replace(graph, nodes=nodes), d.model_class)
    packed.facts["heat"] = heat(graph, errors_of(d.comparisons))
    return packed


def heat(graph: Graph, errors: Mapping[str, float]) -> dict[str, str]:
    """Node name to colour, for the nodes that make a value known to differ; `errors` is value name to largest difference."""
    worst = {node.name: max((errors[value] for value in node.outputs if value in errors), default=0.0) for node in graph.nodes}
    return {name: _colour(error) for name, error in worst.items() if error > 0 or math.isnan(error)}


def errors_of(comparisons: Iterable[Comparison]) -> dict[str, float]:
    """The largest difference of each output that differs, over all inputs; infinite when shape, dtype or NaN pattern differ."""
    found: dict[str, float] = {}
    for row in comparisons:
        if row.problem:
            error = row.max_abs_diff if row.mismatched and math.isfinite(row.max_abs_diff) else math.inf
            found[row.output] = max(found.get(row.output, 0.0), error)
    return found


def _colour(error: float) -> str:
    if not math.isfinite(error):
        return _HEAT[-1]
    return _HEAT[max(0, min(len(_HEAT) - 1, int(math.log10(error) + 7) - 1))]
