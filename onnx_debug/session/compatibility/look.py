"""`onnx_debug.torch_private()`: what fits with what, found by trying."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from onnx_debug.data.compatibility import Cell, Compatibility, FileAnswer
from onnx_debug.data.errors import CaseError
from onnx_debug.data.events import Event, Started, TrialStarted
from onnx_debug.data.outcome import Trial
from onnx_debug.request.case import Case, make_case
from onnx_debug.request.keywords import FIRST_OPSET
from onnx_debug.runner.open_runner import open_runner
from onnx_debug.runner.questions import Question
from onnx_debug.runner.runner import Runner, UnansweredError
from onnx_debug.session.compatibility.file import LookAtFile
from onnx_debug.session.compatibility.installed import problems, versions
from onnx_debug.session.compatibility.matrix import cells
from onnx_debug.session.compatibility.runtime import NEWEST_OPSET, TryFormat, TryOpsets

T = TypeVar("T")

# Of a user's model, where each export takes its time: those where something changed.
_TELLING_OPSETS = (11, 13, 16, 17, 18, 20, 21, 23)
_DEFAULTS: list[tuple[bool, int | None]] = [(True, None), (False, None)]


@dataclass
class _Look:
    """What is asked within one time limit."""

    on_event: Callable[[Event], None]
    timeout: float
    until: float
    notes: list[str] = field(default_factory=list)
    asked: int = 0

    def ask(self, runner: Runner, question: Question[T], default: T, what: str) -> T:
        try:
            return runner.ask(question, self.timeout)
        except UnansweredError as error:
            self.notes.append(f"{what} could not be found out: {error}.")
            return default

    def matrix(self, runner: Runner, asked: list[tuple[bool, int | None]]) -> tuple[Cell, ...]:
        found: list[Cell] = []
        for dynamo, opset in asked:
            if time.monotonic() > self.until:
                self.notes.append("The time was over before all opsets were tried.")
                left = asked[len(found) :]
                return (*found, *(Cell(exporter, number) for exporter, number in left))
            self.asked += 1
            words = "its default opset" if opset is None else f"opset {opset}"
            self.on_event(
                TrialStarted(self.asked, Trial(""), f"export with dynamo={dynamo}, {words}")
            )
            found += cells(runner, [(dynamo, opset)], self.timeout)
        return tuple(found)


def compat(
    model: Any = None,
    args: Any = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    opsets: Iterable[int] | None = None,
    timeout: float = 60.0,
    limit: float = 180.0,
    on_event: Callable[[Event], None] | None = None,
    **export_options: Any,
) -> Compatibility:
    """What fits with what here, found by trying.

    Without a model: which opsets each exporter of torch writes, which this ONNX Runtime runs, and
    which packages do not fit together. With a path of an ONNX file: whether it loads here, and why
    not. With a model: what comes of its export, over exporters and opsets.

    Args:
        model: None, the path of an ONNX file, or a model as for `torch.onnx.export`.
        args: the model's positional inputs.
        kwargs: its keyword inputs.
        opsets: that are tried; None: all for one layer, the telling ones for a model.
        timeout: seconds for one export.
        limit: seconds for all of them.
        on_event: told what happens, see `onnx_debug.data.events`.
        **export_options: `torch.onnx.export`'s own keywords.

    Raises:
        CaseError: what was handed over cannot be an export.
    """
    start = time.monotonic()
    look = _Look(on_event or (lambda _: None), timeout, start + limit)
    path = os.fspath(model) if isinstance(model, str | os.PathLike) else None
    if path is not None and not Path(path).is_file():
        raise CaseError(f"there is no file {path}")
    own = (
        None
        if model is None or path is not None
        else make_case(model, args, kwargs, options=export_options)
    )
    layer = make_case(nn.Linear(2, 2).eval(), torch.ones(1, 2))
    requested = export_options.get("opset_version")
    with _runner(layer, look) as runner:
        found = (
            look.ask(runner, LookAtFile(path), FileAnswer(path), "Whether the file loads")
            if path is not None
            else None
        )
        file_format = look.ask(runner, TryFormat(), "", "Which file format ONNX Runtime reads")
        runtime = look.ask(runner, TryOpsets(), (), "What ONNX Runtime runs")
        usual = _wanted(opsets, requested, every=True) if own is None else _DEFAULTS
        of_layer = look.matrix(runner, usual) if path is None else ()
    of_model: tuple[Cell, ...] = ()
    if own is not None:
        with _runner(own, look) as runner:
            of_model = look.matrix(runner, _wanted(opsets, requested, every=False))
    return Compatibility(
        versions(),
        tuple(problems(of_layer, runtime, file_format)),
        type(own.model).__name__ if own is not None else "",
        requested if isinstance(requested, int) else None,
        of_model if own is not None else of_layer,
        runtime,
        found,
        tuple(look.notes),
        time.monotonic() - start,
    )


def _wanted(
    opsets: Iterable[int] | None, requested: Any, *, every: bool
) -> list[tuple[bool, int | None]]:
    """The exports to try: each exporter with its default first, then with each opset."""
    usual = range(FIRST_OPSET, NEWEST_OPSET + 1) if every else _TELLING_OPSETS
    numbers = set(usual if opsets is None else opsets)
    if isinstance(requested, int):
        numbers.add(requested)
    return [(dynamo, opset) for dynamo in (True, False) for opset in (None, *sorted(numbers))]


@contextlib.contextmanager
def _runner(case: Case, look: _Look) -> Iterator[Runner]:
    """A runner that has run the model, closed in the end."""
    runner, protection = open_runner(case, isolate=True, memory_limit=None)
    if protection and protection not in look.notes:
        look.notes.append(protection)
    try:
        report = runner.eager(look.timeout)
        look.on_event(Started(len(report.modules)))
        if report.outcome.failure is not None:
            raise CaseError(f"the model itself fails: {report.outcome.failure.message}")
        yield runner
    finally:
        runner.close()
