"""A model that exists only as a tree with planted faults: it answers trials as an exporter would, at no cost."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st

from onnx_debug.data.call_tree import CallInfo, Tree
from onnx_debug.data.diagnosis import ModuleInfo
from onnx_debug.data.outcome import Clue, ClueKind, Failure, Mode, Outcome, Stage, Trial
from onnx_debug.search.search import Search


@dataclass(frozen=True)
class Planted:
    """A simulated model.

    Attributes:
        parents: for each module but the root, the module above it; modules are numbered in
            execution order.
        guilty: modules whose own code fails.
        pairs: (parent, child, child): fails in the parent when both children are there.
        rigid: modules that cannot be replaced by a placeholder.
        clues: whether failures name the module.
    """

    parents: tuple[int, ...]
    guilty: frozenset[int] = frozenset()
    pairs: frozenset[tuple[int, int, int]] = frozenset()
    rigid: frozenset[int] = frozenset()
    clues: bool = True
    asked: list[Trial] = field(default_factory=list, compare=False)

    def name(self, number: int) -> str:
        path = []
        while number:
            path.append(f"m{number}")
            number = self.parents[number - 1]
        return ".".join(reversed(path))

    @property
    def numbers(self) -> range:
        return range(len(self.parents) + 1)

    def tree(self) -> Tree:
        modules = [ModuleInfo(self.name(n), f"Class{n}", calls=1) for n in self.numbers]
        calls = [
            CallInfo(self.name(n), 0, self.parents[n - 1] if n else None, "same")
            for n in self.numbers
        ]
        return Tree(modules, calls)

    def answer(self, trial: Trial) -> Outcome:
        self.asked.append(trial)
        if trial.stubs & {self.name(n) for n in self.rigid}:
            return Outcome(unresolved="cannot be replaced")
        present = [
            n
            for n in self.numbers
            if self._inside(self.name(n), trial.module)
            and not any(self._inside(self.name(n), s) for s in trial.stubs)
        ]
        faults = [n for n in present if n in self.guilty] + [
            p for p, a, b in sorted(self.pairs) if {p, a, b} <= set(present)
        ]
        if not faults:
            return Outcome(passed=tuple(Stage))
        first = min(faults)
        clues = (Clue(self.name(first), ClueKind.FRAME),) if self.clues else ()
        return Outcome(
            Failure(Stage.CAPTURE, Mode.ERROR, f"fault of {first}", "Error", "", clues=clues)
        )

    def _inside(self, name: str, module: str) -> bool:
        return module in ("", name) or name.startswith(module + ".")


def solve(planted: Planted) -> Search:
    """Run the search on a simulated model to its end."""
    search = Search(planted.tree())
    steps = search.run()
    question = next(steps)
    while True:
        try:
            question = steps.send(planted.answer(question.trial))
        except StopIteration:
            return search


@st.composite
def trees(draw, least: int = 1, most: int = 14):
    """Parents of the modules 1, 2, …: a tree in execution order."""
    size = draw(st.integers(least, most))
    return tuple(draw(st.integers(0, n)) for n in range(size))


def depth_first(parents: tuple[int, ...]) -> tuple[int, ...]:
    """The same tree with the modules numbered in execution order."""
    children: dict[int, list[int]] = {}
    for number, parent in enumerate(parents, 1):
        children.setdefault(parent, []).append(number)
    order: list[int] = []

    def walk(number: int) -> None:
        order.append(number)
        for child in children.get(number, []):
            walk(child)

    walk(0)
    renumbered = {old: new for new, old in enumerate(order)}
    return tuple(renumbered[parents[old - 1]] for old in order[1:])
