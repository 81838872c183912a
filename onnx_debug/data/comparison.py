"""Eager beside ONNX Runtime, and what was asked beside what came out: one row each. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from onnx_debug.data.failure import Clue, Source


@dataclass(frozen=True)
class Comparison:
    """One output of one input set, eager against ONNX Runtime.

    Attributes:
        input_index: 0 for the given inputs, then the check inputs in order.
        inputs: what these inputs are, in plain words; empty for the given ones.
        output: name of the ONNX output.
        problem: empty when the two agree; else what differs, in plain words.
        max_abs_diff: over finite elements; NaN when the shapes differ.
        max_rel_diff: the worst difference as a share of `size`; NaN when the shapes differ.
        mismatched, total: how many elements differ, and of how many.
        where: index of the first NaN or Inf that only one has, else of the largest difference;
            empty when the two agree.
        allowed: the share of `size` by which the worst value may differ.
        size: the magnitude that the worst difference is measured by; 0 when all are equal.
        eager, onnx: the two values at the worst place; None when all are equal.
        cosine, snr_db: cosine similarity and signal-to-noise ratio of models in low precision; None
            elsewhere.
    """

    input_index: int
    output: str
    problem: str = ""
    max_abs_diff: float = 0.0
    max_rel_diff: float = 0.0
    mismatched: int = 0
    total: int = 0
    where: tuple[int, ...] = ()
    inputs: str = ""
    allowed: float = 0.0
    size: float = 0.0
    eager: float | None = None
    onnx: float | None = None
    cosine: float | None = None
    snr_db: float | None = None


@dataclass(frozen=True)
class NodeError:
    """One value inside the exported graph that is not what the captured program computes.

    Attributes:
        name: of the value in the file.
        op: the operator, as `namespace::name.overload`.
        max_abs_diff: all earlier differences included; NaN when the shapes differ.
        problem: how they differ; empty within tolerances.
        own_problem: the same when the operator is computed from ONNX's own inputs: what goes wrong
            here and did not spread to here.
    """

    name: str
    op: str
    max_abs_diff: float
    problem: str = ""
    own_problem: str = ""


@dataclass(frozen=True)
class Asked:
    """One thing that was asked of the exported file.

    Attributes:
        subject: what it is about, as the user wrote it: `dynamic_shapes['x'][0]`, `opset_version`,
            `input_names[1]`.
        asked, got: both in plain words.
        problem: why that is wrong; empty when it is fine.
        clue: the module and line that hard-codes a dimension, if known.
        works, fails, rejected: other sizes on which ONNX agrees, on which it does not, and that the
            eager module itself does not accept.
    """

    subject: str
    asked: str
    got: str
    problem: str = ""
    clue: Clue | None = None
    works: tuple[int, ...] = ()
    fails: tuple[int, ...] = ()
    rejected: tuple[int, ...] = ()


class EdgeKind(StrEnum):
    """On which inputs few would mind a difference."""

    VALUES = "values"  # zeros, ties, NaN …: values that a model takes and data seldom hold
    SIZE = "size"  # a size of 1 where other sizes agree
    GRADIENTS = "gradients"  # eager itself answers otherwise with gradients and without


@dataclass(frozen=True)
class Edge:
    """A difference that is told and fails no export, unless edges are strict.

    Attributes:
        inputs: what these inputs are, in plain words.
        problem: what differs, in plain words.
        fqn: the module where it begins; None: not known.
        source: its line, if known.
        op: the operator, as `namespace::name.overload`, if known.
        known: what is known to be wrong about the translation of this operator; empty if nothing.
    """

    kind: EdgeKind
    inputs: str
    problem: str
    fqn: str | None = None
    source: Source | None = None
    op: str | None = None
    known: str = ""
