"""Run `torch.onnx.export` and watch it: how far it came, what it captured, which module ran, which size became a number.

The user's own call is made; nothing of the exporter is rebuilt here. Its stages are told apart by
the public functions that it passes.
"""

from __future__ import annotations

import contextlib
import io
import logging
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from onnx_debug.data.failure import Clue, ClueKind
from onnx_debug.data.stage import Stage
from onnx_debug.eager.calls import Recording
from onnx_debug.eager.leaf import Leaf
from onnx_debug.eager.recorder import Recorder
from onnx_debug.explain.exceptions import Frame, from_frames, with_decision
from onnx_debug.explain.installed import is_library
from onnx_debug.explain.locate import Locator
from onnx_debug.torch_private import exporter, graphs, modules, symbols

_LOGGERS = ("torch", "onnxscript", "onnx_ir")


@dataclass
class Export:
    """What was seen of one export.

    Attributes:
        reached: the stage that was running last.
        program: the result; None when it failed, and for the legacy exporter.
        captured, decomposed: the exported programs before and after decomposition, as far as it
            came.
        entered: whether the model's forward ever began.
        specialized: where a symbolic size of an input became a number.
        frozen: where a trace made a branch, a size or a value of the given inputs a constant.
        log: what was printed and logged.
        stacks: the stack behind each value of a file of the legacy exporter, as TorchScript writes it.
    """

    reached: Stage = Stage.OPTIONS
    program: Any = None
    captured: Any = None
    decomposed: Any = None
    error: BaseException | None = None
    entered: bool = False
    specialized: list[Clue] = field(default_factory=list)
    frozen: list[Clue] = field(default_factory=list)
    log: str = ""
    stacks: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Call:
    """A call of `torch.onnx.export`."""

    model: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    options: dict[str, Any]
    path: Path


def export(
    call: Call,
    *,
    recorder: Recorder,
    locator: Locator,
    dynamo: bool,
    started: Callable[[], None],
    stage: Callable[[Stage], None],
) -> Export:
    """Make the call and return what was seen.

    Args:
        recorder: sees every module call of a non-strict capture or a trace.
        started: called each time the exporter begins to run the model.
        stage: told each stage as it begins.
    """
    seen = Export()

    def reach(now: Stage) -> None:
        seen.reached = now
        stage(now)

    warned: list[str] = []
    frozen: dict[Clue, None] = {}
    specialized: list[tuple[str, Clue]] = []

    def specialize(symbol: str, size: int, name: str) -> None:
        clue = _specialization(size, name, locator)
        if clue is not None:
            specialized.append((symbol, clue))
            if recorder.recording.calls and _of_inputs([(symbol, clue)], recorder.recording):
                recorder.mark_specialized()

    output = io.StringIO()
    with contextlib.ExitStack() as watching:
        watching.enter_context(_logged(output))
        watching.enter_context(_warnings(warned, frozen, locator))
        watching.enter_context(exporter.reuse_operator_registry())
        watching.enter_context(symbols.watch_specializations(specialize))
        watching.enter_context(
            _watched_exporter(seen, recorder, reach, started)
            if dynamo
            else _watched_trace(recorder, reach, started)
        )
        watching.enter_context(graphs.keep_stacks(seen.stacks))
        watching.enter_context(graphs.keep_user_frames(is_library))
        reach(Stage.OPTIONS if dynamo else Stage.CAPTURE)
        # A dict at the end of `args` would be taken for keyword arguments.
        args = (
            (*call.args, {})
            if call.args and isinstance(call.args[-1], dict) and not call.kwargs
            else call.args
        )
        try:
            # The log of the dynamo exporter is worth reading; the legacy one would write Python's
            # stack into every node of the file.
            seen.program = torch.onnx.export(
                call.model,
                args,
                str(call.path),
                kwargs=call.kwargs or None,
                **{"verbose": dynamo, **call.options},
            )
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the exporter raises is the answer
            seen.error = error
    seen.specialized = _of_inputs(specialized, recorder.first)
    seen.entered = bool(recorder.first.calls)
    seen.frozen = list(frozen)
    seen.log = output.getvalue() + "".join(warned)
    return seen


