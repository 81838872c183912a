"""A model that exists only as a tree with planted faults: it answers trials as an exporter would, at no cost."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st

from onnx_debug.data.call_tree import CallInfo, Tree
from onnx_debug.data.failure import Clue, ClueKind, Failure
from onnx_debug.data.module_info import ModuleInfo
from onnx_debug.data.outcome import Outcome, Trial
from onnx_debug.data.stage import Mode, Stage
from onnx_debug.session.search.search import Search


@dataclass(frozen=True)
class Planted:
    """A simulated model.

    Attributes:
        parents: for each module but the root, the module above it; modules are numbered in
            execution order.
        guilty: modules whose own code fails.
        in_place: modules that fail inside the module that calls them, and pass alone.
        pairs: (parent, child, child): fails in the parent when both children are there.
        suspects: innocent modules that fail alone, alike, and in nothing that holds them.
        oddities: innocent modules that fail alone in another way.
        unaskable: modules whose inputs cannot be recorded.
        rigid: modules that cannot be replaced by a placeholder.
        accused: innocent modules that every failure of the whole model names as well.
        classes: how many classes the modules have; None: each its own.
        clues: whether failures name the module.
        alike: whether all faults look the same.
    """

    parents: tuple[int, ...]
    guilty: frozenset[int] = frozenset()
    in_place: frozenset[int] = frozenset()
    pairs: frozenset[tuple[int, int, int]] = frozenset()
    suspects: frozenset[int] = frozenset()
    oddities: frozenset[int] = frozenset()
    unaskable: frozenset[int] = frozenset()
    rigid: frozenset[int] = frozenset()
    accused: frozenset[int] = frozenset()
    classes: int | None = None
    clues: bool = True
    alike: bool = False
    asked: dict[Trial, Outcome] = field(default_factory=dict, compare=False)

    def name(self, number: int) -> str:
        path = []
        while number:
            path.append(f"m{number}")
            number = self.parents[number - 1]
        return ".".join(reversed(path))

    @property
    def numbers(self) -> range:
        return range(len(self.parents) + 1)

    @property
    def ok(self) -> bool:
        return not (self.guilty or self.in_place or self.pairs)

    def tree(self) -> Tree:
        modules = [ModuleInfo(self.name(n), self._class(n), calls=1) for n in self.numbers]
        calls = [
            CallInfo(self.name(n), 0, self.parents[n - 1] if n else None, "same")
            for n in self.numbers
        ]
        return Tree(modules, calls)

    def _class(self, number: int) -> str:
        return f"Class{number % self.classes if self.classes else number}"

    def answer(self, trial: Trial) -> Outcome:
        assert trial not in self.asked, "asked twice"
        self.asked[trial] = outcome = self.look_up(trial)
        return outcome

    def look_up(self, trial: Trial) -> Outcome:
        if trial.stubs & {self.name(n) for n in self.rigid}:
            return Outcome(unresolved="cannot be replaced")
        if trial.module in {self.name(n) for n in self.unaskable if n}:
            return Outcome(unresolved="its inputs cannot be recorded")
        faults = self._faults(trial)
        if trial.module in {self.name(n) for n in self.oddities if n} and not faults:
            odd = Failure(Stage.CAPTURE, Mode.ERROR, "another fault", "TypeError", "")
            return Outcome(odd, inputs_as_in_eager=True)
        if not faults:
            return Outcome(passed=tuple(Stage), inputs_as_in_eager=True)
        key = "fault" if self.alike else f"fault of {faults[0]}"
        clues = self._clues(trial, faults)
        failure = Failure(Stage.CAPTURE, Mode.ERROR, key, "Error", "", clues=clues)
        return Outcome(failure, inputs_as_in_eager=True)

    def _faults(self, trial: Trial) -> list[int]:
        present = {
            n
            for n in self.numbers
            if self.is_inside(self.name(n), trial.module)
            and not any(self.is_inside(self.name(n), s) for s in trial.stubs)
        }
        own = self.guilty | {n for n in self.suspects if self.name(n) == trial.module}
        around = {n for n in self.in_place if self.name(n) != trial.module}
        together = {p for p, a, b in self.pairs if {p, a, b} <= present}
        return sorted((own | around) & present | together)

    def _clues(self, trial: Trial, faults: list[int]) -> tuple[Clue, ...]:
        if not self.clues:
            return ()
        accused = sorted(self.accused) if not trial.module else []
        innocent = [n for n in accused if self.name(n) not in trial.stubs]
        named = [*(self.name(n) for n in innocent), self.name(faults[0])]
        kind = ClueKind.RUNTIME_NODE if accused else ClueKind.FRAME
        return tuple(Clue(name, kind) for name in named)

    @staticmethod
    def is_inside(name: str, module: str) -> bool:
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
