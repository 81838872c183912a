"""Random numbers as inputs: a file that draws its own never answers as eager did."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from onnx_debug.data.failure import ClueKind, Failure
from onnx_debug.request.case import Case
from onnx_debug.request.inputs import forward_signature
from onnx_debug.runner.questions import Context, Question
from onnx_debug.session.fixes.change import Change, Cost
from onnx_debug.session.fixes.families.borders import parameters_of

_DRAWS = (torch.rand, torch.randn, torch.rand_like, torch.randn_like)
_MOST = 8  # inputs that a wrapper gets

_WRAPPER = '''import torch
from torch import nn
from torch.overrides import TorchFunctionMode

DRAWS = (torch.rand, torch.randn, torch.rand_like, torch.randn_like)


class Given(TorchFunctionMode):
    """In the place of each random tensor, the next of the given ones."""

    def __init__(self, noise):
        super().__init__()
        self.noise = iter(noise)

    def __torch_function__(self, function, types, args=(), kwargs=None):
        return next(self.noise) if function in DRAWS else function(*args, **(kwargs or {{}}))


class WithNoise(nn.Module):
    """The model, with its random numbers as inputs."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.training = model.training

    def forward(self, {taken}, {noise}):
        with Given([{noise}]):
            return self.model({given})


model = WithNoise(model)'''


@dataclass(frozen=True)
class Draw:
    """A tensor that the model draws.

    Attributes:
        function: "randn" or "rand".
    """

    function: str
    shape: tuple[int, ...]

    def make(self) -> torch.Tensor:
        """A tensor of this kind."""
        made: torch.Tensor = getattr(torch, self.function)(self.shape)
        return made

    def __str__(self) -> str:
        return f"torch.{self.function}({', '.join(map(str, self.shape))})"


@dataclass(frozen=True)
class LookForDraws(Question[tuple[Draw, ...]]):
    """Which random tensors does the model draw, in which order?"""

    def run(self, context: Context) -> tuple[Draw, ...]:
        """Run the model once, and watch."""
        case, watch = context.case, _Watch()
        with contextlib.suppress(Exception), torch.no_grad(), watch:
            case.model(*case.args, **case.kwargs)
        return tuple(watch.found)


class _Watch(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[Draw] = []

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        made = function(*args, **(kwargs or {}))
        if function in _DRAWS:
            self.found.append(
                Draw(function.__name__.removesuffix("_like"), tuple(map(int, made.shape)))
            )
        return made


@dataclass(frozen=True)
class PassTheNoise(Change):
    """The model's own argument for its noise.

    Attributes:
        name: of the parameter.
        draw: what the model draws where nothing is passed.
    """

    name: str
    draw: Draw

    @property
    def title(self) -> str:
        """What to do."""
        return f"pass {self.name}"

    @property
    def explanation(self) -> str:
        """What it changes."""
        return "The random numbers come in as an input of the file, by the argument that the model has for them."

    @property
    def cost(self) -> Cost:
        """One more input."""
        return Cost.PREPARATION

    @property
    def likely(self) -> bool:
        """It answers to what fails."""
        return True

    @property
    def new_answers(self) -> bool:
        """Those to the noise that is passed."""
        return True

    @property
    def is_call(self) -> bool:
        """One argument."""
        return True

    def apply(self, case: Case) -> Case:
        """With noise among the keyword inputs."""
        return replace(case, kwargs={**case.kwargs, self.name: self.draw.make()}, check_inputs=())

    def lines(self, case: Case) -> str:
        """What the user writes before the call."""
        del case
        return f"{self.name} = {self.draw}"


@dataclass(frozen=True)
class DrawOutside(Change):
    """A wrapper that takes what the model would draw.

    Attributes:
        draws: in the order in which the model draws them.
    """

    draws: tuple[Draw, ...]

    @property
    def title(self) -> str:
        """What to do."""
        return "make the random numbers inputs, by a module around the model"

    @property
    def explanation(self) -> str:
        """What it changes."""
        return "Each random tensor comes in as an input of the file, in the order in which the model draws it."

    @property
    def cost(self) -> Cost:
        """Some lines before the call, and more inputs."""
        return Cost.OPERATORS

    @property
    def likely(self) -> bool:
        """It answers to what fails."""
        return True

    @property
    def new_answers(self) -> bool:
        """Those to the noise that is passed."""
        return True

    @property
    def is_call(self) -> bool:
        """The call gets the noise too."""
        return True

    def apply(self, case: Case) -> Case:
        """With the model inside of the wrapper, by the very lines that are shown."""
        names: dict[str, Any] = {"model": case.model}
        exec(self._wrapper(case), names)
        noise = tuple(draw.make() for draw in self.draws)
        model = names["model"]
        return replace(case, model=model, args=(*case.args, *noise), check_inputs=())

    def lines(self, case: Case) -> str:
        """What the user writes."""
        made = (f"{name} = {draw}" for name, draw in zip(self._names(), self.draws, strict=True))
        return "\n".join([self._wrapper(case), *made])

    def _names(self) -> list[str]:
        return [f"noise_{number}" for number in range(len(self.draws))]

    def _wrapper(self, case: Case) -> str:
        taken, given = parameters_of(case.model)
        held = len(case.args)
        if taken[0].startswith("*"):
            taken = given = [f"input_{number}" for number in range(held)]
        return _WRAPPER.format(
            taken=", ".join(name.partition("=")[0] for name in taken[:held]),
            given=", ".join(given[:held]),
            noise=", ".join(self._names()),
        )


def proposals(case: Case, failure: Failure, draws: Sequence[Draw]) -> Iterator[Change]:
    """Where random numbers are what differs, and the request leaves room for more inputs."""
    random = any(clue.kind is ClueKind.RANDOM for clue in failure.clues)
    options = case.options
    named = options.get("dynamic_shapes") or options.get("dynamic_axes")
    if not random or not draws or named or options.get("input_names"):
        return
    signature = forward_signature(case.model)
    for name, parameter in signature.parameters.items() if signature is not None else ():
        if "noise" in name and parameter.default is None and case.kwargs.get(name) is None:
            yield PassTheNoise(name, draws[0])
            return
    if len(draws) <= _MOST and not case.kwargs:
        yield DrawOutside(tuple(draws))
