"""From what an exporter says to the modules of the model and the lines of their code."""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence

from torch import nn

from onnx_debug.data.failure import Clue, ClueKind, Source
from onnx_debug.eager.module_names import ModuleNames
from onnx_debug.explain import own_code
from onnx_debug.explain.installed import is_generated, is_library
from onnx_debug.explain.syntax import source_at
from onnx_debug.onnx_file import display

Line = tuple[str, int]


class Locator:
    """Finds modules and lines for one exported module.

    Args:
        names: the modules, with paths in the whole model.
        root: path of the exported module; the exporter's own paths start below it.
        inner: the attribute under which a wrapper holds the exported module; empty without a
            wrapper.
    """

    def __init__(self, names: ModuleNames, root: str = "", inner: str = "") -> None:
        self.names, self.root, self._inner = names, root, inner
        self._spans: dict[type[nn.Module], tuple[own_code.Span, ...]] = {}

    def fqn(self, path: str) -> str | None:
        """The path in the whole model for a path of the exporter ("L['self'].inner.attn@1"); None if there is no such module."""
        plain = re.sub(r"@\d+", "", path.removeprefix("L['self']").removeprefix("."))
        if self._inner:
            plain = plain.removeprefix(self._inner).removeprefix(".")
        full = ".".join(part for part in (self.root, plain) if part)
        return self.names.canonical(full)

    def fqn_of_scopes(self, scopes: Iterable[str]) -> str | None:
        """The same for the legacy exporter's names of nested modules, outermost first."""
        inside = [
            scope.removeprefix(self._inner).removeprefix(".") if self._inner else scope
            for scope in scopes
        ]
        return self.names.canonical(
            display.module_of_scopes(
                [scope for scope in inside if scope], self.names.modules, self.root
            )
        )

    def owners(self, line: Line) -> list[str]:
        """All modules whose own code holds a line."""
        return [fqn for fqn in self._canonical() if self.holds(fqn, line)]

    def holds(self, fqn: str, line: Line) -> bool:
        """Whether a line is a module's own code: of a function of its class, or of one that was given to this module alone."""
        module = self.names.modules[fqn]
        kind = type(module)
        if kind not in self._spans:
            bases = itertools.takewhile(lambda base: base is not nn.Module, kind.__mro__)
            members = (member for base in bases for member in vars(base).values())
            self._spans[kind] = tuple(own_code.spans(members))
        given = [held for held in vars(module).values() if inspect.isroutine(held)]
        file, number = line
        return any(
            file == name and first <= number <= last
            for name, first, last in itertools.chain(self._spans[kind], own_code.spans(given))
        )

    def _canonical(self) -> Iterator[str]:
        for names in self.names.names.values():
            yield names[0]

    def way_to(self, fqn: str, lines: Sequence[Line]) -> tuple[Source, ...]:
        """A module's own line among `lines` (outermost first), with those around it; empty where none is its own.

        Nobody can change torch's own layers: the user's line that calls one comes before its own.
        """
        own = [position for position, line in enumerate(lines) if self.holds(fqn, line)]
        return way_from(own[-1], lines) if own else ()

    def clue(self, fqn: str, kind: ClueKind, lines: Sequence[Line], op: str | None = None) -> Clue:
        """A clue to a module, by the calls (outermost first) that led to an operator."""
        way = self.way_to(fqn, lines)
        if not way:
            unseen = own_code.unseen(self.names.modules[fqn])
            user = [source_at(*line) for line in lines if not is_library(line[0])]
            way = (unseen,) if unseen else tuple(user[-1:])
        return Clue(fqn, kind, way[0] if way else None, op, below=way[1:])


def way_from(position: int, lines: Sequence[Line]) -> tuple[Source, ...]:
    """The line at `position`, before it the user's line that calls it if it is a library's, after it the user's lines that it leads to."""
    own = lines[position]
    before = [line for line in lines[:position] if not is_library(line[0])]
    after = [line for line in lines[position + 1 :] if not is_library(line[0])]
    way = (*(before[-1:] if is_library(own[0]) else ()), own, *after)
    # A comprehension is a frame of its own, on the same line.
    return tuple(source_at(*line) for line in dict.fromkeys(way) if not is_generated(line[0]))
