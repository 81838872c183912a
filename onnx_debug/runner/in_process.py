"""Questions answered in the user's own process: what they touch is put back, but a crash is the user's too."""

from __future__ import annotations

import traceback
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import torch

from onnx_debug.data.call_tree import EagerReport
from onnx_debug.data.errors import PausedError
from onnx_debug.data.progress import Progress
from onnx_debug.eager.calls import Recording
from onnx_debug.eager.outputs import eager_outputs
from onnx_debug.eager.packing import PackingError, pack, unpack
from onnx_debug.request.case import Case, Inputs
from onnx_debug.runner import memory, silence, workdir
from onnx_debug.runner.questions import Context, Question, with_checks
from onnx_debug.runner.restore_state import untouched
from onnx_debug.runner.runner import Runner, UnansweredError
from onnx_debug.trial.eager_stage import EagerRun, run_eager

T = TypeVar("T")


class InProcessRunner(Runner):
    """Without processes and without limits of time and memory."""

    def __init__(self, case: Case) -> None:
        super().__init__(case)
        self._runs: dict[int, EagerRun] = {}
        self._asked, self._pausing = 0, False

    def _eager(self, timeout: float) -> EagerReport:
        del timeout
        return self._run(0).report()

    def ask(self, question: Question[T], timeout: float) -> T:
        """The answer to a question; one that is under way cannot be ended."""
        del timeout
        if self._pausing:
            raise PausedError("paused before this was answered; ask again")
        self._asked += 1
        directory = self.directory / str(self._asked)
        directory.mkdir()
        recordings = self._recordings(question.needs)
        case = _with_copied_inputs(self._present_case())
        context = Context(
            case,
            self._names,
            recordings,
            self._traced.of(question.needs),
            directory,
            Progress(),
            partial(_eager_outputs, case),
        )
        try:
            with silence.printed_to(directory), untouched(case.model):
                return question.run(context)
        except Exception as error:
            why = f"onnx_debug made a mistake: {type(error).__name__}: {error}"
            raise UnansweredError(why, log=traceback.format_exc()) from error

    def pause(self) -> None:
        """Refuse further questions."""
        self._pausing = True

    def resume(self) -> None:
        """Answer questions again."""
        self._pausing = False

    def rest(self) -> None:
        """There are no processes to end."""

    def close(self, *, keep_files: bool = False) -> None:
        """Forget the recordings."""
        self._runs.clear()
        if not keep_files:
            workdir.remove(self.directory)

    def _present_case(self) -> Case:
        return with_checks(self._case, self._checks)

    def _recordings(self, needs: frozenset[str] | None) -> dict[int, Recording]:
        if needs == frozenset():
            return {}
        found = {}
        for index in range(len(self._present_case().inputs)):
            run = self._run(index)
            if index and run.outcome.failure is not None:
                continue  # eager rejects these inputs
            if not run.complete:
                run = self._run_model(index, only=needs)
            found[index] = run.recording
        return found

    def _run(self, index: int) -> EagerRun:
        if index not in self._runs:
            self._runs[index] = self._run_model(index, room=memory.free() // 4)
        return self._runs[index]

    def _run_model(
        self, index: int, *, only: frozenset[str] | None = None, room: int | None = None
    ) -> EagerRun:
        after = index > 0 and bool(self._run(0).set_for_good)
        case = _with_copied_inputs(self._present_case())
        with silence.printed_to(self.directory), untouched(case.model):
            return run_eager(case, index, Progress(), after_first=after, only=only, room=room)


def _eager_outputs(
    case: Case, inputs: Inputs, *, gradients: bool = False
) -> list[torch.Tensor] | None:
    with untouched(case.model):
        return eager_outputs(case, _copied(inputs), gradients=gradients)


def _with_copied_inputs(case: Case) -> Case:
    """The case with inputs of its own: a model may write to what it is given."""
    args, kwargs = _copied((case.args, case.kwargs))
    return replace(
        case,
        args=args,
        kwargs=kwargs,
        check_inputs=tuple(_copied(inputs) for inputs in case.check_inputs),
    )


def _copied(value: Any) -> Any:
    try:
        packed = pack(value)
    except PackingError:
        return value
    return unpack(
        packed.template,
        [leaf.detach().clone().requires_grad_(leaf.requires_grad) for leaf in packed.leaves],
    )
