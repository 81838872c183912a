"""A session that answers by heart: quick, the same every time, with a graph of any size. The kernel of the browser tests imports it."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

from onnx_debug.data.culprit import Culprit, Proof, ProofKind
from onnx_debug.data.diagnosis import Diagnosis, SearchState, Step
from onnx_debug.data.errors import PausedError
from onnx_debug.data.events import CulpritFound, Started, TrialFinished, TrialStarted
from onnx_debug.data.failure import Failure, Source
from onnx_debug.data.module_info import ModuleCall, ModuleInfo, TensorInfo
from onnx_debug.data.outcome import Outcome, Trial
from onnx_debug.data.stage import Mode, Stage, Verdict
from onnx_debug.onnx_file import display
from onnx_debug.torch_private import onnx_metadata

GUILTY = ("blocks.1.extra", "blocks.3.extra")
PARTS = ("attention", "norm", "mlp", "extra")


def failure(stage: Stage = Stage.TRANSLATE) -> Failure:
    return Failure(
        stage,
        Mode.ERROR,
        "s",
        "DispatchError",
        "No ONNX function found",
        "aten::linalg_qr.default",
        details="Traceback …\n" * 30,
    )


def forward(x: float) -> float:
    """What every module of the model computes."""
    return x + 1


FORWARD = Source(
    __file__, forward.__code__.co_firstlineno, "def forward(x: float) -> float:", "forward"
)


def modules(blocks: int = 6) -> tuple[ModuleInfo, ...]:
    inner = [
        ModuleInfo(
            f"blocks.{i}{part and '.' + part}",
            "Bad" if part == "extra" else "Part",
            calls=1,
            parameters=256,
            forward=FORWARD,
        )
        for i in range(blocks)
        for part in ("", *PARTS)
    ]
    ends = (
        ModuleInfo("", "Net", calls=1, parameters=99_000),
        ModuleInfo("blocks", "ModuleList", parameters=90_000),
    )
    return (*ends, *inner, ModuleInfo("head", "Linear", calls=1, parameters=640))


X = TensorInfo("x", "float32", (2, 8, 16), ("batch", 8, 16), min=-2.9, max=3.1)
Y = replace(X, name="0", nan_count=3)
CALLS = (
    ModuleCall(0, (X,), (Y,)),
    ModuleCall(
        2,
        (replace(X, shape=(2, 9, 16), symbolic_shape=("batch", 9, 16)),),
        (replace(Y, shape=(2, 9, 16), symbolic_shape=()),),
    ),
)


def culprit(fqn: str, **rest: Any) -> Culprit:
    given = {
        "source": replace(FORWARD, line=FORWARD.line + 2, text="return x + 1"),
        "inputs": (X,),
        "outputs": (Y,),
        "op": "aten::linalg_qr.default",
        "calls": CALLS,
        **rest,
    }
    return Culprit(
        fqn,
        "Bad",
        True,
        Proof(ProofKind.ALONE, own_code_trial=True, necessary=True),
        failure(),
        **given,
    )


def graph(path: Path, nodes: int, blocks: int = 6, placeholders: Iterable[str] = GUILTY) -> str:
    """A chain of `nodes` nodes, shared out evenly over the parts of the blocks."""
    owners = [f"blocks.{i}.{part}" for i in range(blocks) for part in PARTS]
    made = []
    stubbed = set(placeholders)
    for i in range(nodes):
        owner = owners[i * len(owners) // nodes]
        if owner in stubbed:
            stubbed.discard(owner)
            made.append(
                helper.make_node(
                    "Bad", [f"v{i}"], [f"v{i + 1}"], name=f"n{i}", domain="onnx_debug", module=owner
                )
            )
        else:
            owner = owner.replace("extra", "mlp") if owner in placeholders else owner
            made.append(
                helper.make_node("Add", [f"v{i}", f"v{i - i % 6}"], [f"v{i + 1}"], name=f"n{i}")
            )
            made[-1].metadata_props.add(
                key="pkg.torch.onnx.name_scopes", value=repr(["", "blocks", owner, f"add_{i}"])
            )
    ends = [
        helper.make_tensor_value_info(value, TensorProto.FLOAT, ["batch", 16])
        for value in ("v0", f"v{nodes}")
    ]
    onnx.save(helper.make_model(helper.make_graph(made, "g", ends[:1], ends[1:])), path)
    return str(path)


def captured(path: Path, fqn: str) -> str:
    """A culprit's own graph: three operators, the last of which failed."""
    made = [
        helper.make_node(op, [f"v{i}"], [f"v{i + 1}"], name=op, domain="aten")
        for i, op in enumerate(("mul", "relu", "linalg_qr"))
    ]
    for node in made:
        node.metadata_props.add(key=onnx_metadata.NAME_SCOPES, value=repr(["", fqn, node.name]))
    made[-1].metadata_props.add(key=display.FAILING, value="yes")
    ends = [
        helper.make_tensor_value_info(value, TensorProto.FLOAT, [2, 8]) for value in ("v0", "v3")
    ]
    onnx.save(helper.make_model(helper.make_graph(made, "captured", ends[:1], ends[1:])), path)
    return str(path)


