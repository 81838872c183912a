"""Load, run and compare what a trial exported."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import replace

import onnx
import torch

from onnx_debug.data.comparison import Asked, Comparison, NodeError
from onnx_debug.data.failure import Clue, ClueKind, Failure, signature
from onnx_debug.data.outcome import Outcome, Trial, TrialKind
from onnx_debug.data.stage import Mode, Stage, StageResult, skipped, stages_before
from onnx_debug.eager.calls import Call, Recording
from onnx_debug.eager.outputs import eager_outputs
from onnx_debug.explain import drift, graph_nodes, output_makers
from onnx_debug.explain.node_by_node import compare_values
from onnx_debug.onnx_file import compare, runtime
from onnx_debug.onnx_file.feeds import feeds_for, flat_tensors
from onnx_debug.onnx_file.runnable import Hole, NestedPlaceholderError, make_runnable
from onnx_debug.request.case import Inputs
from onnx_debug.trial import capture
from onnx_debug.trial.prepare import Bench, Target, UnresolvedError
from onnx_debug.trial.requested import compare_request


class Check:
    """Load, run and compare one exported file."""

    def __init__(
        self, bench: Bench, target: Target, seen: capture.Export, hints: tuple[Clue, ...]
    ) -> None:
        self._bench, self._target, self._seen, self._hints = bench, target, seen, hints
        self._tolerance = compare.tolerance_of(bench.case)
        self._rows: list[Comparison] = []
        self._node_errors: tuple[NodeError, ...] = ()
        self._skipped: tuple[StageResult, ...] = ()

    def outcome(self, trial: Trial) -> Outcome:
        """Go through the stages until one fails, or cannot be tried."""
        failure: Failure | None = None
        try:
            failure = self._load() or self._compare_all(trial)
        except NestedPlaceholderError:
            reason = (
                "a placeholder stands inside a branch or a loop, where it cannot be given values"
            )
            self._skipped = skipped((Stage.LOAD, Stage.RUN, Stage.COMPARE), reason)
        done = stages_before(failure.stage) if failure else tuple(Stage)
        missing = {one.stage for one in self._skipped}
        return Outcome(
            failure,
            skipped=self._skipped,
            hints=self._hints,
            passed=tuple(stage for stage in done if stage not in missing),
            onnx_path=str(self._target.path),
            comparisons=tuple(self._rows),
            asked=self._asked(trial),
            node_errors=self._node_errors,
            log=self._seen.log,
            note=self._without_answer(trial),
        )

    def _without_answer(self, trial: Trial) -> str:
        """The user's further inputs on which the model itself has no answer to compare with."""
        if trial.module or trial.stubs:
            return ""
        case = self._bench.case
        missing = [i for i in range(1, len(case.inputs)) if i not in self._target.expected]
        if not missing:
            return ""
        labels = ", ".join(map(case.label, missing))
        return f"The model itself fails in eager with {labels}, so nothing was compared there."

    def _load(self) -> Failure | None:
        self._bench.progress.stage(Stage.LOAD)
        self._runnable = make_runnable(self._target.path)
        try:
            self._session = runtime.open_session(self._runnable.path)
        except Exception as error:  # noqa: BLE001 - ONNX Runtime's exception types have no common base
            return self._runtime_failure(Stage.LOAD, error)
        return None

    def _compare_all(self, trial: Trial) -> Failure | None:
        compared = False
        for index in sorted(self._target.expected):
            expected = self._target.expected[index]
            if (
                expected is None and not trial.stubs
            ):  # with placeholders in it the module has no answer of its own
                expected = self._eager_answer()
            if expected is None:
                continue
            failure = self._compare(trial, index, expected)
            if failure is not None:
                return failure
            compared = True
        if self._target.untried and not self._skipped:
            labels = ", ".join(self._bench.case.label(index) for index in self._target.untried)
            reason = f"its export holds for the given sizes only, so it was not run with {labels}"
            self._skipped = skipped((Stage.RUN, Stage.COMPARE), reason)
        if not compared and not self._skipped:
            reason = "what eager returns for these inputs is not known"
            self._skipped = skipped((Stage.RUN, Stage.COMPARE), reason)
        return None

    def _eager_answer(self) -> list[torch.Tensor] | None:
        """Eager's answer to inputs that only the capture saw; None when eager rejects them."""
        try:
            return [leaf.detach() for leaf in self._target.module(*self._target.args)]
        except Exception:  # noqa: BLE001 - then there is nothing to compare with
            return None

    def _compare(
        self, trial: Trial, index: int, expected: Sequence[torch.Tensor]
    ) -> Failure | None:
        self._bench.progress.stage(Stage.RUN)
        try:
            feeds = feeds_for(
                self._runnable,
                self._target.feeds[index],
                self._target.options.get("input_names") or (),
            )
        except ValueError as error:
            reason = f"the inputs of the file could not be matched with the model's: {error}"
            self._skipped = skipped((Stage.RUN, Stage.COMPARE), reason)
            return None
        feeds |= self._recorded_outputs(trial, index)
        refused = runtime.refused_sizes(self._session, feeds)
        if refused:
            return self._input_failure(refused, index)
        try:
            names = [*self._runnable.outputs, *self._runnable.reaching]
            found = runtime.run_session(self._session, names, feeds)
        except Exception as error:  # noqa: BLE001 - ONNX Runtime's exception types have no common base
            return self._runtime_failure(Stage.RUN, error, index)
        self._bench.progress.stage(Stage.COMPARE)
        case = self._bench.case
        wanted = flat_tensors(expected)
        got = found[: len(found) - len(self._runnable.reaching)]  # a sequence is several
        reaching = dict(zip(self._runnable.reaching, found[len(got) :], strict=True))
        rows = compare.compare_outputs(self._runnable.outputs, wanted, got, self._tolerance)
        if not trial.stubs:
            rows = self._without_noise(trial, index, rows, wanted)
        rows = [replace(row, input_index=index, inputs=case.label(index)) for row in rows]
        self._rows += rows
        bad = [row for row in rows if row.problem]
        bad = bad or self._wrong_before_placeholders(trial, index, reaching)
        return self._difference(bad, index) if bad else None

    def _without_noise(
        self, trial: Trial, index: int, rows: list[Comparison], wanted: Sequence[torch.Tensor]
    ) -> list[Comparison]:
        """The rows, without those of outputs that are nothing but rounding."""
        case = replace(self._bench.case, model=self._target.module)
        inputs: Inputs = (tuple(self._target.feeds[index]), {})
        if not trial.module:
            inputs = case.inputs[index]
        return drift.without_noise(
            rows, wanted, inputs, lambda given: eager_outputs(case, given), self._tolerance
        )

    def _wrong_before_placeholders(
        self, trial: Trial, index: int, reaching: dict[str, torch.Tensor]
    ) -> list[Comparison]:
        """Wrong numbers on their way into a placeholder, which returns what was recorded and so would hide them.

        Where the capture hands on other things than eager does (a mask for None), nothing is
        compared; nor are masks, whose fill values may differ.
        """
        for hole in self._runnable.holes:
            call = self._recorded(trial, index, hole)
            recorded = flat_tensors(call.arguments.tensors()) if call.arguments else []
            if len(recorded) != len(hole.given):
                continue
            for name, wanted in zip(hole.given, recorded, strict=True):
                got = reaching.get(name)
                if got is None or got.shape != wanted.shape or not wanted.is_floating_point():
                    continue
                both = wanted.isfinite() & got.isfinite()
                rows = compare.compare_outputs(
                    [f"what reaches {hole.module}"],
                    [torch.where(both, wanted, 0)],
                    [torch.where(both, got.to(wanted.dtype), 0)],
                    self._tolerance,
                )
                if rows[0].problem:
                    return [replace(rows[0], inputs=self._bench.case.label(index))]
        return []

    def _recorded_outputs(self, trial: Trial, index: int) -> dict[str, torch.Tensor]:
        feeds = {}
        for hole in self._runnable.holes:
            output = self._recorded(trial, index, hole).output
            assert output is not None
            feeds[hole.name] = flat_tensors(output.tensors())[hole.output]
        return feeds

    def _recorded(self, trial: Trial, index: int, hole: Hole) -> Call:
        """The call that a placeholder stands for.

        Raises:
            UnresolvedError: with these inputs it is not made.
        """
        recording = self._bench.recordings.get(index) or Recording()
        for call in recording.inside(hole.module, trial.module, trial.call):
            if call.index == hole.call and call.output is not None:
                return call
        raise UnresolvedError(f"{hole.module} was not called with these inputs")

    def _difference(self, bad: list[Comparison], index: int) -> Failure:
        first = bad[0]
        is_output = first.output in self._runnable.outputs
        where = f"output {first.output}" if is_output else first.output
        where += f" with {first.inputs}" if first.inputs else ""
        found = (*self._frozen(index), *self._origins(index, bad))
        found = found or self._maker(first.output)
        key = signature(Stage.COMPARE, Mode.ERROR)
        return Failure(Stage.COMPARE, Mode.ERROR, key, "", f"{where}: {first.problem}", clues=found)

    def _origins(self, index: int, bad: list[Comparison]) -> tuple[Clue, ...]:
        """Where the numbers begin to be wrong: every value of the graph against that of ONNX Runtime, in one session."""
        program = getattr(self._seen.program, "exported_program", None)
        if program is None or self._runnable.holes:
            return ()
        feeds, locator = self._target.feeds[index], self._target.locator
        try:
            found = compare_values(
                program, self._target.path, feeds, locator, tolerance=self._tolerance
            )
        except Exception:  # noqa: BLE001 - ONNX Runtime may refuse so many outputs; without origins the modules are compared
            return ()
        self._node_errors = tuple(row for row in found.rows if row.problem or row.own_problem)
        expected = self._target.expected[index]
        captured = [leaf for leaf in found.outputs if isinstance(leaf, torch.Tensor)]
        if (
            not found.origins
            and not found.random
            and expected is not None
            and self._agree(captured, expected)
        ):
            return drift.seen_in_nodes(bad, self._node_errors)
        return tuple(found.origins)

    def _maker(self, output: str) -> tuple[Clue, ...]:
        """Where a wrong output is made, if the exported module itself makes it or it is a constant.

        A wrong output that a child returns says nothing about that child: its inputs may be wrong.
        """
        program = getattr(self._seen.program, "exported_program", None)
        target = self._target
        if self._runnable.holes:
            return ()
        found = output_makers.maker(target.path, program, output, target.locator)
        return tuple(
            clue
            for clue in found
            if clue.kind is ClueKind.BAKED or clue.fqn == target.locator.root != ""
        )

    def _agree(self, captured: Sequence[torch.Tensor], expected: Sequence[torch.Tensor]) -> bool:
        """Whether what was captured computes what eager does; else the capture is at fault, and no operator of the graph."""
        names = self._runnable.outputs
        one, other = flat_tensors(captured), flat_tensors(expected)
        return not any(
            row.problem for row in compare.compare_outputs(names, other, one, self._tolerance)
        )

    def _asked(self, trial: Trial) -> tuple[Asked, ...]:
        """What was asked of the whole model's file, and what it has."""
        if trial.module or trial.stubs or trial.kind is not TrialKind.EXPORT:
            return ()
        model = onnx.load(self._target.path, load_external_data=False)
        return tuple(compare_request(self._bench.case, model, self._target.feeds[0], self._hints))

    def _input_failure(self, refused: dict[str, str], index: int) -> Failure:
        """The file's own border refuses a size before any node runs."""
        placeholders = {hole.name: hole.module for hole in self._runnable.holes}
        for name, sizes in refused.items():
            if name in placeholders:
                raise UnresolvedError(
                    f"the placeholder of {placeholders[name]} returns a fixed size: {sizes}"
                )
        said = "; ".join(f"{name}: {sizes}" for name, sizes in refused.items())
        where = f"with {self._bench.case.label(index)}: " if index else ""
        message = f"{where}the file takes inputs of other sizes. {said}"
        key = signature(Stage.RUN, Mode.ERROR, "InputSizes")
        clues = tuple(self._frozen(index))
        return Failure(Stage.RUN, Mode.ERROR, key, "", message, clues=clues, refuses_input=True)

    def _runtime_failure(self, stage: Stage, error: Exception, index: int = 0) -> Failure:
        kind = type(error).__name__
        named = self._named_nodes(stage, str(error))
        names = {clue.fqn for clue in named}
        frozen = (
            sorted(self._frozen(index), key=lambda clue: clue.fqn not in names)
            if stage is Stage.RUN
            else []
        )
        found = frozen + named
        op = next((clue.op for clue in found if clue.op), None)
        message = f"with {self._bench.case.label(index)}: {error}" if index else str(error)
        details = "".join(traceback.format_exception(error))
        return Failure(
            stage,
            Mode.ERROR,
            signature(stage, Mode.ERROR, kind),
            kind,
            message,
            op,
            tuple(found),
            details,
        )

    def _frozen(self, index: int) -> list[Clue]:
        """What the export fixed that may differ from input to input; the inputs of the export itself fit what a tracer froze."""
        kinds = (
            (ClueKind.SPECIALIZATION, ClueKind.TRACER_WARNING)
            if index
            else (ClueKind.SPECIALIZATION,)
        )
        return [clue for clue in self._hints if clue.kind in kinds]

    def _named_nodes(self, stage: Stage, message: str) -> list[Clue]:
        """Modules of the nodes that ONNX Runtime refuses, or names: its exceptions carry text only."""
        model = onnx.load(self._target.path, load_external_data=False)
        refused = runtime.refused_nodes(model) if stage is Stage.LOAD else []
        named = [
            node
            for node in model.graph.node
            if node.name and (f"'{node.name}'" in message or f"({node.name})" in message)
        ]
        found: dict[str, Clue] = {}
        nodes, target = refused or named, self._target
        for clue in graph_nodes.from_onnx_nodes(nodes, target.locator, target.path):
            found.setdefault(clue.fqn, clue)
        return list(found.values())
