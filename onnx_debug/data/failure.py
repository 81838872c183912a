"""How an export fails, and what the failure names by itself. No torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from onnx_debug.data.stage import Mode, Stage


class ClueKind(StrEnum):
    """Where a clue was read."""

    FRAME = "frame"  # a Python frame of the user's forward, in a traceback
    NODE = "node"  # the FX node that a translation error names
    SCAN = "scan"  # an operator of the decomposed graph that has no ONNX translation
    SPECIALIZATION = "specialization"  # the line that hard-codes a dynamic dimension
    TRACER_WARNING = "tracer warning"  # the legacy exporter's warning about a frozen branch or size
    RUNTIME_NODE = "runtime node"  # the node that ONNX Runtime names
    BAKED = "baked"  # a constant of the graph that equals a value computed from the inputs
    VALUE = "value"  # the first module whose output differs
    DRIFT = "drift"  # every operator is right; rounding differences grow from one to the next
    RANDOM = "random"  # the first module whose output changes from run to run
    RUNNING = "running"  # the module that was being executed when the process died or was stopped


class Decision(StrEnum):
    """What a line of Python does with values that are unknown while a model is captured, and that a trace freezes."""

    BRANCH_ON_VALUE = "branch on a value"
    SIZE_FROM_VALUE = "size from a value"
    BRANCH_ON_SIZE = "branch on a size"
    LOOP_OVER_VALUES = "loop over values"


class Topic(StrEnum):
    """What a clue is about, where its operator, its line and the exception do not tell."""

    COMPLEX = "complex numbers"  # the operator has a translation for real numbers only
    OUTPUT = "an output that is no tensor"
    HELD = "an object that no capture takes"  # the module holds it: packed weights, TorchScript
    KNOWN_WRONG = "a translation that is known to be wrong"


@dataclass(frozen=True)
class Source:
    """One line of the user's code. `text` is the line, stripped; empty when the file cannot be read."""

    file: str
    line: int
    text: str = ""
    function: str = ""


@dataclass(frozen=True)
class Clue:
    """A module that a failure names by itself. A clue is a guess until a trial proved it.

    Attributes:
        fqn: the module, as `named_modules()` calls it; "" is the whole model.
        kind: where the clue was read.
        source: the line of that module's own code, if known.
        op: the operator, as `namespace::name.overload`, if the failure names one.
        reason: what happened there, in plain words; empty when the failure's message says it.
        below: lines deeper than `source` (a helper function, a hook), outermost first.
        decision: what the line decides by a tensor's values, where that is the fault.
        size: the number that a dynamic size became.
        topic: what it is about, where nothing else tells.
    """

    fqn: str
    kind: ClueKind
    source: Source | None = None
    op: str | None = None
    reason: str = ""
    below: tuple[Source, ...] = ()
    decision: Decision | None = None
    size: int | None = None
    topic: Topic | None = None


@dataclass(frozen=True, repr=False)
class Failure:
    """Where and how an export failed.

    Attributes:
        signature: the key of "the same failure": two failures with equal signatures have one cause.
        exception_type: class name of the innermost exception; empty for a crash or a timeout.
        message: the innermost message, not shortened.
        op: the operator that the failure names, as `namespace::name.overload`.
        clues: best first.
        refuses_input: ONNX Runtime refuses the size of an input of the file, and no node ran.
        details: the full traceback, or what is known of a process that died.
        known_from: the opset from which on the exporter translates `op`; None where the opset is not
            the reason.
    """

    stage: Stage
    mode: Mode
    signature: str
    exception_type: str = ""
    message: str = ""
    op: str | None = None
    clues: tuple[Clue, ...] = ()
    details: str = ""
    known_from: int | None = None
    refuses_input: bool = False

    def about(self, clue: Clue) -> Failure:
        """The same kind of failure, of the operator and the module that a clue names."""
        key = signature(self.stage, self.mode, self.exception_type, clue.op)
        return replace(self, signature=key, op=clue.op, clues=(clue,))

    def __repr__(self) -> str:
        said = self.message.strip().partition("\n")[0][:100]
        what = ": ".join(filter(None, (self.exception_type, said))) or str(self.mode)
        return f"<Failure at {self.stage}: {what}>"


def signature(stage: Stage, mode: Mode, exception_type: str = "", op: str | None = None) -> str:
    """The key of "the same failure". Messages hold names and sizes, so they are left out; numbers that differ are one kind."""
    if mode is not Mode.ERROR:
        return str(mode)
    if stage is Stage.COMPARE:
        return f"{stage}/{mode}"
    return "/".join(
        [stage, mode, exception_type, *([op] if op and stage is Stage.TRANSLATE else [])]
    )
