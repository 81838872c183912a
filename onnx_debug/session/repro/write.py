"""The question whose answer is a script: asked where the model is and where its inputs were recorded."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from onnx_debug.data.outcome import Trial
from onnx_debug.eager.calls import Call
from onnx_debug.eager.packing import plain, unpack
from onnx_debug.onnx_file.compare import tolerance_of
from onnx_debug.request.case import Case
from onnx_debug.request.surroundings import Surroundings
from onnx_debug.runner.questions import Context, Question
from onnx_debug.session.repro.border import caller, paths
from onnx_debug.session.repro.draft import Draft
from onnx_debug.session.repro.rebuild import Rebuild
from onnx_debug.session.repro.source import NotWritableError
from onnx_debug.session.repro.values import Values
from onnx_debug.trial.prepare import Bench, inputs_alone
from onnx_debug.trial.submodule import AloneInputs

_NO_PART = ("report", "verify", "profile", "dump_exported_program", "verbose", "f")


@dataclass(frozen=True)
class WriteScript(Question[Draft]):
    """What is the script that exports this module as the model calls it?

    Attributes:
        fqn: of the module; "" is the whole model.
        call: which recorded call gives the inputs.
        exact: with the very weights and inputs, and whether they require gradients; else random ones
            of the same kind stand for what is large.
        dynamic: sizes that vary in the model are asked to be dynamic.
        required: an export that makes one of them a number is an error.
    """

    fqn: str
    call: int = 0
    exact: bool = False
    dynamic: bool = False
    required: bool = False

    @property
    def needs(self) -> frozenset[str]:
        """The module's own values."""
        return frozenset({"", self.fqn})

    @property
    def module(self) -> str:
        """The module."""
        return self.fqn

    def run(self, context: Context) -> Draft:
        """Write it, or say why it cannot be written."""
        try:
            return _Writer(context, self).draft()
        except NotWritableError as error:
            return Draft(why_not=str(error))


