"""Export every decomposition of the catalogue, run it in ONNX Runtime, and write docs/operators.md.

python -m benchmarks.operators > docs/operators.md
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Any

import onnxruntime as ort
import torch
from torch import Tensor, nn

from onnx_debug.session.fixes.operators.apply import export_with
from onnx_debug.session.fixes.operators.decomposition import Decomposition, Example
from onnx_debug.session.fixes.operators.registry import CATALOGUE, SUBJECTS, name_of
from onnx_debug.torch_private.exporter import reuse_operator_registry

HEAD = """\
# Decompositions

What torch 2.13 cannot export, exports wrongly, or exports for a kernel that ONNX Runtime lacks, and what it is replaced by.

{functions} functions for {targets} operators, written by `python -m benchmarks.operators`. Every entry is exported, loaded and run in ONNX
Runtime on inputs of three sizes, the dimensions that differ between them dynamic. *Difference* is the largest one from torch,
absolute and as a share of the largest output; *nodes* are the ONNX nodes of a call, those within a Scan included.
"""


class Calling(nn.Module):
    """A model that makes one call."""

    def __init__(self, call: Callable[..., Any]) -> None:
        super().__init__()
        self.call = call

    def forward(self, *tensors: Tensor) -> Any:
        return self.call(*tensors)


def together(examples: Sequence[Example]) -> Example:
    """All calls in one model, so that they share one export."""
    starts = list(accumulate((len(example.samples) for example in examples), initial=0))

    def call(*tensors: Tensor) -> list[Tensor]:
        found = []
        for example, start in zip(examples, starts, strict=False):
            outputs = example.call(*tensors[start : start + len(example.samples)])
            found += [outputs] if isinstance(outputs, Tensor) else list(outputs)
        return found

    samples = tuple(make for example in examples for make in example.samples)
    return Example(call, samples, max(example.tolerance for example in examples))


@dataclass(frozen=True)
class Compared:
    """What ONNX Runtime returned for an example, beside what torch returned."""

    pairs: list[tuple[Tensor, Tensor]]  # (ONNX Runtime, torch)
    nodes: int


def compare(example: Example, program: Any) -> Compared:
    """Run an exported example on all its inputs."""
    session = ort.InferenceSession(
        program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = [found.name for found in session.get_inputs()]
    pairs = []
    for inputs in example.inputs():
        wanted = example.call(*inputs)
        feed = {name: value.numpy() for name, value in zip(names, inputs, strict=True)}
        got = [torch.from_numpy(value) for value in session.run(None, feed)]
        expected = [wanted] if isinstance(wanted, Tensor) else list(wanted)
        pairs += zip(got, expected, strict=True)
    return Compared(pairs, len(list(program.model.graph.all_nodes())))


def exported(example: Example, entry: Decomposition) -> Any:
    """The example as an ONNX program, exported with this entry alone."""
    return export_with(
        dict.fromkeys(entry.targets, entry.function),
        Calling(example.call).eval(),
        example.inputs()[0],
        options={"dynamic_shapes": (example.dynamic_shapes(),), "verbose": False},
    )


def differences(found: Compared) -> tuple[float, float]:
    """The largest difference, and the largest as a share of the largest value of its output."""
    absolute = relative = 0.0
    for got, want in found.pairs:
        finite = want.double().isfinite() & got.double().isfinite()
        expected, difference = want.double()[finite], (got.double() - want.double())[finite]
        if difference.any():
            absolute = max(absolute, difference.abs().max().item())
            relative = max(relative, (difference.abs().max() / expected.abs().max()).item())
    return absolute, relative


def operators_of(entry: Decomposition) -> str:
    return "<br>".join(f"`{name_of(target)}`" for target in entry.targets)


def name_of_function(entry: Decomposition) -> str:
    if isinstance(entry.function, partial):
        return str(entry.function.func.__name__)
    return entry.function.__name__


def row(entry: Decomposition) -> str:
    found = compare(together(entry.examples), exported(together(entry.examples), entry))
    absolute, relative = differences(found)
    difference = f"{absolute:.1g}, {relative:.1g}" if absolute else "0"
    nodes = -(-found.nodes // len(entry.examples))
    words = f"`{name_of_function(entry)}`: {entry.title}"
    remarks = " ".join(entry.explanation.split())
    return f"| {operators_of(entry)} | {words} | {difference} | {nodes} | {remarks} |"


def main() -> None:
    logging.disable(logging.WARNING)
    targets = sum(len(entry.targets) for entry in CATALOGUE)
    functions = len({name_of_function(entry) for entry in CATALOGUE})
    print(HEAD.format(functions=functions, targets=targets))
    with reuse_operator_registry():
        for subject, entries in SUBJECTS.items():
            print(f"\n## {subject}\n")
            print("| operator | replaced by | difference | nodes | accuracy, cost, limits |")
            print("|---|---|---|---|---|")
            for entry in entries:
                print(row(entry), flush=True)


if __name__ == "__main__":
    main()
