"""A case: what would be passed to `torch.onnx.export`, checked once and never changed."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import torch
from torch import nn
from torch.export import ExportedProgram

from onnx_debug.data.errors import CaseError
from onnx_debug.request import program
from onnx_debug.request.inputs import forward_signature
from onnx_debug.request.keywords import known_options
from onnx_debug.request.matching import did_you_mean
from onnx_debug.request.surroundings import Surroundings, own_export, surroundings

Edges = Literal["report", "strict", "off"]
Inputs = tuple[tuple[Any, ...], dict[str, Any]]

# What asks something of the exported file's border or of its versions, and so can be wrong although
# no module is.
_REQUEST_OPTIONS = (
    "input_names",
    "output_names",
    "dynamic_shapes",
    "dynamic_axes",
    "opset_version",
    "custom_translation_table",
)
# What belongs to the whole model only: a submodule has other inputs, and writes no report.
_WHOLE_MODEL_OPTIONS = (
    "input_names",
    "output_names",
    "dynamic_shapes",
    "dynamic_axes",
    "report",
    "verify",
    "profile",
    "dump_exported_program",
)


@dataclass(frozen=True)
class Case:
    """One export, as data.

    Attributes:
        options: `torch.onnx.export`'s own keywords, unchanged; without `f`, `args` and `kwargs`.
        f: where the user wants the file: a path, a binary stream, or None.
        check_inputs: further inputs on which ONNX must agree with the eager module.
        labels: what each of them is, in plain words.
        atol, rtol: tolerances of the comparison; None: by dtype.
        edges: what to do about inputs at the edge of what the model takes: "report" differences,
            fail by them ("strict"), or try none ("off").
        surroundings: the state of torch in which the user made the call.
        neutral: whether the export is made in the state in which torch starts instead.
        within: what else the export is made in: context managers, made anew for each export.
        own_answers: the model was changed so that it answers otherwise by intent: it is compared
            with itself.
        note: what the reader should know of how the case was read; empty when it is what was given.
    """

    model: nn.Module
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    f: Any = None
    check_inputs: tuple[Inputs, ...] = ()
    labels: tuple[str, ...] = ()
    atol: float | None = None
    rtol: float | None = None
    edges: Edges = "report"
    surroundings: Surroundings = field(default_factory=Surroundings)
    neutral: bool = False
    within: tuple[Callable[[], contextlib.AbstractContextManager[None]], ...] = ()
    own_answers: bool = False
    note: str = ""

    @property
    def dynamo(self) -> bool:
        """Whether `torch.export` captures the model; False: the legacy exporter traces it."""
        return bool(self.options.get("dynamo", _export_default("dynamo", default=True)))

    @property
    def inputs(self) -> tuple[Inputs, ...]:
        """The given inputs, then the check inputs."""
        return ((self.args, self.kwargs), *self.check_inputs)

    def label(self, index: int) -> str:
        """What the inputs at this position are, in plain words; empty for the given ones."""
        return self.labels[index - 1] if index else ""

    def with_check(self, inputs: Inputs, label: str) -> Case:
        """The case with one more set of inputs to agree on."""
        return replace(
            self, check_inputs=(*self.check_inputs, inputs), labels=(*self.labels, label)
        )

    @property
    def asks_dynamic(self) -> bool:
        """Whether any dimension was asked to be dynamic."""
        return bool(self.options.get("dynamic_shapes") or self.options.get("dynamic_axes"))

    def minimal(self) -> Case:
        """The same export with nothing asked of its borders and versions."""
        left = {name: value for name, value in self.options.items() if name not in _REQUEST_OPTIONS}
        if isinstance(self.model, torch.jit.ScriptModule):
            left["dynamo"] = False  # the only exporter that takes one
        return replace(self, options=left)

    def undisturbed(self) -> Case:
        """The same export with nothing unusual around it."""
        return replace(self, neutral=True)

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """The state of torch in which the export is made."""
        with contextlib.ExitStack() as around:
            around.enter_context((Surroundings() if self.neutral else self.surroundings).entered())
            for make in self.within:
                around.enter_context(make())
            yield

    @property
    def has_own_answers(self) -> bool:
        """Whether the model may answer otherwise in this export than where the user made the call."""
        return self.own_answers or (self.neutral and self.surroundings != Surroundings())

    def submodule_options(self) -> dict[str, Any]:
        """The options that hold for a submodule too."""
        return {
            name: value for name, value in self.options.items() if name not in _WHOLE_MODEL_OPTIONS
        }


def make_case(  # noqa: PLR0913 - what `diagnose` takes
    model: Any,
    args: Any = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    f: Any = None,
    check_inputs: Iterable[Any] = (),
    atol: float | None = None,
    rtol: float | None = None,
    edges: Edges = "report",
    options: Mapping[str, Any] | None = None,
) -> Case:
    """Check what the user handed over and normalise it as `torch.onnx.export` does.

    Raises:
        CaseError: no module, arguments that do not fit its `forward`, or an option that
            `torch.onnx.export` does not have.
    """
    if edges not in get_args(Edges):
        raise CaseError(f"edges must be one of {', '.join(get_args(Edges))}, not {edges!r}")
    chosen, inputs = dict(options or {}), _normalise(args, kwargs)
    _require_known(chosen)
    note = ""
    if isinstance(model, ExportedProgram):
        model, inputs, chosen = _from_program(model, inputs, chosen)
        note = program.NOTE
    if not isinstance(model, nn.Module):
        raise CaseError(f"the model must be a torch.nn.Module, not {_kind(model)}")
    _require_fit(model, inputs)
    further = tuple(_as_inputs(item) for item in check_inputs)
    for item in further:
        _require_fit(model, item)
    labels = tuple(f"check input {number}" for number in range(1, len(further) + 1))
    return Case(
        model,
        *inputs,
        options=chosen,
        f=f,
        check_inputs=further,
        labels=labels,
        atol=atol,
        rtol=rtol,
        edges=edges,
        surroundings=surroundings(),
        note=note,
    )


def _from_program(
    exported: ExportedProgram, inputs: Inputs, options: dict[str, Any]
) -> tuple[nn.Module, Inputs, dict[str, Any]]:
    """The module, the inputs and the options that stand for an exported program."""
    module = program.as_module(exported, options)
    args, kwargs = inputs if any(inputs) else exported.example_inputs or ((), {})
    if not options.get("dynamic_shapes"):
        shapes = program.dynamic_dims(exported, module, args, kwargs)
        options = {**options, "dynamic_shapes": shapes} if shapes else options
    return module, (args, kwargs), options


def _normalise(args: Any, kwargs: Mapping[str, Any] | None) -> Inputs:
    """A bare tensor is one argument; a dict at the end of `args` holds keyword arguments.

    Raises:
        CaseError: `kwargs` is no dict.
    """
    if kwargs is not None and not isinstance(kwargs, Mapping):
        raise CaseError(
            f"kwargs must be a dict of keyword inputs, not {_kind(kwargs)}; several positional "
            "inputs go together, as args=(x, y)"
        )
    if isinstance(args, list):
        args = tuple(args)
    elif not isinstance(args, tuple):
        args = (args,)
    if not kwargs and args and isinstance(args[-1], dict):
        return args[:-1], dict(args[-1])
    return args, dict(kwargs or {})


def _as_inputs(item: Any) -> Inputs:
    """One check input: `(args, kwargs)`, or only the arguments."""
    if (
        isinstance(item, tuple)
        and len(item) == 2
        and isinstance(item[0], tuple | list)
        and isinstance(item[1], dict)
    ):
        return tuple(item[0]), dict(item[1])
    return _normalise(item, None)


def _require_fit(model: nn.Module, inputs: Inputs) -> None:
    signature = forward_signature(model)
    if signature is None:
        return
    args, kwargs = inputs
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        message = f"the arguments do not fit {type(model).__name__}.forward{signature}: {error}"
        raise CaseError(message + _if_positional(signature, args, kwargs)) from None


def _if_positional(
    signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> str:
    """What to do where the keyword arguments would be a positional one; empty where they would not."""
    try:
        signature.bind(*args, kwargs)
    except TypeError:
        return ""
    return (
        "; torch.onnx.export takes a dict at the end of args for the keyword arguments: "
        "write a further {} after it, where it is an argument itself"
    )


def _require_known(options: Mapping[str, Any]) -> None:
    known = known_options()
    ours = list(inspect.signature(make_case).parameters)
    for name in options:
        if name not in known:
            hint = did_you_mean(name, [*known, *ours])
            raise CaseError(f"torch.onnx.export has no option {name!r}{hint}")


def _kind(value: Any) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}; make an instance of it first"
    name = type(value).__name__
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"


def _export_default(name: str, *, default: Any) -> Any:
    """What `torch.onnx.export` takes when the option is not given: it differs between torch versions."""
    found = inspect.signature(own_export()).parameters.get(name)
    return default if found is None else found.default
