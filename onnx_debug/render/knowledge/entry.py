"""One way in which an export fails, and by which facts it is told from the others.

Facts are types and attributes (stage, mode, exception type, operator, kind of clue, kind of line),
never the wording of a message: that changes between releases.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from onnx_debug.data.failure import Clue, ClueKind, Decision, Failure, Topic
from onnx_debug.data.request_fault import RequestFault
from onnx_debug.data.stage import Mode, Stage

# torch's own pages.
ONNX = "https://docs.pytorch.org/docs/stable/onnx_export.html"
COND = "https://docs.pytorch.org/docs/stable/cond.html"
FAKE_KERNEL = "https://docs.pytorch.org/docs/stable/library.html#torch.library.register_fake"
CUSTOM_OPERATORS = "https://pytorch.org/tutorials/advanced/custom_ops_landing_page.html"
EXAMPLES = "https://pytorch.org/docs/stable/generated/exportdb/index.html"

# Namespaces of operators that come with torch or with ONNX.
_KNOWN_NAMESPACES = ("aten", "higher_order", "onnx", "prim", "prims", "quantized")


@dataclass(frozen=True)
class Facts:
    """What is known of one failure.

    Attributes:
        failure: what failed.
        clue: the best clue to it.
        op: the operator, as `namespace::name.overload`.
        request: which kind of mistake the request makes, where that is at fault.
    """

    failure: Failure
    clue: Clue | None = None
    op: str | None = None
    request: RequestFault | None = None

    @property
    def checks(self) -> bool:
        """Whether the guilty line is a check of the model's own: `raise …`, `assert …`."""
        if self.clue is None or self.clue.source is None:
            return False
        line = (self.clue.source, *self.clue.below)[-1].text
        return line.startswith(("raise ", "assert "))

    @property
    def custom(self) -> bool:
        """Whether the operator is somebody's own."""
        namespace, found, _ = (self.op or "").partition("::")
        return bool(found) and namespace not in _KNOWN_NAMESPACES


@dataclass(frozen=True)
class Sign:
    """The facts that tell one kind of failure from the others. What is left out may be anything.

    Attributes:
        exceptions: class names of the innermost exception.
        ops: patterns of the operator, as `aten::linalg_*`.
        later_opset: the operator has a translation, but only from a later opset on.
        refuses_input: ONNX Runtime refuses the size of an input before any node runs.
        checks: the guilty line is a check of the model's own.
        custom: the operator belongs neither to torch nor to ONNX.
        request: the mistakes of a request; an entry that names none is for failures of models.
    """

    stages: tuple[Stage, ...] = ()
    modes: tuple[Mode, ...] = (Mode.ERROR,)
    exceptions: tuple[str, ...] = ()
    ops: tuple[str, ...] = ()
    clues: tuple[ClueKind, ...] = ()
    decisions: tuple[Decision, ...] = ()
    topics: tuple[Topic, ...] = ()
    later_opset: bool = False
    refuses_input: bool = False
    checks: bool = False
    custom: bool = False
    request: RequestFault | None = None

    def fits(self, facts: Facts) -> bool:
        """Whether all of these facts hold."""
        failure, clue = facts.failure, facts.clue
        if self.request is not facts.request:
            return False
        one_of = (
            (self.stages, failure.stage),
            (self.modes, failure.mode),
            (self.exceptions, failure.exception_type),
            (self.clues, clue.kind if clue else None),
            (self.decisions, clue.decision if clue else None),
            (self.topics, clue.topic if clue else None),
        )
        needed = (
            (self.later_opset, failure.known_from is not None),
            (self.refuses_input, failure.refuses_input),
            (self.checks, facts.checks),
            (self.custom, facts.custom),
        )
        return (
            all(not wanted or found in wanted for wanted, found in one_of)
            and all(holds or not wanted for wanted, holds in needed)
            and (not self.ops or any(fnmatchcase(facts.op or "", form) for form in self.ops))
        )


@dataclass(frozen=True)
class Entry:
    """One way in which an export fails.

    Attributes:
        code: stays what it is, so that it can be searched for and linked to.
        title: the fault in one line, without a full stop.
        cause: why that is so, in plain sentences.
        do: what usually helps, in one line; `{this}` is "this line" or "this module", `{call}` the
            operator below `torch.ops`. Untried, so it is no fix.
        when: any of these signs.
        legacy: what helps with `dynamo=False`, where that is something else.
        says: how torch or ONNX Runtime words it, for whoever searches for it.
        lesson: the number of the notebook that teaches it.
        page: torch's own page.
        quotes: the exception's own words say more than the title.
        of_operator: the title where the operator is known: `{op}`, and `{opset}`, from which on it
            has a translation.
    """

    code: str
    title: str
    cause: str
    do: str
    when: tuple[Sign, ...]
    legacy: str = ""
    says: tuple[str, ...] = ()
    lesson: str = ""
    page: str = ""
    quotes: bool = False
    of_operator: str = ""

    def cure(self, *, dynamo: bool) -> str:
        """What usually helps with this exporter."""
        return self.do if dynamo or not self.legacy else self.legacy
