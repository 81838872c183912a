"""ATen's operators, as far as this torch has them.

torch takes operators away: `aten::cholesky` is there in 2.13 and gone in 2.14.
"""

from __future__ import annotations

from typing import Any

import torch


class _Absent:
    """Stands for an operator that this torch does not have, and for any overload of it."""

    def __getattr__(self, overload: str) -> Any:
        if overload.startswith("__"):
            raise AttributeError(overload)
        return self


class _Operator:
    """The overloads of one operator."""

    def __init__(self, name: str) -> None:
        self._packet = getattr(torch.ops.aten, name, ABSENT)

    def __getattr__(self, overload: str) -> Any:
        return getattr(self._packet, overload, ABSENT)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._packet(*args, **kwargs)


class _Aten:
    def __getattr__(self, name: str) -> _Operator:
        return _Operator(name)


ABSENT: Any = _Absent()
# `aten.name.overload` as `torch.ops.aten` has it, or `ABSENT`.
aten: Any = _Aten()
