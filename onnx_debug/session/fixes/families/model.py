"""Changes of the model in one line, before the call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.nn.utils import parametrize

from onnx_debug.data.failure import Failure
from onnx_debug.data.stage import Stage
from onnx_debug.request.case import Case
from onnx_debug.session.fixes.change import Change, Cost


@dataclass(frozen=True)
class _Preparation:
    """One line that prepares a model.

    Attributes:
        applies: whether the model has what the line changes.
        act: does what the line does.
        lines: what the user writes.
        new_answers: the model answers otherwise afterwards, by intent.
        likely: what it changes is rare, and so probably what is in the way.
        stages: where an export fails that it may help.
    """

    explanation: str
    applies: Callable[[nn.Module], bool]
    act: Callable[[Any], object]
    lines: str
    new_answers: bool = False
    likely: bool = False
    stages: tuple[Stage, ...] = (Stage.CAPTURE, Stage.TRANSLATE)


def _needs_gradients(model: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in model.parameters())


def _parametrized(model: nn.Module) -> bool:
    return any(map(parametrize.is_parametrized, model.modules()))


def _remove_parametrizations(model: nn.Module) -> None:
    for module in list(model.modules()):
        if parametrize.is_parametrized(module):
            for name in list(module.parametrizations):  # type: ignore[arg-type]
                parametrize.remove_parametrizations(module, name)


def _hooked(model: nn.Module) -> bool:
    return any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def _remove_hooks(model: nn.Module) -> None:
    for module in model.modules():
        module._forward_hooks.clear()
        module._forward_pre_hooks.clear()


def _config_has(name: str, value: Any) -> Callable[[nn.Module], bool]:
    """Whether the model's configuration has this switch, at another value."""

    def has(model: nn.Module) -> bool:
        found = getattr(getattr(model, "config", None), name, value)
        return bool(found != value)

    return has


def _switch(name: str, value: Any) -> Callable[[Any], object]:
    def act(model: Any) -> None:
        for module in model.modules():
            config = getattr(module, "config", None)
            if hasattr(config, name):
                setattr(config, name, value)

    return act


def _scalar_buffers(model: nn.Module) -> list[tuple[nn.Module, str]]:
    """Whole numbers that modules keep as tensors; not the counters of batch norm, which it writes to."""
    return [
        (module, name)
        for module in model.modules()
        if not isinstance(module, nn.modules.batchnorm._NormBase)
        for name, buffer in module.named_buffers(recurse=False)
        if buffer.dim() == 0 and not buffer.is_floating_point() and not buffer.is_complex()
    ]


def _make_numbers(model: nn.Module) -> None:
    for module, name in _scalar_buffers(model):
        number = getattr(module, name).item()
        delattr(module, name)
        setattr(module, name, number)


_LINES = {
    "call model.eval()": _Preparation(
        "Dropout and batch statistics are for training; the file holds the model as it is used.",
        lambda model: model.training,
        lambda model: model.eval(),
        "model.eval()",
        new_answers=True,
        likely=True,
        stages=tuple(Stage),
    ),
    "keep whole numbers as Python numbers": _Preparation(
        "A number in a buffer is a tensor, whose value a capture does not know; as a Python number it is known. "
        "It is no longer saved with the weights.",
        lambda model: bool(_scalar_buffers(model)),
        _make_numbers,
        "from torch import nn\n\n"
        "for module in model.modules():\n"
        "    if not isinstance(module, nn.modules.batchnorm._NormBase):\n"
        "        for name, buffer in list(module.named_buffers(recurse=False)):\n"
        "            if buffer.dim() == 0 and not buffer.is_floating_point():\n"
        "                delattr(module, name)\n"
        "                setattr(module, name, buffer.item())",
        stages=(Stage.CAPTURE,),
    ),
    "export without gradients": _Preparation(
        "Parameters that need no gradients let torch take the kernels of inference. No number changes.",
        _needs_gradients,
        lambda model: model.requires_grad_(requires_grad=False),
        "model.requires_grad_(False)",
        stages=(Stage.CAPTURE,),
    ),
    "remove the parametrizations": _Preparation(
        "Each weight is computed once, before the export, and stays as it is. No number changes.",
        _parametrized,
        _remove_parametrizations,
        "from torch.nn.utils import parametrize\n\n"
        "for module in list(model.modules()):\n"
        "    if parametrize.is_parametrized(module):\n"
        "        for name in list(module.parametrizations):\n"
        "            parametrize.remove_parametrizations(module, name)",
        likely=True,
        stages=tuple(Stage),
    ),
    "remove the hooks": _Preparation(
        "The hooks change no output, as the comparison shows; their code is what cannot be exported.",
        _hooked,
        _remove_hooks,
        "for module in model.modules():\n"
        "    module._forward_hooks.clear()\n"
        "    module._forward_pre_hooks.clear()",
        likely=True,
    ),
    'take attention of plain operators ("eager")': _Preparation(
        "Attention is computed step by step, and not by one fused operator.",
        lambda model: (
            hasattr(model, "set_attn_implementation")
            and _config_has("_attn_implementation", "eager")(model)
        ),
        lambda model: model.set_attn_implementation("eager"),
        'model.set_attn_implementation("eager")',
    ),
    'compute all experts in one batch ("batched_mm")': _Preparation(
        "Every expert is computed for its tokens in one product, without a loop over the experts.",
        lambda model: (
            hasattr(model, "set_experts_implementation")
            and _config_has("_experts_implementation", "batched_mm")(model)
        ),
        lambda model: model.set_experts_implementation("batched_mm"),
        'model.set_experts_implementation("batched_mm")',
    ),
    "leave the cache out (use_cache=False)": _Preparation(
        "The file returns no keys and values of earlier tokens.",
        _config_has("use_cache", value=False),
        _switch("use_cache", value=False),
        "model.config.use_cache = False",
        new_answers=True,
    ),
}


@dataclass(frozen=True)
class Prepare(Change):
    """One of the lines above.

    Attributes:
        line: which.
    """

    line: str

    @property
    def title(self) -> str:
        """What to do."""
        return self.line

    @property
    def explanation(self) -> str:
        """What it changes."""
        return _LINES[self.line].explanation

    @property
    def cost(self) -> Cost:
        """One line; less comes out where the answers are new."""
        return Cost.LESS if self.new_answers else Cost.PREPARATION

    @property
    def new_answers(self) -> bool:
        """Whether the model answers otherwise by intent."""
        return _LINES[self.line].new_answers

    @property
    def likely(self) -> bool:
        """Whether what it changes is probably what is in the way."""
        return _LINES[self.line].likely

    def apply(self, case: Case) -> Case:
        """With the model prepared, in place."""
        _LINES[self.line].act(case.model)
        return case

    def lines(self, case: Case) -> str:
        """What the user writes."""
        del case
        return _LINES[self.line].lines


def proposals(case: Case, failure: Failure) -> Iterator[Change]:
    """The lines that this model has a use for."""
    if failure.stage in (Stage.EAGER, Stage.OPTIONS):
        return
    for line, preparation in _LINES.items():
        if failure.stage in preparation.stages and preparation.applies(case.model):
            yield Prepare(line)
