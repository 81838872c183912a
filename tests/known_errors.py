"""A small failing model for each entry of the error knowledge: code -> how to make the case."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.export import Dim

from onnx_debug.data.failure import Clue, ClueKind, Failure
from onnx_debug.data.stage import Mode, Stage
from onnx_debug.render.knowledge.entry import Facts
from tests import zoo


class Computes(nn.Module):
    """A module whose forward is one function."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@dataclass(frozen=True)
class KnownError:
    """How to see one entry.

    Attributes:
        make: the model, or the function that its forward is.
        args: what makes its inputs; two rows of eight random numbers where nothing is said.
        isolate: it needs a process of its own, because it does not survive.
        within: what the call stands in.
    """

    code: str
    make: Callable[..., Any]
    args: Callable[[], tuple[Any, ...]] = field(default=lambda: (torch.randn(2, 8),))
    options: dict[str, Any] = field(default_factory=dict)
    isolate: bool = False
    within: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext

    def model(self) -> nn.Module:
        is_class = isinstance(self.make, type)
        model = self.make() if is_class else Computes(self.make)
        return model.eval()


def _legacy(**options: Any) -> dict[str, Any]:
    return {"dynamo": False, **options}


_ROWS = _legacy(input_names=["x"], dynamic_axes={"x": {0: "n"}})


def positive() -> tuple[Any, ...]:
    return (torch.rand(2, 8) + 0.5,)


# --- the model itself


def refuses(x):
    if x.shape[-1] != 9:
        raise ValueError("nine columns are needed")
    return x


def same_memory(x):
    return torch.cond(x.sum() > 0, lambda x: x[:1], lambda x: x, (x,))


