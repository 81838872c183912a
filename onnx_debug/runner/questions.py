"""The questions that a runner answers: plain data that says which recordings it needs, with one `run`.

`run` may change the model, and may die. So it works in a fork of its own, or in the user's process
between a snapshot and its restoration; it need not know which.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

from onnx_debug.data.comparison import Edge
from onnx_debug.data.failure import Clue
from onnx_debug.data.module_info import TensorInfo
from onnx_debug.data.outcome import Outcome, Trial
from onnx_debug.data.progress import Progress
from onnx_debug.eager.calls import Call, Recording, digests
from onnx_debug.eager.describe import describe
from onnx_debug.eager.module_names import ModuleNames
from onnx_debug.eager.outputs import eager_outputs
from onnx_debug.explain.baked import baked_constants
from onnx_debug.explain.drift import seen_in_eager
from onnx_debug.explain.locate import Locator
from onnx_debug.explain.random_modules import with_drawing_line
from onnx_debug.explain.wrong_module import first_wrong_module
from onnx_debug.request import remedy
from onnx_debug.request.case import Case
from onnx_debug.runner import silence
from onnx_debug.trial import further_inputs
from onnx_debug.trial.eager_stage import run_eager
from onnx_debug.trial.edges import look_at_edges
from onnx_debug.trial.prepare import Bench
from onnx_debug.trial.run import Answer, run_trial

T_co = TypeVar("T_co", covariant=True)

ALL = None  # of `Question.needs`: the values of every module


@dataclass
class Context:
    """What a question works with, in the process in which it runs.

    Attributes:
        case: the export, with the further inputs that were found to matter.
        recordings: by position in `case.inputs`: every call, with the values of the modules that
            the question needs; without inputs that eager rejects.
        traced: the same modules' calls, as captures of the whole model saw them.
        directory: takes the files of this question, among them what the process prints.
        eager_outputs: the model's own outputs, computed where its state does not matter here; None
            where it rejects the inputs.
    """

    case: Case
    names: ModuleNames
    recordings: dict[int, Recording]
    traced: dict[str, list[Call]]
    directory: Path
    progress: Progress
    eager_outputs: further_inputs.Eager


class Question(ABC, Generic[T_co]):
    """One question. Frozen and importable, so that it goes to another process by pickle."""

    @property
    def needs(self) -> frozenset[str] | None:
        """The modules whose recorded values are needed; none unless said otherwise."""
        return frozenset()

    @property
    def module(self) -> str:
        """The module that is exported by itself; empty for the whole model."""
        return ""

    @abstractmethod
    def run(self, context: Context) -> T_co:
        """Answer it."""


@dataclass(frozen=True)
class TryExport(Question[Answer]):
    """Does this part of the model export?

    Attributes:
        require_dynamic: a dynamic size that is specialized is an error in a submodule too, because
            that is how the whole model fails.
        remedies: outcomes of the calls that were tried in place of the user's, so far: the next
            such call is the one to try. None: the user's own.
    """

    trial: Trial
    require_dynamic: bool = False
    remedies: tuple[Outcome, ...] | None = None

    @property
    def needs(self) -> frozenset[str]:
        """What the part and its placeholders received and returned, and what the model returned."""
        return frozenset({"", self.trial.module, *self.trial.stubs})

    @property
    def module(self) -> str:
        """The part."""
        return self.trial.module

    def run(self, context: Context) -> Answer:
        """Export, load, run and compare."""
        case = context.case
        if self.remedies is not None:
            case = remedy.next_call(context.case, self.remedies)
        material = Bench(
            case,
            context.names,
            context.recordings,
            context.traced,
            context.directory,
            self.require_dynamic,
            context.progress,
        )
        return logged(run_trial(material, self.trial), context.directory)


def logged(answer: Answer, directory: Path) -> Answer:
    """The answer with what the process printed."""
    log = answer.outcome.log + silence.printed(directory)
    return replace(answer, outcome=replace(answer.outcome, log=log))


@dataclass(frozen=True)
class TryFurtherInputs(Question[further_inputs.Beyond]):
    """Does the exported file agree with eager on other inputs, and is it what was asked for?

    Attributes:
        outcome: of the trial that exported the file.
        seconds: no new inputs are tried after that time.
        set_for_good: attributes that a first call on the given inputs sets: the file holds them so,
            and eager has to answer from that state too.
    """

    outcome: Outcome
    seconds: float
    set_for_good: tuple[str, ...] = ()

    def run(self, context: Context) -> further_inputs.Beyond:
        """Compare on fresh values and other sizes, as long as the time lasts."""
        case = context.case
        if self.set_for_good:
            eager_outputs(case, case.inputs[0])
        return further_inputs.look_beyond(
            case,
            self.outcome,
            context.eager_outputs,
            context.progress.stage,
            self.seconds,
            self.set_for_good,
        )


@dataclass(frozen=True)
class TryEdges(Question[tuple[Edge, ...]]):
    """Does the exported file agree with eager on inputs at the edge of what the model takes?

    Attributes:
        outcome, seconds, set_for_good: as of `TryFurtherInputs`.
        gradients: eager agrees with the file only with gradients.
    """

    outcome: Outcome
    seconds: float
    set_for_good: tuple[str, ...] = ()
    gradients: bool = False

    def run(self, context: Context) -> tuple[Edge, ...]:
        """Compare on them, as long as the time lasts."""
        case = context.case
        if self.set_for_good:
            eager_outputs(case, case.inputs[0])
        return look_at_edges(
            case,
            self.outcome,
            context.eager_outputs,
            context.progress.stage,
            self.seconds,
            gradients=self.gradients,
        )


@dataclass(frozen=True)
class RunWithSeed(Question[list[tuple[str, str, str]]]):
    """What does each module make of its inputs when the random numbers begin at `seed`?"""

    seed: int

    def run(self, context: Context) -> list[tuple[str, str, str]]:
        """Run the model once, and return the digests of what passed between its modules."""
        return digests(run_eager(context.case, 0, context.progress, seed=self.seed).recording)


@dataclass(frozen=True)
class FindDrawingLine(Question[Clue]):
    """Which line of this module draws the random numbers?"""

    random: Clue

    def run(self, context: Context) -> Clue:
        """Run the model once, line by line."""
        return with_drawing_line(self.random, context.case)


@dataclass(frozen=True)
class FindDrift(Question[tuple[Clue, ...]]):
    """Does eager itself return as different numbers when its inputs change in the last digit?"""

    outcome: Outcome
    index: int

    def run(self, context: Context) -> tuple[Clue, ...]:
        """Run the model on the inputs, and on the changed ones."""
        return tuple(seen_in_eager(context.case, self.index, self.outcome))


@dataclass(frozen=True)
class FindWrongValues(Question[tuple[Clue, ...]]):
    """Where do the numbers of the exported file begin to be wrong?"""

    path: str
    index: int

    @property
    def needs(self) -> None:
        """Everything that passed between the modules."""
        return ALL

    def run(self, context: Context) -> tuple[Clue, ...]:
        """Look for constants that should follow the inputs, then for the first wrong module."""
        given, other = context.recordings.get(0), context.recordings.get(self.index)
        if given is None or other is None:
            return ()
        path, locator = Path(self.path), Locator(context.names)
        baked = baked_constants(path, given, other, locator) if self.index else []
        wrong = first_wrong_module(context.case, other, path, self.index, locator)
        return (*baked, *wrong)


@dataclass(frozen=True)
class DescribeCall(Question[tuple[tuple[TensorInfo, ...], tuple[TensorInfo, ...]]]):
    """Which tensors went into a call of a module, and which came out?"""

    fqn: str
    call: int

    @property
    def needs(self) -> frozenset[str]:
        """The module's own values."""
        return frozenset({self.fqn})

    def run(self, context: Context) -> tuple[tuple[TensorInfo, ...], tuple[TensorInfo, ...]]:
        """Describe them."""
        return describe(context.recordings[0], context.names, context.traced, self.fqn, self.call)


@dataclass(frozen=True)
class FurtherCheck:
    """Inputs beyond the given ones on which the file and eager differ: every later trial agrees on them too.

    A recipe in place of the inputs themselves: all processes make the same ones.
    """

    outcome: Outcome
    position: int


def with_checks(case: Case, checks: Sequence[FurtherCheck]) -> Case:
    """The case with further inputs to agree on."""
    for check in checks:
        case = further_inputs.adopted(case, check.outcome, check.position)
    return case