class FakeSession:
    """Finds the two culprits in six trials."""

    def __init__(
        self, nodes: int = 40, pause: float = 0.05, blocks: int = 6, own_graphs: bool = True
    ) -> None:
        self.on_event: Callable[[Any], None] = lambda event: None
        self.finished = False
        self.closed, self.rests = False, 0
        self.known_at = 0.0
        self._pause, self._own_graphs = pause, own_graphs
        self._modules = modules(blocks)
        self._pausing = threading.Event()
        self._temporary = tempfile.TemporaryDirectory()
        self._folder = Path(self._temporary.name)
        self._path = graph(self._folder / "model.onnx", nodes, blocks)
        self._steps: list[Step] = []
        self._found: tuple[Culprit, ...] = ()
        self._begun = time.time()
        self._search = SearchState.NOT_BEGUN
        self._plan = [
            ("", (), Verdict.FAILED, "export the whole model"),
            ("blocks.1.extra", (), Verdict.FAILED, "does blocks.1.extra fail alone?"),
            ("", GUILTY[:1], Verdict.FAILED, "check the rest of the model"),
            ("blocks.2", (), Verdict.PASSED, "does blocks.2 fail alone?"),
            ("blocks.3.extra", (), Verdict.FAILED, "another Bad: does it fail alone too?"),
            ("", GUILTY, Verdict.PASSED, "check the rest of the model"),
        ]

    @property
    def diagnosis(self) -> Diagnosis:
        return Diagnosis(
            "Net",
            failure=failure() if self._steps else None,
            culprits=self._found,
            sufficient=True if self.finished else None,
            onnx_path=self._path if self._found else None,
            search=self._search,
            stages=Outcome(failure()).stages if self._steps else (),
            trials=tuple(self._steps),
            modules=self._modules,
            log="[torch.onnx] Obtain model graph\n<b>raw</b>\n[torch.onnx] Translate\nboom"
            if self._steps
            else "",
            seconds=time.time() - self._begun,
        )

    def step(self) -> Step | None:
        self._pausing.clear()
        made = self._try_step()
        self._search = SearchState.FINISHED if self.finished else SearchState.PAUSED
        return made

    def _try_step(self) -> Step | None:
        try:
            return self._step()
        except PausedError:
            return None

    def _step(self) -> Step | None:
        if self.finished:
            return None
        if self._search is SearchState.NOT_BEGUN:
            self.on_event(Started(len(self._modules)))
        self._search = SearchState.RUNNING
        made = self._answer(*self._plan[0])
        self._plan.pop(0)
        if made.module in GUILTY:
            own = (
                captured(self._folder / f"{made.module}.onnx", made.module)
                if self._own_graphs
                else None
            )
            self._found = (*self._found, culprit(made.module, graph_path=own))
            self.known_at = self.known_at or time.time()
            self.on_event(CulpritFound(self._found[-1]))
        self.finished = not self._plan
        return made

    def run(self) -> Diagnosis:
        self._pausing.clear()
        while self._try_step() is not None:
            pass
        self._search = SearchState.FINISHED if self.finished else SearchState.PAUSED
        return self.diagnosis

    def probe(self, module: str, stubs: Iterable[str] = ()) -> Step:
        if module == "head":
            raise ValueError("the model has no module 'head'")
        stubs = tuple(stubs)
        self._pausing.clear()
        return self._answer(
            module,
            stubs,
            Verdict.PASSED if set(GUILTY) <= set(stubs) else Verdict.FAILED,
            "you asked",
        )

    def calls(self, module: str) -> tuple[ModuleCall, ...]:
        return CALLS if module in GUILTY else CALLS[:1]

    def pause(self) -> None:
        self._pausing.set()

    def rest(self) -> None:
        self.rests += 1

    def close(self) -> None:
        self.closed = True
        self._pausing.set()

    def _answer(self, module: str, stubs: tuple[str, ...], answer: Verdict, why: str) -> Step:
        self.on_event(TrialStarted(len(self._steps) + 1, Trial(module, frozenset(stubs)), why))
        if self._pausing.wait(self._pause):
            raise PausedError
        failed = answer is Verdict.FAILED
        step = Step(
            module,
            stubs,
            0,
            why,
            answer,
            self._pause,
            Stage.TRANSLATE if failed else None,
            Mode.ERROR if failed else None,
            "boom",
        )
        self._steps.append(step)
        self.on_event(TrialFinished(len(self._steps), step))
        return step
