"""Where trials are run: processes of their own where the system can fork, else the user's process."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Protocol

import torch

from onnx_debug.compat import tensors
from onnx_debug.data.call_tree import EagerReport
from onnx_debug.data.outcome import Clue, Outcome, Trial
from onnx_debug.request.case import Case
from onnx_debug.runner.in_process import InProcessLab


class Lab(Protocol):
    """What `isolation.ForkedLab` and `inprocess.InProcessLab` do alike; times are seconds."""

    directory: Path

    def eager(self, timeout: float) -> EagerReport: ...  # noqa: D102
    def run(self, trial: Trial, timeout: float, *, require_dynamic: bool = False) -> Outcome: ...  # noqa: D102
    def look_beyond(self, outcome: Outcome, timeout: float) -> Outcome: ...  # noqa: D102
    def explain_numbers(self, outcome: Outcome, timeout: float) -> tuple[Clue, ...]: ...  # noqa: D102
    def describe(self, fqn: str, call: int) -> tuple[tuple[Any, ...], tuple[Any, ...]]: ...  # noqa: D102
    def correct_options(self, timeout: float) -> tuple[tuple[str, ...], str, Outcome | None]: ...  # noqa: D102
    def pause(self) -> None: ...  # noqa: D102
    def resume(self) -> None: ...  # noqa: D102
    def rest(self) -> None: ...  # noqa: D102
    def close(self, *, keep_files: bool = False) -> None: ...  # noqa: D102


def open_lab(case: Case, *, isolate: bool, memory_limit: int | None) -> tuple[Lab, str]:
    """A place to run the trials of `case`, and what the reader should know about it; empty when all is protected."""
    why_not = why_not_forked(case) if isolate else "isolate=False"
    if not why_not:
        from onnx_debug.runner.forked.client import ForkedLab  # needs a POSIX system

        try:
            return ForkedLab(case, memory_limit=memory_limit), ""
        except OSError as error:
            why_not = f"the system refuses a new one: {error.strerror or error}"
    note = f"Trials ran in this process ({why_not}): a crash, a hang or a memory blow-up of the exporter is not caught."
    return InProcessLab(case, memory_limit=memory_limit), note


def why_not_forked(case: Case) -> str:
    """Why the trials of this case cannot have processes of their own; empty when they can."""
    if not hasattr(os, "fork") or sys.platform == "win32":
        return "this system cannot fork processes"
    leaves = [
        leaf
        for inputs in case.inputs
        for leaf in tensors.tree_leaves(inputs)
        if isinstance(leaf, torch.Tensor)
    ]
    devices = {
        tensor.device.type for tensor in (*case.model.parameters(), *case.model.buffers(), *leaves)
    }
    other = sorted(devices - {"cpu", "meta"})
    return f"the model is on {other[0]}, whose driver does not survive a fork" if other else ""
