"""What lies around the user's call and changes what torch does in it, though it stands in no argument."""

from __future__ import annotations

import contextlib
import functools
import gc
import inspect
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

_CPU = torch.device("cpu")
_AUTOCAST_DEVICES = ("cpu", "cuda", "mps", "xpu")


@dataclass(frozen=True)
class Surroundings:
    """The state of torch in which a call is made; as constructed, the one in which torch starts.

    Attributes:
        autocast: the dtype of `torch.autocast` by type of device, where it is active.
        dtype, device: what `torch.set_default_dtype` and `torch.set_default_device` say.
        inference: whether `torch.inference_mode` is active.
        export: what stands for `torch.onnx.export`; None: torch's own.
    """

    autocast: tuple[tuple[str, torch.dtype], ...] = ()
    dtype: torch.dtype = torch.float32
    device: torch.device = _CPU
    inference: bool = False
    export: Any = None

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Exactly this state, whatever it was before: most of it belongs to a thread, and a session may go on in another."""
        now, wanted = surroundings(), dict(self.autocast)
        with contextlib.ExitStack() as entered:
            for name in {*wanted, *dict(now.autocast)} if wanted != dict(now.autocast) else ():
                on = name in wanted
                entered.enter_context(torch.autocast(name, dtype=wanted.get(name), enabled=on))
            if self.device != now.device:
                entered.enter_context(self.device)
            if self.inference != now.inference:
                entered.enter_context(torch.inference_mode(self.inference))
            before = torch.onnx.export
            try:
                torch.set_default_dtype(self.dtype)
                torch.onnx.export = self.export or own_export()
                yield
            finally:
                torch.set_default_dtype(now.dtype)
                torch.onnx.export = before

    def __str__(self) -> str:
        """What is not as torch starts, in plain words; empty when all is."""
        return "; ".join(words for words, _ in self._facts())

    def avoided(self, call: str) -> str:
        """The call as it is written so that none of this reaches it."""
        lines, depth = [], 0
        for _, opening in self._facts():
            lines.append("    " * depth + opening)
            depth += opening.startswith("with ")
        return "\n".join([*lines, *("    " * depth + line for line in call.splitlines()), ""])

    def _facts(self) -> Iterator[tuple[str, str]]:
        """What is not as torch starts, each with the line that keeps it away from a call."""
        if self.export is not None:
            name = getattr(self.export, "__qualname__", type(self.export).__name__)
            source = f"{getattr(self.export, '__module__', '')}.{name}"
            yield f"torch.onnx.export has been replaced by {source}", f"# without {source}"
        if self.dtype is not torch.float32:
            yield f"torch's default dtype is {self.dtype}", "torch.set_default_dtype(torch.float32)"
        for name, dtype in self.autocast:
            words = f"an ambient torch.autocast is active ({name}, {dtype})"
            yield words, f'with torch.autocast("{name}", enabled=False):'
        if self.device != _CPU:
            yield f"torch's default device is {self.device}", 'with torch.device("cpu"):'
        if self.inference:
            yield "torch.inference_mode is active", "with torch.inference_mode(False):"


def surroundings() -> Surroundings:
    """The state of torch at this moment, in this thread."""
    active = [name for name in _AUTOCAST_DEVICES if torch.is_autocast_enabled(name)]
    return Surroundings(
        tuple((name, torch.get_autocast_dtype(name)) for name in active),
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.is_inference_mode_enabled(),
        None if torch.onnx.export is own_export() else torch.onnx.export,
    )


@functools.cache
def own_export() -> Any:
    """`torch.onnx.export` as torch defines it, also where another function stands in its place."""
    found = inspect.unwrap(torch.onnx.export)
    if _is_torchs(found):
        return found
    functions = (thing for thing in gc.get_objects() if isinstance(thing, types.FunctionType))
    return next((one for one in functions if _is_torchs(one)), found)


def _is_torchs(function: Any) -> bool:
    code = getattr(function, "__code__", None)
    home = Path(str(torch.onnx.__file__))
    return code is not None and code.co_name == "export" and Path(code.co_filename) == home
