"""Frozen data as what JSON can hold, and back. No torch."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from enum import StrEnum
from typing import Any, Union, get_args, get_origin


def rebuilt(kind: Any, value: Any) -> Any:
    """Turn JSON-ready data back into the annotated type: dataclasses, enums, tuples, optionals."""
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        hints = typing.get_type_hints(kind)
        names = [field.name for field in dataclasses.fields(kind) if field.name in value]
        return kind(**{name: rebuilt(hints[name], value[name]) for name in names})  # type: ignore[operator]
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        choices = [choice for choice in get_args(kind) if choice is not type(None)]
        return None if value is None else rebuilt(choices[0], value) if len(choices) == 1 else value
    if origin is tuple:
        return tuple(rebuilt(get_args(kind)[0], item) for item in value)
    if isinstance(kind, type) and (issubclass(kind, StrEnum) or kind is float):
        return kind(value)
    return value


def plain(value: Any) -> Any:
    """Without what JSON lacks: tuples become lists, and NaN and infinities become text."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
