"""Layer comparison: onnx_debug beside torch's own, on a 6-layer transformer encoder.

python benchmarks/layer_compare.py            both
python benchmarks/layer_compare.py --quick    without torch's, which takes a minute or two
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from pathlib import Path

import onnx
import torch
from torch import nn
from torch.onnx.verification import verify_onnx_program

from onnx_debug.eager.module_names import ModuleNames
from onnx_debug.explain.locate import Locator
from onnx_debug.explain.node_by_node import compare_values


class Step(nn.Module):
    def forward(self, x):
        up = x * 1.01
        return up + 0.01


def encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True)
    return nn.TransformerEncoder(layer, 6, enable_nested_tensor=False).eval()


def export(model, args, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(model, args, verbose=False)
    program.save(path)
    return program


def timed(work):
    start = time.perf_counter()
    found = work()
    return found, time.perf_counter() - start


def transformer(directory: Path, *, quick: bool) -> None:
    model, x = encoder(), torch.randn(2, 10, 64)
    program = export(model, (x,), directory / "encoder.onnx")
    locator = Locator(ModuleNames(model))
    compare_values(
        program.exported_program, directory / "encoder.onnx", [x], locator
    )  # the first call loads libraries
    ours, seconds = timed(
        lambda: compare_values(program.exported_program, directory / "encoder.onnx", [x], locator)
    )
    print(
        f"onnx_debug: {len(ours.rows)} values, {ours.sessions} session, {seconds:.3f} s, {len(ours.origins)} wrong"
    )
    if quick:
        return
    theirs, theirs_seconds = timed(lambda: verify_onnx_program(program, compare_intermediates=True))
    print(
        f"torch:      {len(theirs)} values, {len(theirs)} sessions, {theirs_seconds:.1f} s; {theirs_seconds / seconds:.0f} times as long"
    )
    print(
        f"the same values: {sorted(row.name for row in ours.rows) == sorted(info.name for info in theirs)}"
    )


def planted(directory: Path) -> None:
    model = nn.Sequential(*[Step() for _ in range(100)])
    program = export(model, (torch.rand(3),), directory / "chain.onnx")
    file = onnx.load(directory / "chain.onnx")
    (wrong,) = [node for node in file.graph.node if node.output[0] == "add_57"]
    wrong.op_type = "Sub"
    onnx.save(file, directory / "chain.onnx")
    found, seconds = timed(
        lambda: compare_values(
            program.exported_program,
            directory / "chain.onnx",
            [torch.rand(3)],
            Locator(ModuleNames(model)),
        )
    )
    (origin,) = found.origins
    print(
        f"planted in a chain of {len(file.graph.node)} nodes: found in module {origin.fqn}, {found.sessions} session, {seconds:.3f} s"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # as in a trial's process
    with tempfile.TemporaryDirectory() as folder:
        transformer(Path(folder), quick=arguments.quick)
        planted(Path(folder))
