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


# A size that differs by this satisfies every guard about divisibility that the first one satisfies.
_COMMON_MULTIPLE = math.lcm(*range(1, 129))


@contextlib.contextmanager
def watch_specializations(found: Specialized) -> Iterator[None]:
    """Call `found(symbol, size, name)` whenever a capture replaces the symbolic size of an input by a number.

    That is where torch puts the number in the symbol's place, and where it guards that an expression
    of the symbol equals a number and cannot solve that: of the length that a strided convolution
    leaves, `(s33 - 1)//2 + 1 == 50`, it only says at the end that `s33` must be 100. The name is how
    forward would write it ("x.shape[1]"), empty where that is not known. The Python stack at that
    moment names the module and the line. Without a private name its clues are missing.
    """
    try:
        from torch.fx.experimental.symbolic_shapes import ShapeEnv
    except ImportError:
        yield
        return

    def replaced(shape_env: Any, symbol: Any, target: Any, *_: Any) -> None:
        if getattr(target, "is_number", False) and symbol in _sizes(shape_env):
            found(str(symbol), int(target), _name(shape_env, symbol))

    def guarded(shape_env: Any, guard: Any) -> None:
        for symbol, size in _pinned(shape_env, guard):
            found(str(symbol), int(size), _name(shape_env, symbol))

    with contextlib.ExitStack() as watching:
        watching.enter_context(_before(ShapeEnv, "_set_replacement", replaced))
        watching.enter_context(_before(ShapeEnv, "_maybe_guard_rel", guarded))
        yield


@contextlib.contextmanager
def _before(owner: type, name: str, look: Callable[..., None]) -> Iterator[None]:
    """Call `look` with the arguments of a method before each call of it; do nothing where torch has no such method."""
    original = getattr(owner, name, None)
    if original is None:
        yield
        return

    @functools.wraps(original)
    def method(*args: Any, **kwargs: Any) -> Any:
        try:
            look(*args, **kwargs)
        except Exception:
            logger.debug("specialization clue lost", exc_info=True)
        return original(*args, **kwargs)

    setattr(owner, name, method)
    try:
        yield
    finally:
        setattr(owner, name, original)


def _pinned(shape_env: Any, guard: Any) -> list[tuple[Any, Any]]:
    """The symbols of inputs to which a guard leaves no size but a few around the example's, each with that size.

    A symbol that is a side of the guard by itself is none of them: torch puts the number in its place.
    """
    sides = getattr(guard, "args", ()) if getattr(guard, "is_Equality", False) else ()
    if not any(side.is_number for side in sides) or any(side.is_Symbol for side in sides):
        return []
    sizes = {symbol: _sizes(shape_env).get(symbol) for symbol in guard.free_symbols}
    if None in sizes.values():
        return []  # it depends on a tensor's values too
    far = {symbol: {**sizes, symbol: size + _COMMON_MULTIPLE} for symbol, size in sizes.items()}
    return [
        (symbol, size)
        for symbol, size in sizes.items()
        if guard.xreplace(far[symbol]) == False  # noqa: E712 - sympy's, or a guard that stays open
    ]


def _sizes(shape_env: Any) -> Any:
    """The example's size of each symbol that stands for one of an input; torch 2.13 renamed the table."""
    return getattr(shape_env, "backed_var_to_val", None) or getattr(shape_env, "var_to_val", {})


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
