"""The module tree as the search sees it: names, nesting, and who called whom. No torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from onnx_debug.data.module_info import ModuleInfo
from onnx_debug.data.outcome import Outcome


@dataclass(frozen=True)
class CallInfo:
    """One call of a module, seen while the model ran in eager.

    Attributes:
        fqn: canonical name of the module.
        index: how many calls of this module came before.
        parent: position of the enclosing call in the list of calls; None for the whole model.
        kind: a key that is equal for calls with equal shapes, dtypes and non-tensor arguments.
    """

    fqn: str
    index: int
    parent: int | None
    kind: str


class Tree:
    """The modules of a model and their calls.

    Children are taken from the calls, not from the names: what matters for an export is which
    module runs inside which.
    """

    def __init__(self, modules: Iterable[ModuleInfo], calls: Iterable[CallInfo]) -> None:
        self.modules = {module.fqn: module for module in modules}
        self.calls = tuple(calls)
        self._canonical = {
            name: module.fqn
            for module in self.modules.values()
            for name in (module.fqn, *module.aliases)
        }
        self._first = {
            call.fqn: position for position, call in reversed(list(enumerate(self.calls)))
        }
        self._children: dict[str, dict[str, None]] = {}
        for call in self.calls:
            if call.parent is not None:
                self._children.setdefault(self.calls[call.parent].fqn, {})[call.fqn] = None

    def canonical(self, name: str) -> str | None:
        """The one name under which a module is known here, or None for a name that the model does not have."""
        return self._canonical.get(name)

    def called(self, fqn: str) -> bool:
        """True when the eager run called the module."""
        return fqn in self._first

    def children(self, fqn: str) -> tuple[str, ...]:
        """The modules that are called directly inside `fqn`, in execution order."""
        return tuple(child for child in self._children.get(fqn, ()) if child != fqn)

    def parent(self, fqn: str) -> str | None:
        """The module inside which `fqn` is called first; None for the whole model."""
        position = self._first.get(fqn)
        above = None if position is None else self.calls[position].parent
        return None if above is None else self.calls[above].fqn

    def ancestors(self, fqn: str) -> tuple[str, ...]:
        """The called modules around `fqn`, innermost first, the whole model last."""
        found: list[str] = []
        above = self.parent(fqn)
        while above is not None and above not in found:
            found.append(above)
            above = self.parent(above)
        return tuple(found)

    def below(self, fqn: str) -> set[str]:
        """Every module that is called somewhere inside `fqn`."""
        found: set[str] = set()
        waiting = list(self.children(fqn))
        while waiting:
            child = waiting.pop()
            if child not in found:
                found.add(child)
                waiting.extend(self.children(child))
        return found

    def nearest_called(self, fqn: str) -> str:
        """`fqn` if it is called, else the innermost module above it (by name) that is."""
        while fqn and not self.called(fqn):
            fqn = self.canonical(fqn.rpartition(".")[0]) or ""
        return fqn

    def order(self, fqn: str) -> int:
        """Position of the first call: execution order."""
        return self._first.get(fqn, len(self.calls))

    def differing_calls(self, fqn: str) -> tuple[int, ...]:
        """Indices of the calls whose shapes, dtypes or non-tensor arguments differ from all earlier ones."""
        seen: set[str] = set()
        found: list[int] = []
        for call in self.calls:
            if call.fqn == fqn and call.kind not in seen:
                seen.add(call.kind)
                found.append(call.index)
        return tuple(found)

    def same_class(self, fqn: str) -> tuple[str, ...]:
        """Called modules of the same class as `fqn`, itself left out, in execution order."""
        wanted = self.modules[fqn].class_name
        return tuple(
            name
            for name in self.called_in_order()
            if name != fqn and self.modules[name].class_name == wanted
        )

    def called_in_order(self) -> list[str]:
        """Every called module, in execution order."""
        return sorted(self._first, key=self._first.__getitem__)


@dataclass(frozen=True)
class EagerReport:
    """What is left of an eager run without its values; plain data that can go to another process.

    Attributes:
        set_for_good: attributes that the first call sets and a second leaves as they are.
        complete: the values of all modules were kept; else there was no room for them, and those of
            the modules that a question needs are recorded by another run.
        notes: what the reader should know of this installation.
    """

    outcome: Outcome
    modules: tuple[ModuleInfo, ...] = ()
    calls: tuple[CallInfo, ...] = ()
    set_for_good: tuple[str, ...] = ()
    complete: bool = True
    notes: tuple[str, ...] = ()

    def tree(self) -> Tree:
        """The module tree as the search sees it."""
        return Tree(self.modules, self.calls)
