"""Modules that are random by design: eager itself returns other values each time."""

from __future__ import annotations

from dataclasses import replace

from onnx_debug.data.failure import Clue, ClueKind
from onnx_debug.eager.module_names import ModuleNames
from onnx_debug.explain.locate import Locator
from onnx_debug.explain.random_lines import drawing_lines
from onnx_debug.request.case import Case


def random_modules(
    one: list[tuple[str, str, str]], other: list[tuple[str, str, str]]
) -> list[Clue]:
    """The innermost module that returns something else for equal inputs: it draws random numbers."""
    for (fqn, given, returned), (again, given_again, returned_again) in zip(
        one, other, strict=False
    ):
        if fqn == again and given == given_again and returned != returned_again:
            return [
                Clue(
                    fqn,
                    ClueKind.RANDOM,
                    reason="draws random numbers: eager itself answers differently each time",
                )
            ]
    return []  # what comes after that one got other inputs, or holds it


def with_drawing_line(random: Clue, case: Case) -> Clue:
    """The clue with the line that draws, if it is one of the module's own, or below one. Runs the model once."""
    names = ModuleNames(case.model)
    found = next(
        (clue for clue in drawing_lines(case, Locator(names)) if clue.fqn == random.fqn),
        random,
    )
    return replace(found, reason=random.reason)
