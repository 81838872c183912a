"""Models that fail to export, each of a few lines and named for its failure, with the answer that a diagnosis must give.

Found by experiment on torch 2.13. `CASES` is the table that most engine tests run over.
"""

from __future__ import annotations

import dataclasses
import os
import random
import signal
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.export import Dim

from onnx_debug.data.stage import Mode, Stage


class DataDependentBranch(nn.Module):
    def forward(self, x):
        if x.sum() > 0:
            return x
        return x * 2


class UntranslatedOperator(nn.Module):
    def forward(self, x):
        return x + torch.linalg.qr(x[0])[0].sum()


class DeadViewInTry(nn.Module):
    """The caught error leaves a node in the graph that fails when the graph is decomposed."""

    def forward(self, x):
        try:
            return x.view(-1, 7)
        except RuntimeError:
            return x * 1


class Block(nn.Module):
    def __init__(self, extra: nn.Module | None = None, width: int = 8) -> None:
        super().__init__()
        self.up, self.act, self.down = nn.Linear(width, width), nn.GELU(), nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.mix = nn.Sequential(nn.Linear(width, width), nn.ReLU())
        self.extra = extra or nn.Identity()

    def forward(self, x):
        return self.extra(self.norm(x + self.mix(self.down(self.act(self.up(x))))))


class Stack(nn.Module):
    """A chain of blocks; `faults` says which block gets which extra module."""

    def __init__(self, faults: dict[int, nn.Module] | None = None, depth: int = 3) -> None:
        super().__init__()
        self.stem = nn.Linear(8, 8)
        self.blocks = nn.ModuleList(Block((faults or {}).get(i)) for i in range(depth))
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


class ThreeFaults(Stack):
    """12 blocks, about 100 modules, a fault of another kind in three of them."""

    def __init__(self) -> None:
        super().__init__(
            {3: DataDependentBranch(), 7: UntranslatedOperator(), 10: DeadViewInTry()}, depth=12
        )


class OwnCodeOfParent(nn.Module):
    """The children are fine; the operator between them is not."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x):
        return self.second(torch.cummax(self.first(x), dim=-1).values)


class CallsTorchsOwn(nn.Module):
    """The guilty line stands in torch; the user can change the one that calls it."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.pool = nn.Linear(8, 8), nn.FractionalMaxPool2d(2, output_size=2)

    def forward(self, x):
        return self.pool(self.body(x))


