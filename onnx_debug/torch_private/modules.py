"""Private parts of `nn.Module`: how it is called, its hooks, its children. Tried on torch 2.13."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

ModuleCall = Callable[..., Any]

_HOOKS = (
    "_forward_pre_hooks",
    "_forward_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
)


@contextlib.contextmanager
def intercept_module_calls(wrap: Callable[[ModuleCall], ModuleCall]) -> Iterator[None]:
    """Route every `nn.Module.__call__` through `wrap(original)`, also during a non-strict capture.

    A capture calls modules through the original that `torch.fx` took at import, so both places are
    set. Without the private name the modules that run during a capture stay unseen: fewer clues,
    and inputs as recorded in eager.
    """
    symbolic_trace: Any = _symbolic_trace()
    original = nn.Module.__call__
    wrapped = wrap(original)
    traced = getattr(symbolic_trace, "_orig_module_call", None)
    nn.Module.__call__ = wrapped  # type: ignore[method-assign]
    if traced is not None:
        symbolic_trace._orig_module_call = wrapped
    try:
        yield
    finally:
        nn.Module.__call__ = original  # type: ignore[method-assign]
        if traced is not None:
            symbolic_trace._orig_module_call = traced


def _symbolic_trace() -> Any | None:
    try:
        import torch.fx._symbolic_trace as symbolic_trace
    except ImportError:
        return None
    return symbolic_trace


def is_call_machinery(file: str) -> bool:
    """True for the file in which `nn.Module` itself is written: it calls `forward` and hooks, and computes nothing."""
    return file == inspect.getsourcefile(nn.Module)


def is_compiled(module: nn.Module) -> bool:
    """True for a module that `torch.compile` runs. Without the private names the calls inside it stay unseen."""
    return getattr(module, "_compiled_call_impl", None) is not None or hasattr(
        module.forward, "_torchdynamo_orig_callable"
    )


def forward_hooks(module: nn.Module) -> list[Callable[..., Any]]:
    """The functions that are registered to run before or after a module's forward; none where the private names are gone."""
    return [hook for name in _HOOKS[:2] for hook in getattr(module, name, {}).values()]


def remove_forward_hooks(module: nn.Module) -> None:
    """Take all hooks of one module away. Where the private names are gone they go on running around a placeholder."""
    for name in _HOOKS:
        if name in module.__dict__:
            module.__dict__[name] = type(module.__dict__[name])()


def replace_child(parent: nn.Module, child: nn.Module, substitute: nn.Module) -> None:
    """Put `substitute` in every place where `parent` holds `child`.

    `add_module` would refuse names that are attributes of the class; a TorchScript module cannot
    be changed.
    """
    if isinstance(parent, torch.jit.ScriptModule):
        return
    for name, held in parent._modules.items():
        if held is child:
            parent._modules[name] = substitute


def must_leave(module: nn.Module) -> bool:
    """True when replacing `forward` alone would leave things in the tree which the capture then trips over."""
    return any(
        isinstance(part, torch.jit.ScriptModule)
        or any(stops_captures(held) for held in held_by(part))
        for part in module.modules()
    )


def stops_captures(value: Any) -> bool:
    """True for an object of a TorchScript class, such as the packed weights of a quantised layer, and for a parameter without a shape."""
    script_object: Any = getattr(torch, "ScriptObject", None) or getattr(
        torch._C, "ScriptObject", ()
    )
    return isinstance(value, script_object) or nn.parameter.is_lazy(value)


def held_by(module: nn.Module) -> list[Any]:
    """The module's own attributes, parameters and buffers."""
    return [
        *vars(module).values(),
        *module.parameters(recurse=False),
        *module.buffers(recurse=False),
    ]
