"""The source that a script needs: a class, and everything that its code names."""

from __future__ import annotations

import ast
import builtins
import contextlib
import symtable
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

from onnx_debug.session.repro.places import (
    Statement,
    definition,
    functions_of,
    is_installed,
    sources_of,
    statements,
)

# A call at the top of a user's file that tells one of these about a class or an operator belongs to it.
_REGISTRIES = ("torch.library", "torch._library", "torch.utils._pytree", "torch.export", "torch.fx")


class NotWritableError(Exception):
    """Something cannot be written as code; the message says what, as the end of a sentence."""


class Definitions:
    """What a script defines before its first use: imports, and the user's own code.

    Args:
        value_code: writes a value as an expression.
    """

    def __init__(self, value_code: Callable[[Any], str]) -> None:
        self.imports: dict[str, None] = {"import torch": None, "from torch import nn": None}
        self.texts: list[str] = []
        self._value_code = value_code
        self._names: dict[str, Any] = {"torch": None, "nn": None}
        self._statements: set[tuple[str, int]] = set()

    @contextlib.contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """What was defined in this block is forgotten where it ends in `NotWritableError`: half of it would claim names in vain."""
        before = dict(self.imports), list(self.texts), dict(self._names), set(self._statements)
        try:
            yield
        except NotWritableError:
            self.imports, self.texts, self._names, self._statements = before
            raise

    def refer(self, obj: Any) -> str:
        """The expression for a class or a function, which the script imports or defines.

        Raises:
            NotWritableError: it does neither.
        """
        name, module = obj.__qualname__, obj.__module__
        if module == "builtins":
            return str(name)
        if module.startswith("torch.nn.modules.") and getattr(nn, name, None) is obj:
            return f"nn.{name}"
        if is_installed(module):
            first = name.partition(".")[0]
            if "<locals>" in name:
                raise NotWritableError(f"{name} of {module} exists only inside a function")
            self._import(f"from {module} import {first}", first)
            return str(name)
        self._define(obj)
        return str(obj.__name__)

    def _import(self, line: str, name: str) -> None:
        if line not in self.imports:
            self._claim(name, line)
            self.imports[line] = None

    def _claim(self, name: str, what: Any) -> bool:
        """Take a name; False when it is taken already, for the same.

        Raises:
            NotWritableError: it is taken, for something else.
        """
        if name in self._names:
            if self._names[name] is what or self._names[name] == what:
                return False
            raise NotWritableError(f"two different things are called {name}")
        self._names[name] = what
        return True

    def _define(self, obj: Any) -> None:
        if not self._claim(obj.__name__, obj):
            return
        found = definition(obj)
        if found is None:
            raise NotWritableError(f"the source of {obj.__qualname__} cannot be read")
        self._statements.add((found.file, found.line))
        known = _closure(obj)
        if isinstance(obj, type):
            known |= {base.__name__: base for base in obj.__mro__[1:]}
        self._take(found, _namespace(obj), known)

    def _take(self, found: Statement, space: dict[str, Any], known: dict[str, Any]) -> None:
        """Add a statement, after what it names, and before what its file tells a registry about it."""
        names = list(free_names(found.text))
        for name in names:
            if name in known or name in space:
                self._need(name, known.get(name, space.get(name)), space, found.file)
        self.texts.append(found.text)
        self._take_registrations(found, space)

    def _need(self, name: str, value: Any, space: dict[str, Any], file: str) -> None:
        if isinstance(value, types.ModuleType):
            self._need_module(name, value)
        elif _is_definition(value) and value.__name__ != "<lambda>":
            written = self.refer(value)
            if written != name:
                self._assign(name, value, written)
        elif name in self._names:
            self._claim(name, value)
        else:
            self._need_value(name, value, space, file)

    def _need_module(self, name: str, module: types.ModuleType) -> None:
        if not is_installed(module.__name__):
            raise NotWritableError(
                f"the code uses the module {module.__name__}, which is not installed"
            )
        if module.__name__ == "torch.nn" and name == "nn":
            return
        renamed = "" if module.__name__ == name else f" as {name}"
        line = f"import {module.__name__}{renamed}"
        if renamed or "." not in module.__name__:
            self._import(line, name)

    def _need_value(self, name: str, value: Any, space: dict[str, Any], file: str) -> None:
        made = _binding(name, space, file)
        if made is not None and isinstance(made.node, ast.Import | ast.ImportFrom):
            module = getattr(made.node, "module", None)
            if not getattr(made.node, "level", 0) and is_installed(module):
                self._import(made.text, name)
                return
        try:
            with self.all_or_nothing():
                written = self._value_code(value)
        except NotWritableError:
            if made is None or isinstance(made.node, ast.Import | ast.ImportFrom):
                raise
        else:
            self._assign(name, value, written)
            return
        if self._claim(name, value) and (made.file, made.line) not in self._statements:
            self._statements.add((made.file, made.line))
            self._take(made, space, {})

    def _assign(self, name: str, value: Any, written: str) -> None:
        if self._claim(name, value):
            self.texts.append(f"{name} = {written}")

    def _take_registrations(self, found: Statement, space: dict[str, Any]) -> None:
        """What the same file does with it beyond its definition: a fake kernel, a pytree registration."""
        own = getattr(found.node, "name", "")
        for other in statements(found.file) if own else ():
            key = other.file, other.line
            if key not in self._statements and any(
                _acts_on(own, action, space) for action in _actions(other.node)
            ):
                self._statements.add(key)
                self._take(other, space, {})


