"""A module that is to blame, with the proof. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from onnx_debug.data.failure import Failure, Source
from onnx_debug.data.module_info import ModuleCall, TensorInfo


class ProofKind(StrEnum):
    """By which trial a culprit was proven."""

    ALONE = "alone"  # exported alone with its recorded inputs, it fails alike
    IN_PLACE = "in place"  # it passes alone, but the model's failure goes away when it is replaced
    ANCESTOR = "smallest failing ancestor"  # the named module passes alone; this is the smallest module around it that fails
    ROOT = "whole model"  # it is the whole model: with all children replaced it still fails, or every child passes
    UNPROVEN = (
        "unproven"  # named by the failure only; `Proof.reason` says why no trial could decide
    )


@dataclass(frozen=True)
class Proof:
    """What was tried to prove a culprit.

    Attributes:
        kind: the trial that showed the culprit to be guilty.
        own_code_trial: True: with all called children replaced it still fails, or no child fails.
            None: not asked or undecidable.
        necessary: with all other culprits replaced the model still fails. None: not asked or
            undecidable.
        reason: what is unproven and why; empty when nothing is.
    """

    kind: ProofKind
    own_code_trial: bool | None = None
    necessary: bool | None = None
    reason: str = ""


@dataclass(frozen=True, repr=False)
class Culprit:
    """A module that is to blame, with the proof.

    Attributes:
        fqn: canonical path; "" is the whole model.
        aliases: other paths of the same module.
        own_code: its own forward (or hook, or parametrization) is at fault, not a child.
        failure: how it fails when exported alone, or in place.
        call_index: which recorded call fails.
        source: the guilty line.
        calls: the recorded calls whose shapes, dtypes or other arguments differ from those before.
        graph_path: its own graph: what was captured of it before the failing operator, or else what
            was exported of it alone; or None.
    """

    fqn: str
    class_name: str
    own_code: bool
    proof: Proof
    failure: Failure
    aliases: tuple[str, ...] = ()
    call_index: int = 0
    source: Source | None = None
    op: str | None = None
    reason: str = ""
    inputs: tuple[TensorInfo, ...] = ()
    outputs: tuple[TensorInfo, ...] = ()
    calls: tuple[ModuleCall, ...] = ()
    graph_path: str | None = None

    def __repr__(self) -> str:
        where = f" at {self.failure.stage}"
        return f"<Culprit {self.fqn or 'the whole model'} ({self.class_name}){where}, {self.proof.kind}>"
