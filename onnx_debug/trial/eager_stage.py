"""The first stage of an export: running the model in eager, with everything that passes between its modules recorded."""

from __future__ import annotations

import contextlib
import traceback
from dataclasses import dataclass

import torch

from onnx_debug.data.call_tree import EagerReport
from onnx_debug.data.failure import Failure, signature
from onnx_debug.data.outcome import Outcome
from onnx_debug.data.progress import Progress
from onnx_debug.data.stage import Mode, Stage
from onnx_debug.eager.calls import Recording
from onnx_debug.eager.copies import CloneOnce
from onnx_debug.eager.first_call import set_for_good
from onnx_debug.eager.module_names import ModuleNames
from onnx_debug.eager.outputs import eager_outputs
from onnx_debug.eager.random_state import other_random_numbers
from onnx_debug.eager.recorder import Recorder, recorded
from onnx_debug.explain.exceptions import exception_chain, from_exception
from onnx_debug.explain.locate import Locator
from onnx_debug.request.case import Case


@dataclass
class EagerRun:
    """One run of the model, with everything its modules received and returned.

    Attributes:
        set_for_good: attributes that this call, the first, set and another leaves as they are.
        complete: there was room for all values.
    """

    recording: Recording
    outcome: Outcome
    names: ModuleNames
    set_for_good: tuple[str, ...] = ()
    complete: bool = True

    def report(self) -> EagerReport:
        """The run without its values."""
        tree = self.recording.tree(self.names)
        return EagerReport(
            self.outcome,
            tuple(tree.modules.values()),
            tree.calls,
            self.set_for_good,
            self.complete,
        )


def run_eager(
    case: Case,
    index: int,
    progress: Progress,
    *,
    seed: int | None = None,
    after_first: bool = False,
    only: frozenset[str] | None = None,
    room: int | None = None,
) -> EagerRun:
    """Run the model once on the inputs `case.inputs[index]` and keep what passes between its modules.

    Args:
        case: the export.
        index: which inputs.
        progress: told which module runs.
        seed: seed for torch's random numbers; None leaves them as the user had them.
        after_first: call the model on the given inputs before, for what that sets for good.
        only: the modules whose values are kept; None: all.
        room: bytes for all values; where they take more, none are kept. None: no limit.
    """
    names = ModuleNames(case.model)
    recorder = Recorder(names, CloneOnce(room), progress.modules, only)
    if seed is not None:
        torch.manual_seed(seed)
    progress.stage(Stage.EAGER)

    def call() -> None:
        args, kwargs = case.inputs[index]
        if recorder.recording.calls:  # a second call tells what the first one left behind
            with contextlib.suppress(Exception):
                case.model(*args, **kwargs)
            return
        # A Python or NumPy number that the exporter bakes in must not be the one that eager happens
        # to draw.
        random = other_random_numbers(1 if seed is None else seed + 1)
        with case.entered(), random, recorded(recorder):
            case.model(*args, **kwargs)

    failure: Failure | None = None
    kept: tuple[str, ...] = ()
    try:
        if after_first:
            eager_outputs(case, case.inputs[0], gradients=torch.is_grad_enabled())
        if index == 0:
            kept = set_for_good(case.model, call)
        else:
            call()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the user's model raises is the answer
        failure = _eager_failure(error, names)
    outcome = Outcome(failure, passed=() if failure else (Stage.EAGER,))
    return EagerRun(recorder.recording, outcome, names, kept, recorder.complete)


def _eager_failure(error: BaseException, names: ModuleNames) -> Failure:
    innermost = exception_chain(error)[0]
    kind = type(innermost).__name__
    found = tuple(from_exception(error, Locator(names)))
    details = "".join(traceback.format_exception(error))
    return Failure(
        Stage.EAGER,
        Mode.ERROR,
        signature(Stage.EAGER, Mode.ERROR, kind),
        kind,
        str(innermost),
        None,
        found,
        details,
    )
