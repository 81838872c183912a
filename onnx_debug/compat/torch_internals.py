"""Every private name of torch that the package relies on: one small function each, with a fallback.

Checked on torch 2.13. Where a name is gone, the function says so by its return value or does
nothing; its docstring says what is lost.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from typing import Any, cast

import torch
from torch import nn

logger = logging.getLogger(__name__)

ModuleCall = Callable[..., Any]
SymbolFixed = Callable[[str, int], None]


@contextlib.contextmanager
def intercept_module_calls(wrap: Callable[[ModuleCall], ModuleCall]) -> Iterator[None]:
    """Route every `nn.Module.__call__` through `wrap(original)`, also during a non-strict capture.

    A capture calls modules through the original that `torch.fx` took at import, so both places are
    set. Without the private name the modules that run during a capture stay unseen: fewer clues,
    and inputs as recorded in eager.
    """
    import torch.fx._symbolic_trace as symbolic_trace

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


@contextlib.contextmanager
def reuse_operator_registry() -> Iterator[None]:
    """Build torchlib's registry and the decomposition table once, not in every export: 0.9 s becomes 0.2 s for a leaf module.

    Without the private names exports are only slower.
    """
    try:
        from torch.onnx._internal.exporter import _decomp, _registration

        build_registry = _registration.ONNXRegistry.from_torchlib
        build_table = _decomp.create_onnx_friendly_decomposition_table
    except (ImportError, AttributeError):
        yield
        return

    def registry(*_: object, **options: Any) -> Any:
        key = tuple(sorted(options.items()))
        if key not in _REGISTRIES:
            _REGISTRIES[key] = build_registry(**options)
        return _copy_of_registry(_REGISTRIES[key])

    def table(onnx_registered_ops: set[Any]) -> Any:
        key = frozenset(onnx_registered_ops)
        if key not in _TABLES:
            _TABLES[key] = build_table(onnx_registered_ops)
        return dict(_TABLES[key])

    _registration.ONNXRegistry.from_torchlib = registry  # type: ignore[method-assign]
    _decomp.create_onnx_friendly_decomposition_table = table
    try:
        yield
    finally:
        _registration.ONNXRegistry.from_torchlib = build_registry  # type: ignore[method-assign]
        _decomp.create_onnx_friendly_decomposition_table = build_table


_REGISTRIES: dict[Any, Any] = {}
_TABLES: dict[Any, Any] = {}


def _copy_of_registry(registry: Any) -> Any:
    """A registry that a `custom_translation_table` may write to without changing the shared one."""
    import copy

    twin = copy.copy(registry)
    if hasattr(twin, "functions"):
        twin.functions = {target: list(found) for target, found in registry.functions.items()}
    return twin


@contextlib.contextmanager
def _without_log() -> Iterator[None]:
    """Building the tables logs what is not installed; nobody asked."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def build_operator_tables() -> None:
    """Build what `reuse_operator_registry` hands out. Touches nothing but this module's own tables."""
    try:
        from torch.onnx._internal.exporter import _constants, _decomp, _registration

        with reuse_operator_registry(), _without_log():
            registry = _registration.ONNXRegistry().from_torchlib(
                opset_version=_constants.TORCHLIB_OPSET
            )
            _decomp.create_onnx_friendly_decomposition_table(
                set(_decomp.get_onnx_implemented_overloads(registry))
            )
    except (ImportError, AttributeError, TypeError):
        logger.debug("the exporter's tables cannot be built ahead", exc_info=True)


def warm_up(*, dynamo: bool) -> None:
    """Export a small module, so that what the exporter imports and builds at its first use is there for every fork of this process.

    The random numbers stay as they are: a model that makes its weights when it first runs must make
    the same ones in every fork.
    """
    with reuse_operator_registry(), warnings.catch_warnings(), torch.random.fork_rng(devices=()):
        warnings.simplefilter("ignore")
        module = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2), nn.ReLU()).eval()
        torch.onnx.export(
            module, (torch.zeros(1, 2),), cast(str, io.BytesIO()), dynamo=dynamo, verbose=False
        )