class _Writer:
    def __init__(self, context: Context, question: WriteScript) -> None:
        self._context, self._asked = context, question
        self._case: Case = context.case
        self._values = Values(exact=question.exact)
        self._module: nn.Module = context.names.modules[question.fqn]
        self._rebuild = Rebuild(self._values, self._ancestors())
        self._options: dict[str, str] = {}
        self._model: list[str] = []

    def _ancestors(self) -> list[nn.Module]:
        parts = self._asked.fqn.split(".") if self._asked.fqn else []
        names = [".".join(parts[:length]) for length in range(len(parts) - 1, -1, -1)]
        return [self._context.names.modules[name] for name in names]

    def draft(self) -> Draft:
        """The parts of the script."""
        made = self._rebuild.code(self._module, "model")
        self._model = [*self._rebuild.lines, *([] if made == "model" else [f"model = {made}"])]
        self._model += self._modes()
        if self._asked.exact:
            self._save_state()
        args, kwargs, others = self._whole() if not self._asked.fqn else self._part()
        saved = io.BytesIO()
        if self._values.saved:
            torch.save(self._values.saved, saved)
        definitions = self._values.definitions
        setup, around = _surroundings(
            Surroundings() if self._case.neutral else self._case.surroundings
        )
        return Draft(
            tuple(definitions.imports),
            tuple(definitions.texts),
            tuple(self._model),
            args,
            kwargs,
            tuple(others),
            self._options,
            around,
            setup,
            saved.getvalue(),
            tuple(self._rebuild.left_out),
            tolerance_of(self._case).share(torch.float32),
        )

    def _modes(self) -> list[str]:
        """The mode of training, and what needs no gradient."""
        modes = {one.training for one in self._module.modules()}
        if len(modes) == 1:
            lines = [f"model.{'train' if self._module.training else 'eval'}()"]
        else:
            lines = [
                f"model.get_submodule({name!r}).training = {one.training}"
                for name, one in self._module.named_modules()
            ]
        parameters = list(self._module.parameters())
        if parameters and not any(one.requires_grad for one in parameters):
            lines.append("model.requires_grad_(False)")
        return lines

    def _save_state(self) -> None:
        for name, tensor in self._module.state_dict().items():
            if isinstance(tensor, torch.Tensor):
                self._values.saved[f"model.{name}"] = tensor.detach().clone()
        if self._values.saved:
            self._model.append(
                'model.load_state_dict({name[6:]: tensor for name, tensor in saved.items() if name.startswith("model.")}, strict=False)'
            )

    # --- inputs and options

    def _whole(self) -> tuple[str, str, list[str]]:
        self._write_options(self._case.options)
        args, kwargs = self._case.args, self._case.kwargs
        others = [self._pair(*inputs) for inputs in self._case.check_inputs]
        return self._values.code(args), self._values.code(kwargs), others

    def _pair(self, args: Any, kwargs: Any) -> str:
        return f"({self._values.code(tuple(args))}, {self._values.code(kwargs)})"

    def _write_options(self, options: dict[str, Any]) -> None:
        self._options["dynamo"] = repr(self._case.dynamo)
        for name, value in options.items():
            if name not in (*_NO_PART, "dynamo"):
                self._options[name] = self._values.code(value)

    def _part(self) -> tuple[str, str, list[str]]:
        self._write_options(self._case.submodule_options())
        calls = {
            index: next((c for c in found.of(self._asked.fqn) if c.index == self._asked.call), None)
            for index, found in self._context.recordings.items()
        }
        call = calls.pop(0, None)
        if call is None or call.arguments is None:
            problem = call.problem if call is not None else "it is not called"
            raise NotWritableError(f"its inputs cannot be recorded: {problem}")
        rest = [other for other in calls.values() if other is not None]
        inputs = self._inputs(call, rest)
        structure = plain(
            unpack(call.arguments.template, call.arguments.leaves), call.arguments.leaves
        )
        flat = structure is not None and not any(inputs.numbers) and not self._asked.dynamic
        others = [other for other in rest if inputs.takes(other) and other.arguments is not None]
        if flat and _is_plain(call):
            args, kwargs = self._unpacked(call)
            return args, kwargs, [self._pair(*self._values_of(other)) for other in others]
        self._wrap(call, inputs)
        given = [self._tensors(other.arguments.leaves) for other in others if other.arguments]
        return self._tensors(inputs.leaves), "{}", [f"({one}, {{}})" for one in given]

    def _inputs(self, call: Call, others: Sequence[Call]) -> AloneInputs:
        context = self._context
        bench = Bench(
            context.case, context.names, context.recordings, context.traced, context.directory
        )
        return inputs_alone(bench, Trial(self._asked.fqn, call=self._asked.call), call, others)

    def _values_of(self, call: Call) -> Any:
        assert call.arguments is not None
        return unpack(call.arguments.template, call.arguments.leaves)

    def _unpacked(self, call: Call) -> tuple[str, str]:
        args, kwargs = self._values_of(call)
        written = self._values.code(tuple(args))
        if args and isinstance(args[-1], dict) and not kwargs:
            written = f"(*{written}, {{}})"  # torch would take the dict for keyword arguments
        return written, self._values.code(kwargs)

    def _tensors(self, leaves: Sequence[Any]) -> str:
        written = [self._leaf(leaf) for leaf in leaves]
        return f"({', '.join(written)}{',' if len(written) == 1 else ''})"

    def _leaf(self, leaf: torch.Tensor) -> str:
        written = self._values.tensor(leaf)
        # Not a leaf of autograd, because in-place layers may not write to one.
        grad = self._asked.exact and leaf.requires_grad
        return f"{written}.requires_grad_().clone()" if grad else written

    def _wrap(self, call: Call, inputs: AloneInputs) -> None:
        """A module around the culprit that takes tensors only, and returns tensors only."""
        names = [f"x{index}" for index in range(len(inputs.leaves))]
        returned = None
        if call.output is not None:
            returned = paths(unpack(call.output.template, call.output.leaves), "returned")
        self._values.definitions.texts.append(caller(self._values, inputs, names, returned))
        self._model.append("model = Caller(model)")
        if not self._asked.dynamic or not any(inputs.dynamic):
            return
        if self._case.dynamo:
            kind = "DYNAMIC" if self._asked.required else "AUTO"
            specs = [
                "{"
                + ", ".join(f"{axis}: torch.export.Dim.{kind}" for axis in sorted(set(axes)))
                + "}"
                if axes
                else "None"
                for axes in inputs.dynamic
            ]
            self._options["dynamic_shapes"] = f"({', '.join(specs)},)"
        else:
            self._options["input_names"] = repr(names)
            axes = {name: sorted(set(one)) for name, one in zip(names, inputs.dynamic, strict=True)}
            self._options["dynamic_axes"] = repr({name: one for name, one in axes.items() if one})


def _is_plain(call: Call) -> bool:
    """Whether a call returns nothing but tensors in tuples, lists and dicts."""
    if call.output is None:
        return True
    return plain(unpack(call.output.template, call.output.leaves), call.output.leaves) is not None


def _surroundings(state: Surroundings) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The statements and the `with` lines that bring about this state of torch."""
    setup = [f"torch.set_default_dtype({state.dtype})"] if state.dtype is not torch.float32 else []
    around = [f'with torch.autocast("{name}", dtype={dtype}):' for name, dtype in state.autocast]
    if state.inference:
        around.append("with torch.inference_mode():")
    return tuple(setup), tuple(around)
