"""Private parts of symbolic sizes: what they are called, their example values, and when they become numbers. Tried on torch 2.13."""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import operator
import re
from collections.abc import Callable, Iterator
from typing import Any

import torch

logger = logging.getLogger(__name__)

Specialized = Callable[[str, int, str], None]


@contextlib.contextmanager
def watch_specializations(found: Specialized) -> Iterator[None]:
    """Call `found(symbol, size, name)` whenever a capture replaces the symbolic size of an input by a number.

    The name is how forward would write it ("x.shape[1]"), empty where that is not known. The Python
    stack at that moment names the module and the line. Without the private name that clue is
    missing.
    """
    try:
        from torch.fx.experimental.symbolic_shapes import ShapeEnv

        original = ShapeEnv._set_replacement
    except (ImportError, AttributeError):
        yield
        return

    def set_replacement(self: Any, symbol: Any, target: Any, *args: Any, **kwargs: Any) -> Any:
        if getattr(target, "is_number", False) and _is_backed(self, symbol):
            try:
                found(str(symbol), int(target), _name(self, symbol))
            except Exception:
                logger.debug("specialization clue lost", exc_info=True)
        return original(self, symbol, target, *args, **kwargs)

    ShapeEnv._set_replacement = set_replacement  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        ShapeEnv._set_replacement = original  # type: ignore[method-assign]


def _is_backed(shape_env: Any, symbol: Any) -> bool:
    """True for a symbol that stands for the size of an input; torch 2.13 renamed the table of them."""
    values = getattr(shape_env, "backed_var_to_val", None) or getattr(shape_env, "var_to_val", {})
    return symbol in values


def _name(shape_env: Any, symbol: Any) -> str:
    sources = getattr(shape_env, "var_to_sources", {}).get(symbol) or [None]
    name = getattr(sources[0], "name", "")
    # A method in some versions of torch, a property in others.
    text = str(name() if callable(name) else name)
    found = re.fullmatch(r"L\['(\w+)'\](.*)\.size\(\)\[(\d+)\]", text)
    return "" if found is None else f"{found[1]}{found[2]}.shape[{found[3]}]"


def size_expression(size: Any) -> int | str:
    """A size as plain data: the number, or the expression of a symbolic one ("s77", "(s77//2)", "u0")."""
    if isinstance(size, int):
        return int(size)
    expression = getattr(getattr(size, "node", None), "expr", size)
    return int(expression) if getattr(expression, "is_Integer", False) else str(expression)


def size_hint(size: Any) -> int | None:
    """The example value behind a symbolic size, or None for one that depends on data."""
    if isinstance(size, int):
        return int(size)
    node = getattr(size, "node", None)
    hint = getattr(node, "hint", None) if getattr(node, "has_hint", lambda: True)() else None
    return int(hint) if isinstance(hint, int) else None


def is_symbolic(value: Any) -> bool:
    """True for a symbolic integer, float or truth value of a capture."""
    return isinstance(value, torch.SymInt | torch.SymFloat | torch.SymBool)


# The functions in the sizes that torch prints, as in "Max(s17, s77)": they are classes of
# `torch.utils._sympy.functions`, and here they compute with numbers and with symbolic sizes alike.
SIZE_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "Max": lambda *sizes: functools.reduce(torch.sym_max, sizes),
    "Min": lambda *sizes: functools.reduce(torch.sym_min, sizes),
    "FloorDiv": operator.floordiv,
    "CleanDiv": operator.floordiv,
    "CeilDiv": lambda size, by: -(-size // by),
    "Mod": operator.mod,
    "PythonMod": operator.mod,
    "ModularIndexing": lambda size, by, modulus: size // by % modulus,
    "IntTrueDiv": operator.truediv,
    "FloatTrueDiv": operator.truediv,
    "ToFloat": torch.sym_float,
    "FloorToInt": math.floor,
    "CeilToInt": math.ceil,
    "TruncToInt": math.trunc,
}


def depends_on_data(error: BaseException) -> bool:
    """Whether a capture failed because Python asked for a tensor's value, or for a size that depends on one.

    Without the private names the answer is no, and the failure is explained by its message.
    """
    try:
        from torch._subclasses.fake_tensor import DataDependentOutputException
        from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode
    except ImportError:
        return False
    return isinstance(error, DataDependentOutputException | GuardOnDataDependentSymNode)
