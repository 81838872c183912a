"""Trials, seconds, and the ratio to one plain failing export in the same process, for every model of the zoo.

    python benchmarks/trials.py [name …]

Counts are exact; seconds depend on the machine, so the ratio is what to compare.
"""

from __future__ import annotations

import contextlib
import io
import statistics
import sys
import time
import warnings
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import onnx_debug
from tests import zoo


def plain_export(case: zoo.ZooCase) -> float:
    """Seconds of one `torch.onnx.export` of the case."""
    model = case.make().eval()
    start = time.perf_counter()
    with (
        contextlib.suppress(Exception),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        torch.onnx.export(model, case.inputs(), io.BytesIO(), **{"verbose": False, **case.options})
    return time.perf_counter() - start


def main() -> None:
    """Print one row for each model, and the medians."""
    warnings.simplefilter("ignore")
    chosen = [
        case
        for case in zoo.CASES
        if (not sys.argv[1:] or case.name in sys.argv[1:]) and case.name not in ("killed", "hangs")
    ]
    chosen.append(zoo.ZooCase("three_faults", zoo.ThreeFaults, None))
    plain_export(chosen[0])  # what an export imports at its first use is no part of its price
    ratios = []
    print(f"{'model':24} {'trials':>6} {'seconds':>8} {'plain':>8} {'ratio':>6}  culprits")
    for case in chosen:
        plain = plain_export(case)
        model = case.make().eval()
        start = time.perf_counter()
        found = onnx_debug.diagnose(
            model, case.inputs(), check_inputs=case.check_inputs(), **case.options
        )
        seconds = time.perf_counter() - start
        ratios.append(seconds / plain)
        names = ", ".join(culprit.fqn or "(the whole model)" for culprit in found.culprits)
        print(
            f"{case.name:24} {len(found.trials):6} {seconds:8.2f} {plain:8.2f} {ratios[-1]:6.1f}  {names}",
            flush=True,
        )
    print(f"\nmedian ratio {statistics.median(ratios):.1f}")


if __name__ == "__main__":
    main()
