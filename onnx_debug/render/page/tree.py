"""The module tree as the panel shows it: rows that never change, and a state for each module that trials fill in. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from enum import StrEnum
from typing import Any

from onnx_debug.data.diagnosis import Diagnosis, Step
from onnx_debug.data.module_info import ModuleInfo
from onnx_debug.data.stage import Verdict
from onnx_debug.render.page.sources import codes


class State(StrEnum):
    """What is known of a module, the strongest statement last."""

    UNTRIED = "not tried"
    UNRESOLVED = "unresolved"
    PASSES = "passes"
    CONTAINS = "contains a culprit"
    STUBBED = "stubbed"
    CULPRIT = "culprit"


def rows(modules: Iterable[ModuleInfo]) -> list[dict[str, Any]]:
    """One row for each module, every module right above its children, children in the order of the model.

    A module whose parent is known by another name only (a shared module) hangs below the nearest
    parent that is there.
    """
    listed = list(modules)
    known = {module.fqn for module in listed}
    children: dict[str, list[ModuleInfo]] = {}
    for module in listed:
        if module.fqn:
            children.setdefault(_parent(module.fqn, known), []).append(module)
    found: list[dict[str, Any]] = []
    numbers = codes(listed)
    waiting = [(module, 0, "") for module in listed if not module.fqn]
    while waiting:
        module, depth, parent = waiting.pop()
        below = children.get(module.fqn, [])
        found.append(
            {
                **_row(module, depth, parent, len(below)),
                "code": numbers.get(module.forward) if module.forward else None,
            }
        )
        waiting.extend((child, depth + 1, module.fqn) for child in reversed(below))
    return found


def children_of(modules: Iterable[ModuleInfo], fqn: str) -> tuple[str, ...]:
    """The modules right below `fqn` that the model calls; a list of modules is never called, then its items stand for it."""
    listed = {module.fqn: module for module in modules}
    waiting = [name for name in listed if name and _parent(name, listed) == fqn]
    found: list[str] = []
    while waiting:
        name = waiting.pop(0)
        if listed[name].calls:
            found.append(name)
        else:
            waiting[:0] = [child for child in listed if child and _parent(child, listed) == name]
    return tuple(found)


def states(d: Diagnosis, replaced: Collection[str] = ()) -> dict[str, State]:
    """State of every module of which anything is known.

    Args:
        d: what was found so far.
        replaced: modules that the user has replaced by placeholders.
    """
    known = {module.fqn for module in d.modules}
    culprits = [culprit.fqn for culprit in d.culprits]
    found: dict[str, State] = {}
    for step in d.trials:
        if not step.changed:
            found.update(_answered(step, known, d))
    if (d.ok and d.trials) or (d.sufficient and culprits):
        found.update(dict.fromkeys(_outside(known, culprits), State.PASSES))
    found.update({fqn: State.CONTAINS for name in culprits for fqn in _ancestors(name, known)})
    found.update(dict.fromkeys(replaced, State.STUBBED))
    found.update(dict.fromkeys(culprits, State.CULPRIT))
    return found


def _answered(step: Step, known: set[str], d: Diagnosis) -> dict[str, State]:
    """What one trial says about modules; a trial that fails for another reason than the model says nothing."""
    if step.answer is Verdict.PASSED:
        inside = {fqn for fqn in known if _within(fqn, step.module)}
        return dict.fromkeys(_outside(inside, step.stubs), State.PASSES)
    if step.stubs or not step.module:
        return {}
    if step.answer is Verdict.UNRESOLVED:
        return {step.module: State.UNRESOLVED}
    alike = d.failure is None or (step.stage, step.mode) == (d.failure.stage, d.failure.mode)
    return (
        dict.fromkeys((step.module, *_ancestors(step.module, known)), State.CONTAINS)
        if alike
        else {}
    )


def _outside(fqns: Iterable[str], stubs: Sequence[str]) -> set[str]:
    """The modules that neither lie in a stub nor contain one: what a passing trial vouches for."""
    return {
        fqn for fqn in fqns if not any(_within(fqn, stub) or _within(stub, fqn) for stub in stubs)
    }


def _within(fqn: str, module: str) -> bool:
    return not module or fqn == module or fqn.startswith(module + ".")


def _ancestors(fqn: str, known: Collection[str]) -> list[str]:
    found = []
    while fqn:
        fqn = _parent(fqn, known)
        found.append(fqn)
    return found


def _parent(fqn: str, known: Collection[str]) -> str:
    while fqn:
        fqn = fqn.rpartition(".")[0]
        if fqn in known:
            return fqn
    return ""


def _row(module: ModuleInfo, depth: int, parent: str, children: int) -> dict[str, Any]:
    name = module.fqn[len(parent) + 1 :] if parent else module.fqn
    return {
        "fqn": module.fqn,
        "name": name or module.class_name,
        "kind": module.class_name if module.fqn else "",
        "depth": depth,
        "children": children,
        "parameters": module.parameters,
        "calls": module.calls,
        "aliases": list(module.aliases),
    }
