"""Chooses where the questions of a case are answered: in forks where the system can, else in the user's process."""

from __future__ import annotations

import sys

import torch

from onnx_debug.request.case import Case
from onnx_debug.runner.in_process import InProcessRunner
from onnx_debug.runner.runner import Runner
from onnx_debug.torch_private import tensors


def open_runner(case: Case, *, isolate: bool, memory_limit: int | None) -> tuple[Runner, str]:
    """A runner for `case`, and what the reader should know about it; empty when all is protected."""
    why_not = why_not_forked(case) if isolate else "isolate=False"
    if not why_not:
        from onnx_debug.runner.forked.client import ForkedRunner  # needs a POSIX system

        try:
            return ForkedRunner(case, memory_limit=memory_limit), ""
        except OSError as error:
            why_not = f"the system refuses a new one: {error.strerror or error}"
    note = f"Trials ran in this process ({why_not}): a crash, a hang or a memory blow-up of the exporter is not caught."
    return InProcessRunner(case), note


def why_not_forked(case: Case) -> str:
    """Why the questions of this case cannot have processes of their own; empty when they can."""
    if sys.platform != "linux":
        return "only on Linux can a forked trial be watched and ended with all that it starts"
    for name in ("cuda", "xpu"):
        if getattr(torch, name).is_initialized():
            return f"{name.upper()} is in use here, and its driver does not survive a fork"
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
