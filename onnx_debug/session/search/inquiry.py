"""What was asked and answered about one tree of modules, shared by the parts of the search. No torch."""

from __future__ import annotations

from collections.abc import Generator, Iterable

from onnx_debug.data.call_tree import Tree
from onnx_debug.data.failure import Failure
from onnx_debug.data.outcome import Outcome, Trial
from onnx_debug.data.stage import Stage
from onnx_debug.session.search.findings import Finding, Findings, NextTrial

Ask = Generator[NextTrial, Outcome, Outcome]
Steps = Generator[NextTrial, Outcome, None]
Proving = Generator[NextTrial, Outcome, Finding | None]


class Inquiry:
    """One inquiry into a failing export.

    Attributes:
        findings: up to date at every question, so a search that is stopped keeps what it found.
        refuted: modules that are not asked again by name: no trial shows them to be guilty.
        set_aside: modules that are innocent by themselves, and replaced because the model's own
            code fails on what they return.
    """

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.findings = Findings()
        self.refuted: set[str] = set()
        self.set_aside: frozenset[str] = frozenset()
        self._answers: dict[Trial, Outcome] = {}

    def ask(self, trial: Trial, why: str) -> Ask:
        """Yield a question once; a repeated one is answered from memory.

        What further inputs showed of the whole model is a part of its answer.
        """
        if trial == Trial("") and self.findings.whole is not None:
            return self.findings.whole
        if trial not in self._answers:
            self._answers[trial] = yield NextTrial(trial, why)
        return self._answers[trial]

    def answer(self, trial: Trial) -> Outcome | None:
        """What a trial answered; None when it was not asked."""
        return self._answers.get(trial)

    def alone(self, fqn: str, stubs: Iterable[str] = (), *, call: int = 0) -> Trial:
        """The module by itself, with the culprits inside it replaced: they would hide what else fails there."""
        known = self.replaceable & self.tree.below(fqn) if self.replaceable else frozenset()
        return Trial(fqn, frozenset(stubs) | known, call)

    def passes_alone(self, fqn: str, stage: Stage) -> bool:
        """Whether a trial of the module alone was asked and got past a stage."""
        found = self.answer(self.alone(fqn))
        return found is not None and found.without_failure_at(stage)

    @property
    def replaceable(self) -> frozenset[str]:
        """What a trial of the rest of the model replaces."""
        return (self.findings.names | self.set_aside) - {""}

    def is_closed(self, fqn: str) -> bool:
        """Whether there is nothing more to ask of a module by name."""
        return fqn in self.findings.names or fqn in self.refuted

    def known(self, name: str) -> str:
        """The canonical name of the innermost called module that `name` stands for."""
        return self.tree.nearest_called(self.tree.canonical(name) or "")

    def children(self, fqn: str) -> tuple[str, ...]:
        """The modules called directly inside `fqn`; a module that calls one around it has no child in that."""
        around = self.tree.ancestors(fqn)
        return tuple(child for child in self.tree.children(fqn) if child not in around)

    def class_of(self, fqn: str) -> str:
        """The module's class name."""
        return self.tree.modules[fqn].class_name

    def built_alike(self, one: str, other: str) -> bool:
        """Whether two modules are of one class and call, inside, modules of the same classes in the same order."""
        return self._classes(one) == self._classes(other)

    def _classes(self, fqn: str) -> list[tuple[int, str]]:
        """The class of a module and of each one called inside it, with its depth."""
        found, waiting = [], [(fqn, 0)]
        while waiting:
            name, depth = waiting.pop()
            found.append((depth, self.class_of(name)))
            waiting += [(child, depth + 1) for child in self.children(name)]
        return found

    def is_artefact(self, failure: Failure) -> bool:
        """Whether it shows only beside placeholders: at another stage than the model's own failure."""
        whole = self.findings.whole
        first = whole.failure if whole is not None else None
        return (
            bool(self.findings.culprits) and first is not None and failure.stage is not first.stage
        )

    def is_broken(self, failure: Failure) -> bool:
        """Whether placeholders made it: the model itself got past that stage."""
        whole = self.findings.whole
        return whole is not None and whole.failure is not None and _before(failure, whole.failure)


def _before(one: Failure, other: Failure) -> bool:
    order = list(Stage)
    return order.index(one.stage) < order.index(other.stage)


def replacing(what: str, names: Iterable[str]) -> str:
    """`what`, and which modules are replaced meanwhile: the reason of a question."""
    listed = sorted(names)
    shown = ", ".join(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "")
    return f"{what}, with {shown} replaced" if listed else what