def free_names(text: str) -> Iterator[str]:
    """The names that a piece of source expects to find around it."""

    def walk(table: symtable.SymbolTable) -> Iterator[str]:
        outermost = table.get_type() == "module"
        for symbol in table.get_symbols():
            if symbol.is_referenced() and (outermost or symbol.is_global()):
                yield symbol.get_name()
        for child in table.get_children():
            yield from walk(child)

    table = symtable.symtable(text, "<source>", "exec")
    made = {one.get_name() for one in table.get_symbols() if one.is_assigned()}
    for name in dict.fromkeys(walk(table)):
        if name not in made and not hasattr(builtins, name):
            yield name


def _is_definition(value: Any) -> bool:
    return isinstance(value, type | types.FunctionType) and isinstance(
        getattr(value, "__module__", None), str
    )


def _namespace(obj: Any) -> dict[str, Any]:
    """The names that the object's code sees."""
    for function in functions_of(obj):
        if not function.__code__.co_filename.startswith("<string>"):
            return function.__globals__
    return vars(sys.modules[obj.__module__]) if obj.__module__ in sys.modules else {}


def _closure(obj: Any) -> dict[str, Any]:
    """What the functions took from the function in which they were defined."""
    found: dict[str, Any] = {}
    for function in functions_of(obj):
        names = function.__code__.co_freevars
        for name, cell in zip(names, function.__closure__ or (), strict=True):
            if name != "__class__" and cell != types.CellType():
                found[name] = cell.cell_contents
    return found


def _binding(name: str, space: dict[str, Any], file: str) -> Statement | None:
    """The last statement that gives a name its value; an import of several names as one of this name alone."""
    for source in sources_of(space, file):
        for found in reversed(statements(source)):
            if isinstance(found.node, ast.Import | ast.ImportFrom):
                for alias in found.node.names:
                    if (alias.asname or alias.name) == name:
                        return _import_of(found, alias)
            elif name in _bound(found.node):
                return found
    return None


def _import_of(found: Statement, alias: ast.alias) -> Statement:
    node = found.node
    single = (
        ast.ImportFrom(node.module, [alias], node.level)
        if isinstance(node, ast.ImportFrom)
        else ast.Import([alias])
    )
    return Statement(found.file, found.line, ast.unparse(single), single)


def _bound(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Assign | ast.AnnAssign):
        return {
            part.id
            for part in ast.walk(node)
            if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
        }
    return set()


def _actions(node: ast.stmt) -> list[ast.expr]:
    """The calls of a statement that may tell somebody about a definition: decorators, or the call that it is."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return list(node.decorator_list)
    return [node.value] if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) else []


def _acts_on(name: str, action: ast.expr, space: dict[str, Any]) -> bool:
    """Whether this is `name.something(...)`, or a call of one of torch's registries that mentions the name."""
    called = action.func if isinstance(action, ast.Call) else action
    root = called
    while isinstance(root, ast.Attribute):
        root = root.value
    if isinstance(root, ast.Name) and root.id == name:
        return isinstance(called, ast.Attribute)
    mentions = any(isinstance(part, ast.Name) and part.id == name for part in ast.walk(action))
    if not mentions or not isinstance(action, ast.Call):
        return False
    target: Any = space.get(root.id) if isinstance(root, ast.Name) else None
    for attribute in ast.unparse(called).split(".")[1:]:
        target = getattr(target, attribute, None)
    return str(getattr(target, "__module__", "")).startswith(_REGISTRIES)
