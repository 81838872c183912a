"""What every module of the model receives and returns: in eager, with values, and inside a capture, with symbolic sizes.

Both are seen by the same means, a wrapper around `nn.Module.__call__`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from onnx_debug.eager.calls import Call, Recording, kind_of
from onnx_debug.eager.copies import CloneOnce, NoRoomError
from onnx_debug.eager.module_names import ModuleNames
from onnx_debug.eager.packing import Packed, PackingError, pack
from onnx_debug.torch_private import modules, tensors

Copy = Callable[[Any], Any]


class Recorder:
    """Keeps what passes through `nn.Module.__call__`.

    Args:
        names: the model's modules; calls of other modules are not recorded.
        copy: turns a leaf into what is kept: a clone in eager, a description of its sizes in a
            capture.
        entered: told the stack of running modules at every entry and exit.
        only: the modules whose values are kept; None: all, as long as `copy` has room.
    """

    def __init__(
        self,
        names: ModuleNames,
        copy: Copy,
        entered: Callable[[list[str]], None] = lambda _: None,
        only: frozenset[str] | None = None,
    ) -> None:
        self._names, self._copy, self._entered, self._only = names, copy, entered, only
        self.complete = True  # until there is no room for the values of all modules
        self.recordings: list[Recording] = []
        self.restart()

    def restart(self) -> None:
        """Begin a new recording: the model is about to run again."""
        self.recordings.append(Recording())
        self._running: list[int] = []
        self._counts: dict[str, int] = {}

    @property
    def recording(self) -> Recording:
        """The recording of the present run."""
        return self.recordings[-1]

    @property
    def first(self) -> Recording:
        """The recording of the first run that called a module: a later one may have its dynamic sizes already as numbers."""
        return next((recording for recording in self.recordings if recording.calls), self.recording)

    def wrap(self, original: modules.ModuleCall) -> modules.ModuleCall:
        """The `nn.Module.__call__` that records."""

        def call_module(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            if (
                torch.compiler.is_dynamo_compiling()
            ):  # as for the branches of a torch.cond: the recorder must not be compiled with them
                return original(module, *args, **kwargs)
            fqn = self._names.fqn(module)
            if fqn is None:
                return original(module, *args, **kwargs)
            call, leaves = self._enter(fqn, args, kwargs)
            try:
                output = original(module, *args, **kwargs)
            except BaseException:
                self._leave()
                raise
            self._finish(call, leaves, output)
            return output

        return call_module

    @property
    def stack(self) -> list[str]:
        """The running modules, outermost first."""
        return [self.recording.calls[position].fqn for position in self._running]

    def mark_specialized(self) -> None:
        """A symbolic size of the model's inputs has become a number in the calls that are under way."""
        for position in self._running:
            self.recording.calls[position].specialized = True

    def _enter(
        self, fqn: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Call, list[tuple[Any, int | None]]]:
        index = self._counts.get(fqn, 0)
        self._counts[fqn] = index + 1
        call = Call(fqn, index, self._running[-1] if self._running else None)
        self._running.append(len(self.recording.calls))
        self.recording.calls.append(call)
        self._entered(self.stack)
        packed = self._pack(call, (args, kwargs))
        if packed is None:
            return call, []
        call.arguments = self._kept(call, packed)
        if call.arguments is None:
            call.known_kind = kind_of(packed)
        return call, [(leaf, tensors.version(leaf)) for leaf in packed.leaves]

    def _finish(self, call: Call, leaves: list[tuple[Any, int | None]], output: Any) -> None:
        packed = self._pack(call, output)
        returned = {id(leaf) for leaf in packed.leaves} if packed is not None else set()
        changed = [
            version is not None and tensors.version(leaf) != version and id(leaf) not in returned
            for leaf, version in leaves
        ]
        call.mutated = tuple(position for position, mutated in enumerate(changed) if mutated)
        if packed is not None:
            call.output = self._kept(call, packed)
        self._leave()

    def _kept(self, call: Call, packed: Packed) -> Packed | None:
        if self._only is not None and call.fqn not in self._only:
            return None
        try:
            return Packed(packed.template, tuple(self._copy(leaf) for leaf in packed.leaves))
        except NoRoomError:
            self.complete, self._only = False, frozenset()
            self._copy = CloneOnce()  # the former one holds clones
            for earlier in self.recording.calls:
                earlier.forget_values()
            return None

    def _leave(self) -> None:
        self._running.pop()
        self._entered(self.stack)

    def _pack(self, call: Call, value: Any) -> Packed | None:
        try:
            return pack(value)
        except PackingError as error:
            call.problem = str(error)
            return None


@contextlib.contextmanager
def recorded(recorder: Recorder) -> Iterator[Recorder]:
    """Record every module call in the block."""

    def wrap(original: modules.ModuleCall) -> modules.ModuleCall:
        def in_python(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            """A compiled module runs as it was written, so that the calls inside it are seen."""
            if not modules.is_compiled(module):
                return original(module, *args, **kwargs)
            with torch.compiler.set_stance("force_eager"):
                return original(module, *args, **kwargs)

        return recorder.wrap(in_python)

    with modules.intercept_module_calls(wrap):
        yield recorder
