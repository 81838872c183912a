"""Source around a line: the class at fault, and what each class of the model computes. Files are read by the function passed in."""

from __future__ import annotations

import ast
import functools
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from onnx_debug.data.failure import Source
from onnx_debug.data.module_info import ModuleInfo
from onnx_debug.render.source import ReadLines, excerpt, read_lines
from onnx_debug.render.words import CellName, place

_LONGEST = 160  # lines; of a longer class only the method is shown
Line = tuple[int, str, bool]  # number, text, and whether it is the guilty one


@dataclass(frozen=True)
class _Block:
    """A class or a function of a file; decorators belong to it."""

    first: int
    last: int
    is_class: bool

    @property
    def length(self) -> int:
        return self.last - self.first + 1


def class_source(source: Source, read: ReadLines = read_lines) -> list[Line]:
    """The class (or else the function) around the guilty line.

    Only a few lines around it where the file is gone, has changed since, or is no Python.
    """
    around = [block for block in _around(source, read) if block.length <= _LONGEST]
    block = next((block for block in around if block.is_class), around[-1] if around else None)
    return (
        _lines(block, source.line, read(source.file))
        if block is not None
        else excerpt(source, read)
    )


def function_source(source: Source, read: ReadLines = read_lines) -> list[Line]:
    """The function that begins at a line, with no line at fault; empty where it cannot be read."""
    functions = [
        block
        for block in _around(source, read)
        if not block.is_class and block.first == source.line
    ]
    return (
        _lines(functions[-1], 0, read(source.file)[: functions[-1].first + _LONGEST])
        if functions
        else []
    )


def codes(modules: Iterable[ModuleInfo]) -> dict[Source, int]:
    """A number for each distinct forward among the modules; thousands of modules have a few classes."""
    return {
        forward: number
        for number, forward in enumerate(
            dict.fromkeys(m.forward for m in modules if m.forward is not None)
        )
    }


def forwards(
    modules: Iterable[ModuleInfo], cell_name: CellName | None = None, read: ReadLines = read_lines
) -> list[dict[str, Any]]:
    """What each distinct forward says, by the numbers of `codes`."""
    return [
        {
            "place": place(forward, cell_name),
            "file": forward.file,
            "lines": [list(line) for line in function_source(forward, read)],
        }
        for forward in codes(modules)
    ]


def _around(source: Source, read: ReadLines) -> list[_Block]:
    """The classes and functions around a line, outermost first; none where the file is not what it was."""
    lines = read(source.file)
    if not 0 < source.line <= len(lines) or lines[source.line - 1].strip() != source.text.strip():
        return []
    return [block for block in _blocks("".join(lines)) if block.first <= source.line <= block.last]


@functools.lru_cache(maxsize=64)
def _blocks(text: str) -> tuple[_Block, ...]:
    """All classes and functions of a file, outer ones before inner ones; none where it is no Python, as a cell with magics in it."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return ()
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return tuple(
        _Block(
            min([node.lineno, *(above.lineno for above in node.decorator_list)]),
            node.end_lineno or node.lineno,
            isinstance(node, ast.ClassDef),
        )
        for node in ast.walk(tree)
        if isinstance(node, kinds)
    )


def _lines(block: _Block, guilty: int, lines: list[str]) -> list[Line]:
    text = textwrap.dedent("".join(lines[block.first - 1 : block.last])).splitlines()
    return [(number, line, number == guilty) for number, line in enumerate(text, block.first)]