@contextlib.contextmanager
def _watched_exporter(
    seen: Export, recorder: Recorder, reach: Callable[[Stage], None], started: Callable[[], None]
) -> Iterator[None]:
    """Notice when the exporter enters and leaves `torch.export.export` and `run_decompositions`."""

    def capture(make: Callable[[], Any], strict: bool) -> Any:
        reach(Stage.CAPTURE)
        started()
        # Dynamo would trace the recorder itself, so a strict capture runs unseen.
        unseen = contextlib.nullcontext()
        with unseen if strict else modules.intercept_module_calls(recorder.wrap):
            seen.captured = make()
        reach(Stage.TRANSLATE)
        return seen.captured

    with exporter.watch_steps(capture, lambda program: setattr(seen, "decomposed", program)):
        yield


@contextlib.contextmanager
def _watched_trace(
    recorder: Recorder, reach: Callable[[Stage], None], started: Callable[[], None]
) -> Iterator[None]:
    """Notice when the legacy exporter has run the model for the last time: what comes after is translation."""

    def wrap(original: modules.ModuleCall) -> modules.ModuleCall:
        recording = recorder.wrap(original)

        def call_module(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            outermost = not recorder.stack
            if outermost:
                reach(Stage.CAPTURE)
                started()
            output = recording(module, *args, **kwargs)
            if outermost:
                reach(Stage.TRANSLATE)
            return output

        return call_module

    with modules.intercept_module_calls(wrap):
        yield


@contextlib.contextmanager
def _warnings(warned: list[str], frozen: dict[Clue, None], locator: Locator) -> Iterator[None]:
    """Keep all warnings, and what the tracer warns of with the module and the line that are running."""
    tracer: type[Warning] = torch.jit.TracerWarning  # type: ignore[attr-defined]

    def show(message: Warning | str, category: type[Warning], filename: str, *_: Any) -> None:
        warned.append(f"{category.__name__}: {message}\n")
        if not issubclass(category, tracer) or is_library(filename):
            return
        clue = from_frames(_running(), locator)
        if clue is not None:
            frozen[with_decision(replace(clue, kind=ClueKind.TRACER_WARNING))] = None

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = show  # type: ignore[assignment]
        yield


def _running() -> list[Frame]:
    """The frames that are running, outermost first."""
    return list(traceback.walk_stack(None))[::-1]


@contextlib.contextmanager
def _logged(output: io.StringIO) -> Iterator[None]:
    """Keep what the exporter prints and logs, and let nothing of it out."""
    handler = logging.StreamHandler(output)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    roots = [logging.getLogger(name) for name in _LOGGERS]
    # torch gives some of its inner loggers handlers of their own.
    inner = [
        logger
        for name, logger in logging.root.manager.loggerDict.items()
        if name.startswith(_LOGGERS) and isinstance(logger, logging.Logger)
    ]
    before = [
        (logger, logger.propagate, list(logger.handlers))
        for logger in {*roots, *inner}
        if logger.handlers or logger in roots
    ]
    for logger, _, _ in before:
        logger.propagate = False
        logger.handlers = [handler]
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            yield
    finally:
        for logger, propagate, handlers in before:
            logger.propagate, logger.handlers = propagate, handlers


def _specialization(size: int, name: str, locator: Locator) -> Clue | None:
    """A clue to the module and line that are running right now, which made a size a number."""
    clue = from_frames(_running(), locator)
    if clue is None:
        return None
    reason = f"hard-codes {name or 'a dynamic size'} to {size}"
    return replace(clue, kind=ClueKind.SPECIALIZATION, reason=reason, size=size)


def _of_inputs(found: list[tuple[str, Clue]], first: Recording) -> list[Clue]:
    """Of the sizes that became numbers, those of the inputs.

    A capture inside a capture, as of `torch.cond` or a GRU, has symbols of its own. They can have
    the same names, so the number counts as well. A strict capture records no inputs.
    """
    arguments = first.calls[0].arguments if first.calls else None
    if arguments is None:
        return [clue for _, clue in found]
    given = {
        (str(size), hint)
        for leaf in arguments.leaves
        if isinstance(leaf, Leaf)
        for size, hint in zip(leaf.sizes, leaf.hints, strict=False)
    }
    return [clue for symbol, clue in found if (symbol, clue.size) in given]
