"""Find the user's call of `torch.onnx.export`: catch it while a cell runs, or read it from the traceback that it left."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from onnx_debug.data.diagnosis import Diagnosis
from onnx_debug.data.errors import CaseError

Diagnose = Callable[..., Diagnosis]


class ExportFailedError(BaseException):
    """Ends a cell at the export call that failed, past any `except Exception`: what follows would work on a file that is not there."""


class Interception:
    """While entered, every call of `torch.onnx.export` is diagnosed in place of being run.

    Args:
        diagnose: called with the call's own arguments, by name.
        namespace: the user's names; those that are bound to the function itself are caught too.
    """

    def __init__(self, diagnose: Diagnose, namespace: dict[str, Any]) -> None:
        self.diagnosis: Diagnosis | None = None
        self.returned: Any = None
        self._diagnose = diagnose
        self._namespace = namespace

    @contextmanager
    def active(self) -> Iterator[None]:
        """Catch calls until left; then everything is as it was."""
        import torch

        original = torch.onnx.export

        @wraps(original)
        def export(*args: Any, **kwargs: Any) -> Any:
            arguments = _bind(original, args, kwargs)
            # The engine calls the exporter itself, so it must find the true one.
            with self._standing_for(export, original):
                return self._answer(arguments)

        with self._standing_for(original, export):
            yield

    @contextmanager
    def _standing_for(self, old: Any, new: Any) -> Iterator[None]:
        self._swap(old, new)
        try:
            yield
        finally:
            self._swap(new, old)

    def _swap(self, old: Any, new: Any) -> None:
        import torch

        torch.onnx.export = new
        for name, value in list(self._namespace.items()):
            if value is old:
                self._namespace[name] = new

    def _answer(self, arguments: dict[str, Any]) -> Any:
        self.diagnosis = self._diagnose(**arguments)
        if not self.diagnosis.ok:
            raise ExportFailedError
        self.returned = onnx_program(self.diagnosis) if self.diagnosis.dynamo else None
        return self.returned


def _bind(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """The call's arguments by name; those that were not given are left out."""
    try:
        return inspect.signature(function).bind(*args, **kwargs).arguments
    except TypeError as error:
        raise CaseError(f"torch.onnx.export: {error}") from error


def onnx_program(d: Diagnosis) -> Any:
    """The exported model as the `torch.onnx.ONNXProgram` that the call would have returned.

    Its weights are in memory, because the diagnosis' files go when the diagnosis goes. It has no
    `exported_program`: that one stayed in the process of its trial.
    """
    import onnx_ir
    import torch

    assert d.onnx_path
    model = onnx_ir.external_data.load_to_model(onnx_ir.load(d.onnx_path))
    return torch.onnx.ONNXProgram(model, None)


def failed_call(error: BaseException | None) -> dict[str, Any] | None:
    """The arguments of the `torch.onnx.export` call that raised this error, as its frame still holds them.

    Arguments that have their default value are left out. None when no such frame is in the
    traceback, or in those of its causes.
    """
    import torch

    export = inspect.unwrap(torch.onnx.export)
    parameters = inspect.signature(export).parameters.values()
    for frame in _frames(error):
        if frame.f_code is export.__code__:
            held = frame.f_locals
            return {
                p.name: held[p.name]
                for p in parameters
                if p.default is p.empty or held[p.name] is not p.default
            }
    return None


def _frames(error: BaseException | None) -> Iterator[Any]:
    seen: set[int] = set()
    while error and id(error) not in seen:
        seen.add(id(error))
        yield from (frame for frame, _ in traceback.walk_tb(error.__traceback__))
        error = error.__cause__ or error.__context__
