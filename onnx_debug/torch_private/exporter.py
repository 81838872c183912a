"""Private parts of the exporter: its table of translations, its steps, its exceptions. Tried on torch 2.13."""

from __future__ import annotations

import contextlib
import copy
import inspect
import logging
from collections.abc import Callable, Iterator
from typing import Any

import onnx
import torch

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def reuse_operator_registry() -> Iterator[None]:
    """Build torchlib's registry and the decomposition table once, not in every export: 0.9 s becomes 0.2 s for a leaf module.

    Without the private names exports are only slower.
    """
    try:
        from torch.onnx._internal.exporter import _decomp, _registration

        build_registry = _registration.ONNXRegistry.from_torchlib
        # What to put back: inside another such context it is a static method.
        as_defined = inspect.getattr_static(_registration.ONNXRegistry, "from_torchlib")
        build_table = _decomp.create_onnx_friendly_decomposition_table
    except (ImportError, AttributeError):
        yield
        return

    def registry(*given: Any, **options: Any) -> Any:
        key = (given, tuple(sorted(options.items())))
        if key not in _REGISTRIES:
            _REGISTRIES[key] = build_registry(*given, **options)
        return _copy_of_registry(_REGISTRIES[key])

    def table(onnx_registered_ops: set[Any]) -> Any:
        key = frozenset(onnx_registered_ops)
        if key not in _TABLES:
            _TABLES[key] = build_table(onnx_registered_ops)
        return dict(_TABLES[key])

    _registration.ONNXRegistry.from_torchlib = staticmethod(registry)  # type: ignore[method-assign]
    _decomp.create_onnx_friendly_decomposition_table = table
    try:
        yield
    finally:
        _registration.ONNXRegistry.from_torchlib = as_defined  # type: ignore[method-assign]
        _decomp.create_onnx_friendly_decomposition_table = build_table


_REGISTRIES: dict[Any, Any] = {}
_TABLES: dict[Any, Any] = {}


def _copy_of_registry(registry: Any) -> Any:
    """A registry that a `custom_translation_table` may write to without changing the shared one."""
    twin = copy.copy(registry)
    if hasattr(twin, "functions"):
        twin.functions = {target: list(found) for target, found in registry.functions.items()}
    return twin


def build_operator_tables(opset_version: Any = None) -> None:
    """Build what `reuse_operator_registry` hands out for a request. Touches nothing but this module's own tables."""
    decompositions(opset_version)


def opset_of_registry(opset_version: Any) -> int | None:
    """The opset whose translations the dynamo exporter takes for a request; None where it cannot be asked.

    It has none for opsets below its lowest, and converts the finished file. What it would refuse
    counts as no request.
    """
    try:
        from torch.onnx._constants import ONNX_DEFAULT_OPSET
        from torch.onnx._internal.exporter._constants import TORCHLIB_OPSET
    except ImportError:
        return None
    fits = isinstance(opset_version, int) and opset_version <= onnx.defs.onnx_opset_version()
    return max(opset_version if fits else ONNX_DEFAULT_OPSET, TORCHLIB_OPSET)


@contextlib.contextmanager
def _without_log() -> Iterator[None]:
    """Building the tables logs which optional packages are missing, which nobody asked."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def registered_targets(
    opset_version: Any, custom: dict[Any, Any] | None
) -> Callable[[Any], bool] | None:
    """A predicate "this FX target has an ONNX translation", or None where the registry cannot be asked.

    Without it, operators without translation are found one trial at a time instead of all at once.
    """
    try:
        from torch.onnx._internal.exporter import _registration

        opset = opset_of_registry(opset_version)
        with reuse_operator_registry():
            known = _registration.ONNXRegistry.from_torchlib(opset_version=opset).is_registered
    except (ImportError, AttributeError, TypeError):
        return None
    return lambda target: target in (custom or {}) or bool(known(target))


def decompositions(opset_version: Any = None) -> dict[Any, Any]:
    """The table by which the exporter decomposes a captured program; torch's usual one where it cannot be asked."""
    try:
        from torch.onnx._internal.exporter import _decomp, _registration

        with reuse_operator_registry(), _without_log():
            registry = _registration.ONNXRegistry.from_torchlib(
                opset_version=opset_of_registry(opset_version)
            )
            return _decomp.create_onnx_friendly_decomposition_table(
                set(_decomp.get_onnx_implemented_overloads(registry))
            )
    except (ImportError, AttributeError, TypeError):
        return dict(torch.export.default_decompositions())


def name_axes(program: Any, dynamic_shapes: Any) -> None:
    """Give the dimensions of an `ONNXProgram` the names of a request, as the exporter does at the end of its own capture."""
    rename = getattr(program, "_rename_dynamic_axes", None)
    if rename is not None:
        rename(dynamic_shapes)


def is_untranslated(error: BaseException) -> bool:
    """Whether the exporter says by this error that it has no translation for an operator; False where it cannot be asked."""
    try:
        from torch.onnx._internal.exporter._errors import DispatchError
    except ImportError:
        return False
    return isinstance(error, DispatchError)


def first_opset_of(op: str) -> int | None:
    """The lowest opset in which the legacy exporter translates an operator ("aten::unflatten"); None: in no opset, or not known.

    Its exception says so in its text only.
    """
    try:
        from torch.onnx._internal.torchscript_exporter.registration import registry

        group = registry.get_function_group(op)
    except (ImportError, AttributeError):
        return None
    return None if group is None else int(group.get_min_supported())


@contextlib.contextmanager
def watch_steps(
    capture: Callable[[Callable[[], Any], bool], Any], decomposed: Callable[[Any], None]
) -> Iterator[None]:
    """See the two steps that the dynamo exporter takes through public functions of `torch.export`.

    Args:
        capture: called in place of `torch.export.export`, with a function that makes the call and
            whether the capture is strict; it returns what that function returned.
        decomposed: called with every program that `run_decompositions` returned.
    """
    export, decompose = torch.export.export, torch.export.ExportedProgram.run_decompositions

    def watched_export(*args: Any, **kwargs: Any) -> Any:
        return capture(lambda: export(*args, **kwargs), bool(kwargs.get("strict")))

    def watched_decompose(self: Any, *args: Any, **kwargs: Any) -> Any:
        program = decompose(self, *args, **kwargs)
        decomposed(program)
        return program

    torch.export.export = watched_export
    torch.export.ExportedProgram.run_decompositions = watched_decompose  # type: ignore[method-assign]
    try:
        yield
    finally:
        torch.export.export = export
        torch.export.ExportedProgram.run_decompositions = decompose  # type: ignore[method-assign]


def beneath(*, dynamo: bool) -> Any | None:
    """The exporter that `torch.onnx.export` chooses for `dynamo`; its keywords are among those of `torch.onnx.export`.

    Without the private names, calls that reach it in another way stay unseen.
    """
    try:
        if dynamo:
            from torch.onnx._internal.exporter._compat import export_compat

            return export_compat
        from torch.onnx.utils import export
    except ImportError:
        return None
    return export
