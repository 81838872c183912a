"""From `dynamic_axes` to `dynamic_shapes`, the other way for the legacy exporter, and names that the legacy exporter knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch.export import Dim

from onnx_debug.request.options.axes import known_names, names_of
from onnx_debug.request.options.dims import dim_name, is_static
from onnx_debug.request.options.inputs import Inputs, Leaf
from onnx_debug.request.options.meaning import UnclearError, assign
from onnx_debug.request.options.mend_shapes import mend_shapes, mend_spec, plant

Options = dict[str, Any]


def axes_to_shapes(inputs: Inputs, options: Mapping[str, Any]) -> Options:
    """The options with dynamic_shapes in the place of dynamic_axes; the sizes of outputs follow by themselves.

    Raises:
        UnclearError: which inputs the names stand for cannot be told.
    """
    axes = _as_dict(options["dynamic_axes"])
    meant = _inputs_meant(axes, inputs.graph_inputs, options, known_names(inputs, options))
    specs = {leaf.keys: _spec(leaf, axes[key]) for key, leaf in meant.items() if leaf is not None}
    new = {
        name: value
        for name, value in options.items()
        if name not in ("dynamic_axes", "dynamic_shapes")
    }
    return new | {"dynamic_shapes": mend_shapes(inputs, plant(inputs, specs), options)}


def mend_legacy_axes(inputs: Inputs, options: Mapping[str, Any]) -> Options:
    """The options with every name of dynamic_axes in input_names or output_names, as the legacy exporter wants it.

    Raises:
        UnclearError: which inputs the names stand for cannot be told.
    """
    axes = _as_dict(options["dynamic_axes"])
    traced = inputs.traced_inputs
    given, outputs = list(names_of(options, "input_names")), list(names_of(options, "output_names"))
    known = {leaf.name: leaf for leaf in traced} | dict(zip(given, traced, strict=False))
    meant = _inputs_meant(axes, traced, options, known)
    if not given:
        called = {leaf.keys: key for key, leaf in meant.items() if leaf is not None}
        given = [called.get(leaf.keys, leaf.name) for leaf in traced]
    given += [leaf.name for leaf in traced[len(given) :]]
    by_keys = {leaf.keys: name for leaf, name in zip(traced, given, strict=False)}
    outputs = outputs or [key for key, leaf in meant.items() if leaf is None]
    new_axes = {}
    for key, leaf in meant.items():
        if leaf is None and key not in outputs:
            raise UnclearError
        new_axes[key if leaf is None else by_keys[leaf.keys]] = _plain_axes(key, leaf, axes[key])
    names = {"input_names": given} | ({"output_names": outputs} if outputs else {})
    return {**options, **names, "dynamic_axes": new_axes}


def shapes_to_axes(inputs: Inputs, options: Mapping[str, Any]) -> Options:
    """The options with dynamic_axes and input_names in the place of dynamic_shapes.

    Raises:
        UnclearError: what the user meant cannot be told.
    """
    shapes = mend_shapes(inputs, options["dynamic_shapes"], options)
    names = list(names_of(options, "input_names"))
    names += [leaf.name for leaf in inputs.traced_inputs[len(names) :]]
    axes: dict[str, dict[int, str]] = {}
    for name, leaf in zip(names, inputs.traced_inputs, strict=False):
        spec: Any = shapes.get(leaf.keys[0])
        for key in leaf.keys[1:]:
            spec = getattr(spec, key) if hasattr(spec, "_fields") else spec[key]
        open_dims = (
            {index: dim for index, dim in (spec or {}).items() if not is_static(dim)}
            if leaf.is_tensor
            else {}
        )
        if open_dims:
            axes[name] = {
                index: dim_name(dim) or f"{name}_{index}" for index, dim in open_dims.items()
            }
    new = {name: value for name, value in options.items() if name != "dynamic_shapes"}
    return new | {"input_names": names, "dynamic_axes": axes}


def _as_dict(axes: Any) -> dict[str, Any]:
    if not isinstance(axes, Mapping):
        raise UnclearError
    return dict(axes)


def _inputs_meant(
    axes: Mapping[str, Any],
    leaves: tuple[Leaf, ...],
    options: Mapping[str, Any],
    known: Mapping[str, Leaf],
) -> dict[str, Leaf | None]:
    by_name = {leaf.name: leaf for leaf in leaves}
    meant = assign(
        axes,
        [leaf.name for leaf in leaves if leaf.is_tensor],
        fits=lambda key, name: _fits(by_name[name], axes[key]),
        aliases={alias: leaf.name for alias, leaf in known.items()},
        outputs=names_of(options, "output_names"),
        spare_are_outputs=True,
    )
    return {key: None if meant[key] is None else by_name[str(meant[key])] for key in axes}


def _fits(leaf: Leaf, axes: Any) -> bool:
    try:
        _spec(leaf, axes)
    except UnclearError:
        return False
    return leaf.is_tensor


def _spec(leaf: Leaf, axes: Any) -> Any:
    if isinstance(axes, list | tuple | set):
        axes = dict.fromkeys(axes, Dim.DYNAMIC)
    elif axes is not None and not isinstance(axes, dict):
        raise UnclearError
    return mend_spec(leaf.value, axes)


def _plain_axes(key: str, leaf: Leaf | None, axes: Any) -> dict[int, str]:
    spec = axes if leaf is None else _spec(leaf, axes)
    if isinstance(spec, list | tuple | set):
        spec = dict.fromkeys(spec)
    if not isinstance(spec, dict):
        raise UnclearError
    return {index: dim_name(dim) or f"{key}_{index}" for index, dim in spec.items()}
