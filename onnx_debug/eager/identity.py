"""The same object in every process: modules, and the classes and functions that pickle cannot import.

Our processes are forks of one another, so an object that existed before the fork has the same
address in all of them. `fork` freezes Python's garbage collector: the frozen objects are exactly
those that the fork inherited. What a process made later exists only there; a function of that kind,
such as a lambda inside a forward, is taken apart and built again from its code.
"""

from __future__ import annotations

import functools
import gc
import importlib
import marshal
import os
import pickle
import sys
import types
import weakref
from typing import Any

from torch import nn

Address = tuple[int, int, str]  # process that made the object (0: it was inherited), id, name

_KINDS = (nn.Module, type, types.FunctionType, types.ModuleType)
_made_here: weakref.WeakValueDictionary[Address, Any] = weakref.WeakValueDictionary()


def address(obj: Any) -> Address | None:
    """Where every process finds this object; None for one that pickle imports or takes apart."""
    if not isinstance(obj, _KINDS) or _is_importable(obj):
        return None
    if _inherited().get(id(obj)) is obj:
        return 0, id(obj), _name(obj)
    if isinstance(obj, types.FunctionType):
        return None  # see `taken_apart`
    made = os.getpid(), id(obj), _name(obj)
    _made_here[made] = obj
    return made


def at(found: Address) -> Any:
    """The object at an address.

    Raises:
        LookupError: it was made by another process, or is gone.
    """
    process, number, name = found
    obj = _made_here.get(found) if process else _inherited().get(number)
    if obj is None or _name(obj) != name:
        raise LookupError(f"{name} was made while the model ran, and is not there any more")
    return obj


def taken_apart(obj: Any) -> Any:
    """For pickle: a Python module as its name, a function that cannot be imported as its code."""
    if isinstance(obj, types.ModuleType):
        return importlib.import_module, (obj.__name__,)
    if not isinstance(obj, types.FunctionType) or _is_importable(obj):
        return NotImplemented
    return _taken_apart(obj)


def _taken_apart(function: types.FunctionType) -> Any:
    cells = function.__closure__ or ()
    made = (
        marshal.dumps(function.__code__),
        _namespace(function),
        function.__name__,
        len(cells),
    )
    held = (
        function.__defaults__,
        function.__kwdefaults__,
        [cell.cell_contents for cell in cells],
        function.__dict__,
    )
    return _make_function, made, held, None, None, _fill_function


def _namespace(function: types.FunctionType) -> str | int:
    """The module whose names the function sees, or the address of those names."""
    space = function.__globals__
    name = space.get("__name__")
    if isinstance(name, str) and getattr(sys.modules.get(name), "__dict__", None) is space:
        return name
    if _inherited().get(id(space)) is space:
        return id(space)
    raise pickle.PicklingError(f"the module of {_name(function)} cannot be imported")


def _make_function(code: bytes, where: str | int, name: str, cells: int) -> types.FunctionType:
    space = sys.modules[where].__dict__ if isinstance(where, str) else _inherited()[where]
    closure = tuple(types.CellType() for _ in range(cells))
    return types.FunctionType(marshal.loads(code), space, name, None, closure)


def _fill_function(function: types.FunctionType, held: Any) -> None:
    """Apart from making it, because a function may hold itself."""
    function.__defaults__, function.__kwdefaults__, contents, attributes = held
    for cell, content in zip(function.__closure__ or (), contents, strict=True):
        cell.cell_contents = content
    function.__dict__.update(attributes)


def _is_importable(obj: Any) -> bool:
    """Whether pickle finds the object by its module and name, and finds this one."""
    if isinstance(obj, nn.Module):
        return False
    try:
        if isinstance(obj, types.ModuleType):
            return sys.modules.get(obj.__name__) is obj
        return (
            functools.reduce(getattr, obj.__qualname__.split("."), sys.modules[obj.__module__])
            is obj
        )
    except Exception:  # noqa: BLE001 - a module may compute its attributes and fail at it
        return False


def _name(obj: Any) -> str:
    return str(getattr(obj, "__qualname__", None) or type(obj).__qualname__)


def _inherited() -> dict[int, Any]:
    """What can be passed on by identity, and the names that functions see, by address."""
    return _inherited_by(os.getpid())


@functools.cache
def _inherited_by(_: int) -> dict[int, Any]:
    """The frozen objects of those kinds. `gc.get_objects` leaves them out while they are frozen."""
    if not gc.get_freeze_count():
        return {}  # the user's own process
    enabled = gc.isenabled()
    gc.disable()  # a collection now would run destructors that wait for threads of another process
    try:
        made_here = {id(obj) for obj in gc.get_objects()}
        gc.unfreeze()
        found = [obj for obj in gc.get_objects() if id(obj) not in made_here]
        gc.freeze()
    finally:
        if enabled:
            gc.enable()
    # `isinstance` would ask each object for its `__class__`, and some answer with a warning.
    kept = {id(obj): obj for obj in found if issubclass(type(obj), _KINDS)}
    spaces = [obj.__globals__ for obj in kept.values() if type(obj) is types.FunctionType]
    return kept | {id(space): space for space in spaces}
