"""What a trial asks and what it answered: plain, frozen data. No torch.

A `Trial` is one question ("export this submodule, with these descendants replaced"), an `Outcome`
its answer. A failure of the user's model is a value here, never an exception.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from onnx_debug.data.comparison import Asked, Comparison, Edge, NodeError
from onnx_debug.data.failure import Clue, Failure
from onnx_debug.data.stage import Stage, StageResult, StageState, Verdict, stages_before


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
