"""What a trial asks and what it answered: plain, frozen data. No torch.

A `Trial` is one question ("export this submodule, with these descendants replaced"), an `Outcome`
its answer. A failure of the user's model is a value here, never an exception.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum


class Stage(StrEnum):
    """The steps an export goes through, in order; a case is exported only when all of them pass."""

    EAGER = "eager"
    OPTIONS = "options"
    CAPTURE = "capture"
    TRANSLATE = "translate"
    OPTIMIZE = "optimize"
    LOAD = "load"
    RUN = "run"
    COMPARE = "compare"


class Verdict(StrEnum):
    """What is known of an export, or of one trial. Only `PASSED` is a success."""

    NOT_BEGUN = "not begun"
    PASSED = "passed"  # every stage passed, and outputs were compared
    FAILED = "failed"
    UNRESOLVED = "unresolved"  # a stage could not be tried, so nobody knows
    STOPPED = "stopped"  # by the user, before there was an answer


class StageState(StrEnum):
    """What became of one stage."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    NOT_REACHED = "not reached"


@dataclass(frozen=True)
class StageResult:
    """What became of one stage; `reason` says why it was skipped."""

    stage: Stage
    state: StageState
    reason: str = ""


class Mode(StrEnum):
    """How a stage failed."""

    ERROR = "error"
    CRASH = "crash"
    TIMEOUT = "timeout"
    MEMORY = "memory"


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
    """

    fqn: str
    kind: ClueKind
    source: Source | None = None
    op: str | None = None
    reason: str = ""
    below: tuple[Source, ...] = ()
    decision: Decision | None = None
    size: int | None = None


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


class TrialKind(StrEnum):
    """How the question of a trial is put."""

    EXPORT = "export"  # as the user asks; a submodule gets its inputs as the whole model's capture saw them
    EAGER_INPUTS = "eager inputs"  # a submodule gets its inputs as eager recorded them
    FURTHER_INPUTS = "further inputs"  # the file that was exported, on other values and sizes, and what was asked for
    NEUTRAL = (
        "neutral"  # as the user asks, in the state in which torch starts: no autocast around it
    )
    DEFAULT_OPTIONS = "default options"  # with nothing asked of the file's border or versions


@dataclass(frozen=True)
class Trial:
    """One question: export `module`, with its recorded inputs, with the modules in `stubs` replaced by placeholders.

    Attributes:
        module: FQN of the module to export; "" is the whole model.
        stubs: FQNs (canonical names) of descendants to replace.
        call: which recorded call of `module` gives the inputs.
        kind: how it is put. Only the first two are asked of submodules.
    """

    module: str
    stubs: frozenset[str] = frozenset()
    call: int = 0
    kind: TrialKind = TrialKind.EXPORT


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


@dataclass(frozen=True)
class Outcome:
    """What a trial answered: passed, failed (`failure`), or unresolved.

    Passed means that every stage passed. A trial of which a stage was skipped is unresolved: what
    nobody tried is not known to work.

    Attributes:
        failure: None when every stage passed.
        unresolved: why the question could not be asked; empty otherwise.
        ours: it could not be asked because of a mistake or a loss of onnx_debug's own; `log` holds
            the traceback.
        skipped: stages that were not tried, each with the reason.
        hints: clues that hold whether or not the trial failed (operators without translation, baked
            branches).
        passed: the stages that passed.
        onnx_path: the exported model, if it got that far; a file of the session's private
            directory.
        captured_path: of a failed capture or translation, the operators up to the failing one, as a
            file in ONNX's form for display only.
        comparisons: one row for each output of each input.
        asked: what was asked of the whole model's file, and what the file has.
        node_errors: where the outputs differ: the values inside the graph that differ, in the order
            of execution.
        edges: differences on inputs at the edge of what the model takes.
        log: what the exporter printed and logged.
        inputs_as_in_eager: a submodule got exactly what eager gave it, so asking it with eager's
            inputs is the same question.
        note: what the reader should know, such as why values could not be compared.
        seconds: wall time, process start included.
    """

    failure: Failure | None = None
    unresolved: str = ""
    ours: bool = False
    skipped: tuple[StageResult, ...] = ()
    hints: tuple[Clue, ...] = ()
    passed: tuple[Stage, ...] = ()
    onnx_path: str | None = None
    captured_path: str | None = None
    comparisons: tuple[Comparison, ...] = ()
    asked: tuple[Asked, ...] = ()
    node_errors: tuple[NodeError, ...] = ()
    edges: tuple[Edge, ...] = ()
    log: str = ""
    inputs_as_in_eager: bool = False
    note: str = ""
    seconds: float = 0.0

    @property
    def verdict(self) -> Verdict:
        """Passed, failed or unresolved."""
        if self.failure is not None:
            return Verdict.FAILED
        if self.unresolved or set(self.passed) != set(Stage):
            return Verdict.UNRESOLVED
        return Verdict.PASSED

    @property
    def ok(self) -> bool:
        """True when every stage passed."""
        return self.verdict is Verdict.PASSED

    @property
    def failed(self) -> bool:
        """True when a stage failed; an unresolved trial has neither passed nor failed."""
        return self.failure is not None

    def without_failure_at(self, stage: Stage) -> bool:
        """Whether it got past `stage`, and no later stage failed that was tried."""
        return self.failure is None and not self.unresolved and stage in self.passed

    @property
    def undecided(self) -> str:
        """Why nobody knows whether it passes; empty when it passed or failed."""
        if self.verdict is not Verdict.UNRESOLVED:
            return ""
        skipped = (f"the stage {one.stage} was skipped: {one.reason}" for one in self.skipped)
        return self.unresolved or next(skipped, "not every stage was tried")

    @property
    def stages(self) -> tuple[StageResult, ...]:
        """Every stage, in order, with what became of it."""
        known = {one.stage: one for one in self.skipped}
        passed = set(self.passed)
        if self.failure is not None:
            known[self.failure.stage] = StageResult(self.failure.stage, StageState.FAILED)
            passed |= set(stages_before(self.failure.stage))
        for stage in passed - set(known):
            known[stage] = StageResult(stage, StageState.PASSED)
        return tuple(
            known.get(stage, StageResult(stage, StageState.NOT_REACHED)) for stage in Stage
        )


def signature(stage: Stage, mode: Mode, exception_type: str = "", op: str | None = None) -> str:
    """The key of "the same failure". Messages hold names and sizes, so they are left out; numbers that differ are one kind."""
    if mode is not Mode.ERROR:
        return str(mode)
    if stage is Stage.COMPARE:
        return f"{stage}/{mode}"
    return "/".join(
        [stage, mode, exception_type, *([op] if op and stage is Stage.TRANSLATE else [])]
    )


def stages_before(stage: Stage) -> tuple[Stage, ...]:
    """The stages that come before one."""
    order = list(Stage)
    return tuple(order[: order.index(stage)])


def skipped(stages: Iterable[Stage], reason: str) -> tuple[StageResult, ...]:
    """Stages that are not tried, and why."""
    return tuple(StageResult(stage, StageState.SKIPPED, reason) for stage in stages)