class RootOwnCode(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(8, 8)

    def forward(self, x):
        return torch.linalg.qr(self.body(x))[0]


class SharedTwice(nn.Module):
    """One module under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.left = UntranslatedOperator()
        self.right = self.left

    def forward(self, x):
        return self.left(x) + self.right(x * 2)


class FailsOnSecondShape(nn.Module):
    """Fine for the shape of its first call, guilty with that of its second."""

    def forward(self, x):
        return torch.linalg.qr(x)[0] if x.shape[-1] == 4 else x


class CalledWithTwoShapes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.part = FailsOnSecondShape()

    def forward(self, x):
        return self.part(x).sum() + self.part(x[..., :4]).sum()


class NeverCalled(nn.Module):
    """Holds a broken module that does not run: nothing fails."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = nn.Linear(8, 8), DataDependentBranch()

    def forward(self, x):
        return self.used(x)


class HookedLinear(nn.Module):
    """The hook is guilty, not the layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)
        self.second.register_forward_hook(raise_on_nan)

    def forward(self, x):
        return self.second(self.first(x))


def raise_on_nan(module, args, output):
    if torch.isnan(output).any():
        raise FloatingPointError


@dataclasses.dataclass
class Pair:
    first: torch.Tensor
    second: torch.Tensor
    scale: int = 2


class MakesPair(nn.Module):
    def forward(self, x):
        return Pair(x * 2, x + 1)


class TakesPair(nn.Module):
    def forward(self, pair: Pair, *, extra: dict[str, Any]):
        return torch.cummax(pair.first, dim=-1).values * pair.scale + extra["bias"]


class DataclassInside(nn.Module):
    """Modules that hand each other a dataclass and a dict cannot be exported as they are; only one of them is guilty."""

    def __init__(self) -> None:
        super().__init__()
        self.make, self.take = MakesPair(), TakesPair()

    def forward(self, x):
        return self.take(self.make(x), extra={"bias": x, "note": "text", "none": None})


class KeepPositive(nn.Module):
    def forward(self, x):
        return x[x[:, 0] > 0]


class BranchOnRows(nn.Module):
    def forward(self, x):
        return x * 2 if x.shape[0] > 3 else x


class InteractionOfTwo(nn.Module):
    """Each child exports alone; the branch on the data-dependent number of rows fails only behind the filter."""

    def __init__(self) -> None:
        super().__init__()
        self.keep, self.refine = KeepPositive(), BranchOnRows()

    def forward(self, x):
        return self.refine(self.keep(x))


class Opaque:
    def __init__(self, value: torch.Tensor) -> None:
        self.value = value


class OpaqueOutput(nn.Module):
    """The whole model returns an object that the capture does not know; no line of user code is in the traceback."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(8, 8)

    def forward(self, x):
        return Opaque(self.body(x))


class FixesLength(nn.Module):
    """Silently turns a dynamic length into a number."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.randn(64))

    def forward(self, x):
        length = int(x.shape[1])
        return x + self.table[:length, None]


class DynamicLength(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.position = nn.Linear(8, 8), FixesLength()

    def forward(self, x):
        return self.position(self.first(x))


class WantsOneLength(nn.Module):
    def forward(self, x):
        if x.shape[1] != 5:
            raise ValueError
        return x


class LengthChecked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.check = nn.Linear(8, 8), WantsOneLength()

    def forward(self, x):
        return self.check(self.first(x))


class ReturnsNumber(nn.Module):
    def forward(self, x):
        return x.sum().int().item()


class RootUsesNumber(nn.Module):
    """The root's own code fails, but only on what a child returns."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.number = nn.Linear(8, 8), ReturnsNumber()

    def forward(self, x):
        if self.number(x) in {1, 2, 3}:
            return x
        return self.body(x)


class DoubleErf(nn.Module):
    """ONNX Runtime has no kernel for this type."""

    def forward(self, x):
        return torch.erf(x.double()).float()


class FrozenBranch(nn.Module):
    """The legacy exporter keeps the branch that the example took."""

    def forward(self, x):
        if x.mean() > 10:
            return x * 100
        return x


class DrawsNoise(nn.Module):
    def forward(self, x):
        return x + torch.randn_like(x)


class BakedRandom(nn.Module):
    """A Python random number becomes a constant of the graph."""

    def forward(self, x):
        return x + random.random()


class WrongInEager(nn.Module):
    def forward(self, x):
        return x @ torch.zeros(3, 3)


class KilledInCapture(nn.Module):
    """Dies while it is captured, and only then."""

    def forward(self, x):
        if torch.compiler.is_exporting():
            os.kill(os.getpid(), signal.SIGSEGV)
        return x


class HangsInCapture(nn.Module):
    def forward(self, x):
        while torch.compiler.is_exporting():
            time.sleep(0.01)
        return x


class ScriptedInside(nn.Module):
    """Holds a TorchScript module beside the guilty one."""

    def __init__(self) -> None:
        super().__init__()
        self.scripted = torch.jit.script(nn.Linear(8, 8))
        self.bad = DataDependentBranch()

    def forward(self, x):
        return self.bad(self.scripted(x))


class ThroughNumpy(nn.Module):
    """The non-strict capture refuses numpy; the strict one takes it, and the operator behind it fails in translation."""

    def forward(self, x):
        array = x.detach().numpy()
        return x + torch.from_numpy(np.argsort(array, axis=-1).copy())


class OrthogonalWeight(nn.Module):
    """A parametrization is guilty: a module that runs whenever the weight is read."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 8)
        self.turn = torch.nn.utils.parametrizations.orthogonal(nn.Linear(8, 8))

    def forward(self, x):
        return self.turn(self.first(x))


class Branches(nn.Module):
    """Dynamo traces the branches of a torch.cond, and the exporter does not say which module their operators belong to."""

    def __init__(self, other: nn.Module) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(8, 8), other

    def forward(self, x):
        return torch.cond(x.sum() > 1e6, lambda x: self.other(x) + 0, lambda x: self.one(x), (x,))


class Compiled(nn.Module):
    """What torch.compile would run as one piece is recorded call by call."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.bad = nn.Linear(8, 8), UntranslatedOperator()

    @torch.compile
    def forward(self, x):
        return self.bad(self.first(x))


class Quantised(nn.Sequential):
    """The packed weights are a TorchScript object, on which the capture stops before it runs the model."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(8, 8), torch.ao.nn.quantized.dynamic.Linear(8, 8), nn.ReLU())


class Lazy(nn.Sequential):
    """Weights that are made when the model first runs are the same in eager and in the export."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(8, 8), nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(8))


class Spectrum(nn.Module):
    def forward(self, x):
        return torch.stft(x.flatten(1), 16, return_complex=True, window=torch.ones(16)).abs()


class HookedOperator(nn.Sequential):
    """The stack traces of a capture hold no hooks."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8))
        self[1].register_forward_hook(spin)


def spin(module, args, output):
    return output + torch.linalg.qr(output)[0].sum()


class GivenForward(nn.Sequential):
    """One of two equal modules computes something else: its forward was replaced."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(8, 8), nn.Tanh(), nn.Tanh())
        self[2].forward = turn


def turn(x):
    return x + torch.linalg.qr(x[0])[0].sum()


class TakesNumber(nn.Module):
    """Tracing leaves out the input that it turned into a constant."""

    def forward(self, x):
        return self.pick(x, x.argmax())

    def __init__(self) -> None:
        super().__init__()
        self.pick = Pick()


class Pick(nn.Module):
    def forward(self, x, position):
        return x.flatten()[int(position)] + x


class FromDict(nn.Module):
    def forward(self, batch):
        return batch["x"] * batch["scale"]


class Transformed(nn.Module):
    """What a module gets under vmap cannot be recorded."""

    def __init__(self, bad: nn.Module) -> None:
        super().__init__()
        self.inner, self.bad = nn.Linear(8, 8), bad

    def forward(self, x):
        return self.bad(torch.func.vmap(self.inner)(x))


class ConvNet(nn.Module):
    """The small net of old introductions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 4, 3), nn.Linear(4, 10)

    def forward(self, image):
        return self.head(torch.relu(self.conv(image)).mean((2, 3)))


@dataclasses.dataclass(frozen=True)
class ZooCase:
    """One model with the answer that a diagnosis must give.

    Attributes:
        culprits: path -> whether its own code is at fault.
        line: part of the guilty line of the first culprit; empty: none is asked for.
    """

    name: str
    make: Callable[[], nn.Module]
    stage: Stage | None
    culprits: dict[str, bool] = dataclasses.field(default_factory=dict)
    line: str = ""
    shape: tuple[int, ...] = (2, 5, 8)
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    check_shapes: tuple[tuple[int, ...], ...] = ()
    check_scale: float = 1.0
    mode: Mode = Mode.ERROR
    timeout: float = 60.0

    def inputs(self) -> tuple[torch.Tensor, ...]:
        return (torch.randn(self.shape),)

    def check_inputs(self) -> list[tuple[torch.Tensor, ...]]:
        return [
            (
                torch.randn(shape) * self.check_scale
                + (self.check_scale if self.check_scale != 1 else 0),
            )
            for shape in self.check_shapes
        ]


_LEGACY = {"dynamo": False, "opset_version": 17}

CASES = [
    ZooCase("plain", Stack, None),
    ZooCase("never_called", NeverCalled, None),
    ZooCase(
        "branch",
        lambda: Stack({1: DataDependentBranch()}),
        Stage.CAPTURE,
        {"blocks.1.extra": True},
        "if x.sum() > 0:",
    ),
    ZooCase(
        "operator",
        lambda: Stack({0: UntranslatedOperator()}),
        Stage.TRANSLATE,
        {"blocks.0.extra": True},
        "torch.linalg.qr(x[0])",
    ),
    ZooCase(
        "dead_view",
        lambda: Stack({2: DeadViewInTry()}),
        Stage.TRANSLATE,
        {"blocks.2.extra": True},
        "x.view(-1, 7)",
    ),
    ZooCase(
        "own_code",
        lambda: Stack({1: OwnCodeOfParent()}),
        Stage.TRANSLATE,
        {"blocks.1.extra": True},
        "torch.cummax",
    ),
    ZooCase(
        "torch_s_own",
        CallsTorchsOwn,
        Stage.TRANSLATE,
        {"pool": True},
        "return self.pool(self.body(x))",
        shape=(2, 5, 8),
    ),
    ZooCase("root", RootOwnCode, Stage.TRANSLATE, {"": True}, "torch.linalg.qr"),
    ZooCase("shared", SharedTwice, Stage.TRANSLATE, {"left": True}, "torch.linalg.qr"),
    ZooCase(
        "second_shape", CalledWithTwoShapes, Stage.TRANSLATE, {"part": True}, "torch.linalg.qr"
    ),
    ZooCase("hook", HookedLinear, Stage.CAPTURE, {"second": True}, "torch.isnan(output).any()"),
    ZooCase("dataclass", DataclassInside, Stage.TRANSLATE, {"take": True}, "torch.cummax"),
    ZooCase(
        "interaction",
        lambda: nn.Sequential(InteractionOfTwo(), nn.ReLU()),
        Stage.CAPTURE,
        {"0": False},
        "x.shape[0] > 3",
        shape=(9, 4),
    ),
    ZooCase("root_with_child", RootUsesNumber, Stage.CAPTURE, {"": True}, "self.number(x)"),
    ZooCase("opaque_output", OpaqueOutput, Stage.CAPTURE, {"": True}),
    ZooCase(
        "fixed_length",
        DynamicLength,
        Stage.RUN,
        {"position": True},
        "int(x.shape[1])",
        options={"dynamic_shapes": {"x": {1: Dim("length", min=2, max=64)}}},
        check_shapes=((2, 9, 8),),
    ),
    ZooCase(
        "fixed_length_required",
        LengthChecked,
        Stage.CAPTURE,
        {"check": True},
        "x.shape[1] != 5",
        options={"dynamic_shapes": {"x": {1: Dim.DYNAMIC}}},
    ),
    ZooCase(
        "no_kernel",
        lambda: Stack({1: DoubleErf()}),
        Stage.LOAD,
        {"blocks.1.extra": True},
        "torch.erf(x.double())",
    ),
    ZooCase(
        "noise",
        lambda: nn.Sequential(nn.Linear(8, 8), DrawsNoise()),
        Stage.COMPARE,
        {"1": True},
        "torch.randn_like",
    ),
    ZooCase(
        "baked_random",
        lambda: nn.Sequential(nn.Linear(8, 8), BakedRandom()),
        Stage.COMPARE,
        {"1": True},
        "random.random()",
    ),
    ZooCase(
        "killed",
        lambda: Stack({1: KilledInCapture()}),
        Stage.CAPTURE,
        {"blocks.1.extra": True},
        mode=Mode.CRASH,
    ),
    ZooCase(
        "hangs",
        lambda: Stack({1: HangsInCapture()}),
        Stage.CAPTURE,
        {"blocks.1.extra": True},
        "while torch.",
        mode=Mode.TIMEOUT,
        timeout=8.0,
    ),
    ZooCase("scripted", ScriptedInside, Stage.CAPTURE, {"scripted": True, "bad": True}),
    ZooCase(
        "numpy",
        lambda: Stack({1: ThroughNumpy()}),
        Stage.TRANSLATE,
        {"blocks.1.extra": True},
        "np.argsort",
    ),
    ZooCase("cond", lambda: nn.Sequential(nn.Linear(8, 8), Branches(nn.Linear(8, 8))), None),
    ZooCase(
        "cond_operator",
        lambda: nn.Sequential(nn.Linear(8, 8), Branches(UntranslatedOperator())),
        Stage.TRANSLATE,
        {"1": True},
        "torch.cond(",
    ),
    ZooCase(
        "compiled",
        lambda: nn.Sequential(Compiled(), nn.Linear(8, 8)),
        Stage.TRANSLATE,
        {"0.bad": True},
        "torch.linalg.qr",
    ),
    ZooCase("lazy", Lazy, None),
    ZooCase("quantised", Quantised, Stage.CAPTURE, {"1": True}),
    ZooCase(
        "hook_operator", HookedOperator, Stage.TRANSLATE, {"1": True}, "torch.linalg.qr(output)"
    ),
    ZooCase("given_forward", GivenForward, Stage.TRANSLATE, {"2": True}, "torch.linalg.qr(x[0])"),
    ZooCase("vmap", lambda: Transformed(nn.Identity()), None),
    ZooCase(
        "vmap_operator",
        lambda: Transformed(UntranslatedOperator()),
        Stage.TRANSLATE,
        {"bad": True},
        "torch.linalg.qr",
    ),
    ZooCase(
        "parametrization",
        OrthogonalWeight,
        Stage.TRANSLATE,
        {"turn.parametrizations.weight.0": True},
    ),
    ZooCase(
        "legacy_operator",
        lambda: Stack({1: UntranslatedOperator()}),
        Stage.TRANSLATE,
        {"blocks.1.extra": True},
        "torch.linalg.qr",
        options=_LEGACY,
    ),
    ZooCase(
        "legacy_sequential",
        lambda: nn.Sequential(nn.Linear(8, 8), nn.Sequential(nn.ReLU(), Spectrum())),
        Stage.TRANSLATE,
        {"1.1": True},
        "torch.stft(",
        options=_LEGACY,
    ),
    ZooCase(
        "legacy_branch",
        lambda: nn.Sequential(FrozenBranch(), nn.Linear(8, 8)),
        Stage.COMPARE,
        {"0": True},
        "if x.mean() > 10:",
        options=_LEGACY,
        check_shapes=((2, 5, 8),),
        check_scale=1000.0,
    ),
    ZooCase(
        "legacy_torch_s_own",
        CallsTorchsOwn,
        Stage.TRANSLATE,
        {"pool": True},
        "return self.pool(self.body(x))",
        options=_LEGACY,
    ),
    ZooCase(
        "legacy_input_left_out",
        TakesNumber,
        Stage.COMPARE,
        {"pick": True},
        "int(position)",
        options=_LEGACY,
        check_shapes=((2, 5, 8),),
    ),
    ZooCase("legacy_plain", Stack, None, options=_LEGACY),
]