def registered_targets(
    opset_version: int | None, custom: dict[Any, Any] | None
) -> Callable[[Any], bool] | None:
    """A predicate "this FX target has an ONNX translation", or None where the registry cannot be asked.

    Without it, operators without translation are found one trial at a time instead of all at once.
    """
    try:
        from torch.onnx._internal.exporter import _constants, _registration

        opset = max(opset_version or _constants.TORCHLIB_OPSET, _constants.TORCHLIB_OPSET)
        with reuse_operator_registry():
            known = _registration.ONNXRegistry.from_torchlib(opset_version=opset).is_registered
    except (ImportError, AttributeError, TypeError):
        return None
    return lambda target: target in (custom or {}) or bool(known(target))


def is_untranslated(error: BaseException) -> bool:
    """Whether the exporter says by this error that it has no translation for an operator; False where it cannot be asked."""
    try:
        from torch.onnx._internal.exporter._errors import DispatchError
    except ImportError:
        return False
    return isinstance(error, DispatchError)


@contextlib.contextmanager
def watch_fixed_symbols(found: SymbolFixed) -> Iterator[None]:
    """Call `found(symbol, size)` whenever a symbolic size of an input is replaced by a number: a dynamic dimension became fixed.

    The Python stack at that moment names the module and the line. Without the private name that
    clue is missing.
    """
    from torch.fx.experimental.symbolic_shapes import ShapeEnv

    original = getattr(ShapeEnv, "_set_replacement", None)
    if original is None:
        yield
        return

    def set_replacement(self: Any, symbol: Any, target: Any, *args: Any, **kwargs: Any) -> Any:
        if getattr(target, "is_number", False) and _is_backed(self, symbol):
            try:
                found(str(symbol), int(target))
            except Exception:
                logger.debug("specialization clue lost", exc_info=True)
        return original(self, symbol, target, *args, **kwargs)

    ShapeEnv._set_replacement = set_replacement  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        ShapeEnv._set_replacement = original  # type: ignore[method-assign]


def _is_backed(shape_env: Any, symbol: Any) -> bool:
    """True for a symbol that stands for the size of an input."""
    values = getattr(shape_env, "backed_var_to_val", None) or getattr(shape_env, "var_to_val", {})
    return symbol in values


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


def tree_leaves(value: Any) -> list[Any]:
    """The leaves of nested arguments or outputs, in the order in which both exporters flatten them."""
    from torch.utils import _pytree

    return list(_pytree.tree_leaves(value))


def torchscript_node(value: Any) -> Any | None:
    """`value` if it is a node of the legacy exporter's graph."""
    node_type = getattr(torch._C, "Node", None)
    return value if node_type is not None and isinstance(value, node_type) else None


def is_compiled(module: nn.Module) -> bool:
    """True for a module that `torch.compile` runs. Without the private names the calls inside it stay unseen."""
    return getattr(module, "_compiled_call_impl", None) is not None or hasattr(
        module.forward, "_torchdynamo_orig_callable"
    )


def is_transformed(tensor: torch.Tensor) -> bool:
    """True for what a function sees under `torch.func.vmap` or `grad`: it means nothing outside of it.

    Without the private name such tensors are copied like others, which fails.
    """
    functorch = getattr(torch._C, "_functorch", None)
    wrapped = getattr(functorch, "is_functorch_wrapped_tensor", None)
    return wrapped is not None and bool(wrapped(tensor))


def forward_hooks(module: nn.Module) -> list[Callable[..., Any]]:
    """What is registered to run before or after a module's forward."""
    return [
        hook
        for name in ("_forward_pre_hooks", "_forward_hooks")
        for hook in getattr(module, name, {}).values()
    ]


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
    return [*vars(module).values(), *module._parameters.values(), *module._buffers.values()]