EAGER = [
    KnownError("OD001", refuses),
    KnownError("OD002", lambda x: F.embedding(torch.tensor([99]), torch.ones(3, 3)) + x.sum()),
    KnownError("OD003", lambda x: F.linear(None, x)),
    KnownError("OD004", lambda x: x.no_such_thing),
    KnownError("OD005", lambda x: x.abs().to(torch.uint16) + 1),
    KnownError("OD006", same_memory),
    KnownError("OD007", lambda x: x @ torch.zeros(3, 3)),
    KnownError("OD009", lambda x: x * (1 // 0)),
]


# --- capture


def branch(x):
    if x.sum() > 0:
        return x
    return x * 2


def number(x):
    return [x, x * 2][int(x.sum() > 0)]


def branch_on_size(x):
    kept = x[x > 0]
    if kept.shape[0] > 3:
        return kept * 2
    return kept


def loop(x):
    while x.sum() < 100:
        x = x * 2 + 1
    return x


# A class without a file.
_made: dict[str, Any] = {"torch": torch}
exec(
    "class Unreadable(torch.nn.Module):\n"
    "    def forward(self, x):\n"
    "        return x if x.sum() > 0 else x * 2",
    _made,
)
Unreadable = _made["Unreadable"]


def deep(x, depth=0):
    ends = depth > 3000 or not torch.compiler.is_exporting()
    return x if ends else deep(x, depth + 1)


def refuses_exports(x):
    assert not torch.compiler.is_exporting()
    return x


def memory(x):
    return x + x.data_ptr() % 2


class HasNoShape:
    """A custom operator without a fake kernel."""

    library = torch.library.Library("known_errors", "DEF")

    @classmethod
    def define(cls) -> None:
        cls.library.define("twice(Tensor x) -> Tensor")
        cls.library.impl("twice", lambda x: x * 2, "CPU")
        cls.library.define("thrice(Tensor x) -> Tensor")
        cls.library.impl("thrice", lambda x: x * 3, "CPU")
        cls.library.impl("thrice", torch.empty_like, "Meta")


HasNoShape.define()


class Counts(nn.Module):
    """Wants one size for a dimension that is asked to be dynamic."""

    def forward(self, x):
        return x.reshape(2, 4, 2)


CAPTURE = [
    KnownError("OD101", branch),
    KnownError("OD102", number),
    KnownError("OD103", branch_on_size),
    KnownError("OD104", loop),
    KnownError("OD105", Unreadable),
    KnownError(
        "OD107",
        lambda x: F.ctc_loss(
            x[:, None].log_softmax(-1), torch.tensor([[1]]), torch.tensor([2]), torch.tensor([1])
        ),
    ),
    KnownError("OD108", lambda x: torch.ops.known_errors.twice(x)),
    KnownError("OD109", Counts, options={"dynamic_shapes": {"x": {0: Dim.DYNAMIC}}}),
    KnownError("OD110", lambda x: zoo.Opaque(x)),
    KnownError("OD111", zoo.Quantised),
    KnownError("OD112", deep),
    KnownError("OD113", refuses_exports),
    KnownError("OD115", lambda x: {0: x, 1: x * 2}[(x.sum() > 0).long().item()]),
    KnownError("OD100", memory),
]


# --- translation


def two_faults(x):
    """A later opset would not be enough."""
    return torch.linalg.qr(x.unflatten(1, (2, 4)))[0]


def broken(*_: Any) -> None:
    raise TypeError("not a number")


def complex_exponential(x):
    return torch.exp(torch.complex(x, x)).real


def counted(x):
    return torch.bincount((x > 0).long().flatten())


def packed(x):
    lengths = torch.tensor([8, 7])
    return nn.utils.rnn.pack_padded_sequence(x[..., None], lengths, batch_first=True).data


TRANSLATE = [
    KnownError("OD203", two_faults, options=_legacy(opset_version=11)),
    KnownError("OD204", complex_exponential),
    KnownError("OD202", lambda x: torch.ops.known_errors.thrice(x)),
    KnownError("OD201", lambda x: torch.frexp(x)[0]),
    KnownError(
        "OD205",
        lambda x: torch.stft(x, 4, return_complex=True, window=torch.ones(4)).abs(),
        options=_legacy(),
    ),
    KnownError(
        "OD206",
        lambda x: torch.relu(x),
        options={"custom_translation_table": {torch.ops.aten.relu.default: broken}},
    ),
    KnownError("OD207", lambda x: (x, "text")),
    KnownError("OD210", lambda x: torch.linalg.qr(x)[0]),
    KnownError("OD211", lambda x: torch.cummax(x, -1)[0]),
    KnownError("OD212", lambda x: torch.median(x)),
    KnownError("OD213", lambda x: torch.searchsorted(x.sort()[0], x)),
    KnownError("OD214", lambda x: torch.lgamma(x), positive),
    KnownError("OD215", lambda x: torch.special.bessel_j0(x)),
    KnownError("OD216", lambda x: torch.erfinv(x / 9)),
    KnownError("OD217", lambda x: torch.cdist(x, x)),
    KnownError("OD218", lambda x: F.fractional_max_pool2d(x[None, None], 2, output_size=1)),
    KnownError("OD219", lambda x: torch.fft.rfft(x).abs(), options=_legacy()),
    KnownError("OD220", lambda x: torch.polar(x, x).real, options=_legacy()),
    KnownError("OD221", lambda x: torch.poisson(x), positive),
    KnownError("OD222", lambda x: x.to_sparse().to_dense()),
    KnownError("OD223", packed),
    KnownError("OD224", zoo.Quantised, options=_legacy()),
    KnownError("OD225", counted, options=_legacy()),
    KnownError(
        "OD226",
        lambda x: F.multilabel_margin_loss(x, torch.zeros(2, 8, dtype=torch.long)),
        options=_legacy(),
    ),
    KnownError(
        "OD227",
        lambda x: F.interpolate(x[None, None], size=(5, 5), mode="bicubic", antialias=True),
        options=_legacy(),
    ),
    KnownError("OD230", lambda x: torch.fake_quantize_per_tensor_affine(x, 0.1, 0, -8, 7)),
]


# --- the request


def unflattened(x):
    return x.unflatten(1, (2, 4))


class Sums(nn.Module):
    def forward(self, x, y):
        return x.sum() + y.sum()


class Scales(nn.Module):
    def forward(self, boxes, sizes):
        return boxes * torch.cat([sizes, sizes], -1)


class ScaledConv(nn.Module):
    """Under autocast the legacy exporter meets a constant of a type that it cannot write."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.gain = nn.Conv2d(3, 4, 3), nn.Parameter(torch.tensor(1.5))

    def forward(self, x):
        return self.conv(x) * self.gain


class Scripted:
    """What torch.jit makes of a layer."""

    def __new__(cls):
        return torch.jit.script(nn.Linear(8, 8))


class Layer(nn.Linear):
    def __init__(self) -> None:
        super().__init__(8, 8)


REQUEST = [
    KnownError("OD301", Layer, options={"dynamic_shapes": {"y": {0: "batch"}}}),
    KnownError("OD302", Layer, options={"dynamic_shapes": {"input": {0: Dim("batch", min=5)}}}),
    KnownError(
        "OD303",
        Sums,
        lambda: (torch.randn(2, 8), torch.randn(3, 8)),
        {"dynamic_shapes": {"x": {0: (rows := Dim("rows"))}, "y": {0: rows}}},
    ),
    KnownError(
        "OD304",
        Scales,
        lambda: (torch.randn(3, 4), torch.randn(3, 2)),
        {"dynamic_shapes": {"boxes": {0: Dim("N")}, "sizes": {0: Dim("M")}}},
    ),
    KnownError("OD305", Layer, options=_legacy(dynamic_shapes={"input": {0: "batch"}})),
    KnownError("OD306", Layer, options={"dynamic_axes": {"picture": {0: "b"}, "label": {0: "b"}}}),
    KnownError("OD307", Layer, options=_legacy(opset_version=99)),
    KnownError("OD308", unflattened, options=_legacy(opset_version=11)),
    KnownError("OD309", Layer, options={"input_names": ["a", "b", "c"]}),
    KnownError("OD310", Layer, options={"custom_translation_table": {torch.ops.aten.addmm: 1}}),
    KnownError("OD311", Scripted),
    KnownError(
        "OD312",
        ScaledConv,
        lambda: (torch.randn(1, 3, 8, 8),),
        _legacy(),
        within=lambda: torch.autocast("cpu", torch.bfloat16),
    ),
    KnownError("OD300", lambda x: x, lambda: (zoo.Opaque(torch.ones(2)),)),
]


# --- loading and running


RUNTIME = [
    KnownError("OD401", zoo.DoubleErf),
    KnownError("OD402", lambda x: (x * 9).to(torch.int8) @ (x * 9).to(torch.int8).T),
    KnownError("OD403", lambda x: None),
    KnownError(
        "OD411",
        zoo.FixesLength,
        lambda: (torch.randn(2, 5, 8),),
        {"dynamic_shapes": {"x": {1: Dim("length", min=2, max=64)}}},
    ),
    KnownError("OD410", lambda x: sum(x.unbind(0)), options=_ROWS),
]


# --- numbers


def branch_on_rows(x):
    return x * 2 if x.shape[0] > 2 else x + 1


class Waves(nn.Sequential):
    """Every layer makes much of the last digits."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(*[Wave() for _ in range(24)])
        self.half()


class Wave(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(16, 16)

    def forward(self, x):
        return torch.sin(self.body(x + 0.1 * F.hardswish(x)) * 3)


NUMBERS = [
    KnownError("OD511", branch, options=_legacy()),
    KnownError("OD512", lambda x: x[: int(x.abs().sum())], options=_legacy()),
    KnownError("OD513", branch_on_rows, options=_ROWS),
    KnownError("OD514", loop, options=_legacy()),
    KnownError("OD504", Waves, lambda: (torch.randn(4, 16).half(),), {"atol": 1e-3, "rtol": 1e-3}),
    KnownError(
        "OD501",
        lambda x: x.index_put((torch.tensor([0, 0]),), x[:2], accumulate=True),
        options=_legacy(),
    ),
    KnownError(
        "OD502",
        lambda x: x.scatter_reduce(1, torch.zeros(2, 8, dtype=torch.long), x, "mean"),
    ),
    KnownError("OD505", lambda x: x + random.random()),
    KnownError("OD500", lambda x: torch.cumsum(x.bfloat16(), -1)),
]


# --- crashes, hangs, memory


def dies(x):
    if torch.compiler.is_exporting():
        os.kill(os.getpid(), signal.SIGSEGV)
    return x


def hangs(x):
    while torch.compiler.is_exporting():
        time.sleep(0.01)
    return x


def grows(x):
    held = []
    while torch.compiler.is_exporting():
        held.append(bytearray(50_000_000))
    return x


PROCESS = [
    KnownError("OD601", dies, isolate=True),
    KnownError("OD611", hangs, options={"timeout": 4.0}, isolate=True),
    KnownError("OD621", grows, options={"memory_limit": 600_000_000}, isolate=True),
]

# No small model is known on torch 2.13 in which one of these alone holds.
FROM_FACTS = {
    "OD290": Facts(Failure(Stage.OPTIMIZE, Mode.ERROR, "key", "ValueError")),
    "OD503": Facts(Failure(Stage.COMPARE, Mode.ERROR, "key"), Clue("", ClueKind.BAKED)),
    "OD515": Facts(Failure(Stage.COMPARE, Mode.ERROR, "key"), Clue("", ClueKind.TRACER_WARNING)),
    "OD602": Facts(Failure(Stage.RUN, Mode.CRASH, "key")),
}

ALL = [*EAGER, *CAPTURE, *TRANSLATE, *REQUEST, *RUNTIME, *NUMBERS, *PROCESS]
