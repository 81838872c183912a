"""Find the user's call of `torch.onnx.export`: catch it while a cell runs, or read it from the traceback that it left."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import CodeType
from typing import Any

from onnx_debug.data.diagnosis import Diagnosis
from onnx_debug.data.errors import CaseError
from onnx_debug.torch_private import exporter

Diagnose = Callable[..., Diagnosis]


class ExportFailedError(BaseException):
    """Ends a cell at the export call that failed, past any `except Exception`: what follows would work on a file that is not there."""


@dataclass(frozen=True)
class _Entry:
    """A function of torch through which an export can be asked for; `implied` are options that it adds."""

    function: Any
    implied: dict[str, Any]

    def arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The call's arguments by name, as `torch.onnx.export` would take them.

        Keywords that are unknown are kept: whoever checks the options knows what was meant.
        """
        signature = inspect.signature(self.function)
        known = {name: value for name, value in kwargs.items() if name in signature.parameters}
        try:
            bound = signature.bind(*args, **known).arguments
        except TypeError as error:
            raise CaseError(f"torch.onnx.export: {error}") from error
        given = {**bound, **kwargs}
        return {**self.without_defaults(given), **self.implied} if self.implied else given

    def without_defaults(self, values: dict[str, Any]) -> dict[str, Any]:
        """Of these arguments, and whatever else is among them, those that differ from their defaults."""
        defaults = inspect.signature(self.function).parameters
        return {
            name: value
            for name, value in values.items()
            if name not in defaults or value is not defaults[name].default
        }


def _entries() -> list[_Entry]:
    """`torch.onnx.export` and the legacy exporter beneath it, which is also `torch.onnx.utils.export`.

    Where somebody has put a function of their own in the place of `torch.onnx.export`, both
    exporters that it chooses from are watched in its stead.
    """
    import torch

    export = inspect.unwrap(torch.onnx.export)
    own = getattr(export, "__globals__", None) is vars(torch.onnx) and not export.__closure__
    found = [_Entry(export, {})] if own else []
    for dynamo in (False,) if own else (False, True):
        function = exporter.beneath(dynamo=dynamo)
        found += [_Entry(function, {"dynamo": dynamo})] if function is not None else []
    return found


class Interception:
    """While active, every call of `torch.onnx.export` is diagnosed in place of being run.

    The functions themselves stay where they are, and so does every name that is bound to them, in
    any library, in a `functools.partial` or in a default argument. What is exchanged for a while is
    their code.

    Args:
        diagnose: called with the call's own arguments, by name.

    Attributes:
        calls: what became of each call, in order; a `CaseError` stands for one that can be no
            export.
        returned: what the last call returned.
    """

    def __init__(self, diagnose: Diagnose) -> None:
        self.calls: list[Diagnosis | CaseError] = []
        self.returned: Any = None
        self._diagnose = diagnose

    @contextmanager
    def active(self) -> Iterator[None]:
        """Catch calls until left; then everything is as it was."""
        entries = _entries()
        true = {entry.function: entry.function.__code__ for entry in entries}
        caught = {entry.function: _calling(partial(self._caught, true, entry)) for entry in entries}
        for function in true:  # whoever asks for it sees the signature that the function has
            function.__signature__ = inspect.signature(function)
        try:
            with _running(caught):
                yield
        finally:
            for function in true:
                del function.__signature__

    def _caught(
        self, true: dict[Any, CodeType], entry: _Entry, /, *args: Any, **kwargs: Any
    ) -> Any:
        # The engine calls the exporter itself, so it must find the true one.
        with _running(true):
            return self._answer(entry, args, kwargs)

    def _answer(self, entry: _Entry, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        try:
            diagnosis = self._diagnose(**entry.arguments(args, kwargs))
        except CaseError as error:
            self.calls.append(error)
            raise ExportFailedError from error
        self.calls.append(diagnosis)
        if not (diagnosis.ok or diagnosis.fixed):
            raise ExportFailedError
        self.returned = onnx_program(diagnosis) if diagnosis.dynamo else None
        return self.returned


_HANDLER = "the handler of the call"


def _stand_in(*args: Any, **kwargs: Any) -> Any:
    handler: Any = "the handler of the call"
    return handler(*args, **kwargs)


def _calling(handler: Callable[..., Any]) -> CodeType:
    """Code for any function without free variables: it hands the call to `handler`, a constant of the code."""
    code = _stand_in.__code__
    constants = (handler if value == _HANDLER else value for value in code.co_consts)
    return code.replace(co_consts=tuple(constants))


@contextmanager
def _running(codes: Mapping[Any, CodeType]) -> Iterator[None]:
    """Give each function this code for a while."""
    before = {function: function.__code__ for function in codes}
    for function, code in codes.items():
        function.__code__ = code
    try:
        yield
    finally:
        for function, code in before.items():
            function.__code__ = code


def onnx_program(d: Diagnosis) -> Any:
    """The exported model as the `torch.onnx.ONNXProgram` that the call would have returned.

    Its weights are in memory, because the diagnosis' files go when the diagnosis goes. It has no
    `exported_program`: that one stayed in the process of its trial.
    """
    import onnx_ir
    import torch

    assert d.usable_path
    model = onnx_ir.external_data.load_to_model(onnx_ir.load(d.usable_path))
    return torch.onnx.ONNXProgram(model, None)


def failed_call(error: BaseException | None) -> dict[str, Any] | None:
    """The arguments of the `torch.onnx.export` call that raised this error, as its frame still holds them.

    Arguments that have their default value are left out. None when no such frame is in the
    traceback, or in those of its causes.
    """
    entries = {entry.function.__code__: entry for entry in _entries()}
    for frame in _frames(error):
        entry = entries.get(frame.f_code)
        if entry is not None:
            names = inspect.signature(entry.function).parameters
            held = {name: frame.f_locals[name] for name in names}
            return {**entry.without_defaults(held), **entry.implied}
    return None


def _frames(error: BaseException | None) -> Iterator[Any]:
    seen: set[int] = set()
    while error and id(error) not in seen:
        seen.add(id(error))
        yield from (frame for frame, _ in traceback.walk_tb(error.__traceback__))
        error = error.__cause__ or error.__context__
