"""What every module of the model receives and returns: in eager, with values, and inside a capture, with symbolic sizes.

Both are seen by the same means, a wrapper around `nn.Module.__call__`.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import linecache
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from onnx_debug.compat import modules, tensors
from onnx_debug.data.call_tree import CallInfo, Tree
from onnx_debug.data.failure import Source
from onnx_debug.data.module_info import ModuleInfo
from onnx_debug.eager.packing import Packed, PackingError, pack


class ModuleNames:
    """Finds the path of a module object, also when a capture has wrapped it in a proxy: the proxy shares its `__dict__`."""

    def __init__(self, model: nn.Module, prefix: str = "") -> None:
        self.names: dict[int, list[str]] = {}
        self.modules: dict[str, nn.Module] = {}
        for name, module in model.named_modules(remove_duplicate=False):
            self.names.setdefault(id(module.__dict__), []).append(prefix + name)
            self.modules[prefix + name] = module
        self._model = model  # the ids hold as long as the modules live

    def fqn(self, module: object) -> str | None:
        """Canonical path of a module, or None for an object that is none of the model's."""
        try:
            found = self.names.get(id(object.__getattribute__(module, "__dict__")))
        except AttributeError:
            return None
        return found[0] if found else None

    def canonical(self, name: str) -> str | None:
        """The canonical path of a module that is known as `name`."""
        module = self.modules.get(name)
        return None if module is None else self.fqn(module)

    def infos(self, calls: dict[str, int]) -> tuple[ModuleInfo, ...]:
        """The tree for the diagnosis, in `named_modules()` order."""
        return tuple(
            ModuleInfo(
                names[0],
                type(self.modules[names[0]]).__name__,
                aliases=tuple(names[1:]),
                calls=calls.get(names[0], 0),
                parameters=sum(
                    p.numel()
                    for p in self.modules[names[0]].parameters()
                    if not isinstance(p, nn.UninitializedParameter)
                ),
                forward=_forward(type(self.modules[names[0]])),
            )
            for names in self.names.values()
        )


def _forward(kind: type[nn.Module]) -> Source | None:
    """Where the class says what it computes."""
    forward = inspect.getattr_static(
        kind, "forward", None
    )  # a compiled class answers for its instances only
    code = getattr(inspect.unwrap(forward), "__code__", None) if callable(forward) else None
    if code is None or forward is nn.Module.forward:
        return None  # a list of modules, or a class that is not written in Python
    return Source(
        code.co_filename,
        code.co_firstlineno,
        linecache.getline(code.co_filename, code.co_firstlineno).strip(),
        "forward",
    )


@dataclass
class Call:
    """One recorded call, with values.

    Attributes:
        arguments: `(args, kwargs)` before the call.
        output: what it returned; None when it did not return.
        mutated: positions of the argument leaves that the call changed in place and did not return.
        specialized: a symbolic size of the model's inputs became a number before the call returned.
        problem: why the call could not be recorded; empty when it was.
        known_kind: see `kind`, of a call whose values were not kept.
    """

    fqn: str
    index: int
    parent: int | None
    arguments: Packed | None = None
    output: Packed | None = None
    mutated: tuple[int, ...] = ()
    specialized: bool = False
    problem: str = ""
    known_kind: str = ""

    @property
    def kind(self) -> str:
        """Equal for calls with equal shapes, dtypes and non-tensor arguments."""
        if self.arguments is None:
            return self.known_kind or self.problem
        return _kind(self.arguments)

    def forget_values(self) -> None:
        """Keep only that it happened."""
        self.known_kind, self.arguments, self.output = self.kind, None, None


def _kind(arguments: Packed) -> str:
    shapes = [
        (tuple(leaf.shape), str(leaf.dtype)) if isinstance(leaf, torch.Tensor) else str(leaf)
        for leaf in arguments.leaves
    ]
    found = hashlib.sha1(arguments.template + repr(shapes).encode(), usedforsecurity=False)
    return found.hexdigest()


@dataclass
class Recording:
    """All calls of one run of the model, in the order in which they began."""

    calls: list[Call] = field(default_factory=list)

    def of(self, fqn: str) -> list[Call]:
        """The calls of one module."""
        return [call for call in self.calls if call.fqn == fqn]

    def inside(self, fqn: str, root: str, call: int) -> list[Call]:
        """The calls of `fqn` that happen inside the given call of `root`."""
        return [found for found in self.of(fqn) if root == "" or self._within(found, root, call)]

    def _within(self, call: Call, root: str, index: int) -> bool:
        above = call.parent
        while above is not None:
            outer = self.calls[above]
            if outer.fqn == root:
                return outer.index == index
            above = outer.parent
        return False

    def tree(self, names: ModuleNames) -> Tree:
        """The calls without their values."""
        counts: dict[str, int] = {}
        for call in self.calls:
            counts[call.fqn] = counts.get(call.fqn, 0) + 1
        return Tree(
            names.infos(counts),
            [CallInfo(call.fqn, call.index, call.parent, call.kind) for call in self.calls],
        )


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
            call.known_kind = _kind(packed)
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


class NoRoomError(Exception):
    """There are more values than may be kept."""


class CloneOnce:
    """Clones a tensor once per version: an activation is the output of one module and the input of the next.

    Args:
        room: bytes that all clones may take; None: no limit.
    """

    def __init__(self, room: int | None = None) -> None:
        self._room = room
        self._known: dict[int, tuple[Any, int | None, torch.Tensor]] = {}

    def __call__(self, leaf: Any) -> Any:
        """A detached copy that keeps values, strides and `requires_grad`."""
        if not isinstance(leaf, torch.Tensor):
            return leaf
        known = self._known.get(id(leaf))
        if (
            known is not None
            and known[0]() is leaf
            and known[1] == tensors.version(leaf) is not None
        ):
            return known[2]
        if self._room is not None:
            self._room -= leaf.nbytes if leaf.layout is torch.strided else 0
            if self._room < 0:
                raise NoRoomError
        twin = copy_tensor(leaf)
        self._known[id(leaf)] = (weakref.ref(leaf), tensors.version(leaf), twin)
        return twin


def copy_tensor(tensor: torch.Tensor) -> torch.Tensor:
    """A detached copy with the same values, strides and `requires_grad`."""
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_nested:
        return tensor.detach().clone()
    plain = tensor.detach()
    twin = torch.empty_strided(plain.shape, plain.stride(), dtype=plain.dtype, device=plain.device)
    try:
        twin.copy_(plain)
    except RuntimeError:  # elements share memory (an expanded tensor, overlapping windows), so these strides cannot be written to
        twin = plain.clone()
    return (
        twin.requires_grad_(tensor.requires_grad)
        if twin.is_floating_point() or twin.is_complex()
        else twin
    )


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
