"""The Python behind operators that were made by `torch.library.custom_op`. Tried on torch 2.13."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any


def functions(names: Iterable[str]) -> dict[Any, Callable[..., Any]]:
    """The functions by operator; without those that are no custom operators, and empty where torch cannot be asked.

    Args:
        names: operators as `namespace::name.overload`.
    """
    try:
        from torch._library.custom_ops import OPDEFS

        definitions = {name: OPDEFS.get(name.partition(".")[0]) for name in names}
        return {
            definition._opoverload: definition._init_fn
            for definition in definitions.values()
            if definition is not None
        }
    except (ImportError, AttributeError):
        return {}
