"""The work on one case inside one process: running the model in eager, answering a trial, describing what was recorded.

Nothing here knows about processes; `isolation.py` spreads it over forks, `inprocess.py` does it where the user is.
"""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import onnx
import torch

from onnx_debug import clues, options
from onnx_debug.case import Case, forward_signature
from onnx_debug.diagnosis import ModuleInfo, TensorInfo
from onnx_debug.outcome import Clue, ClueKind, Failure, Mode, Outcome, Stage, Trial, signature
from onnx_debug.packing import unpack
from onnx_debug.recording import Call, CloneOnce, Leaf, ModuleNames, Recorder, Recording, recorded
from onnx_debug.stages import runtime
from onnx_debug.target import Progress
from onnx_debug.tree import CallInfo, Tree
from onnx_debug.verify.draws import drawing_lines
from onnx_debug.verify.randomness import other_random_numbers


@dataclass(frozen=True)
class EagerReport:
    """What is left of an eager run without its values; plain data that can go to another process."""

    outcome: Outcome
    modules: tuple[ModuleInfo, ...] = ()
    calls: tuple[CallInfo, ...] = ()

    def tree(self) -> Tree:
        """The module tree as the search sees it."""
        return Tree(self.modules, self.calls)


@dataclass
class EagerRun:
    """One run of the model, with everything its modules received and returned."""

    recording: Recording
    outcome: Outcome
    names: ModuleNames

    def report(self) -> EagerReport:
        """The run without its values."""
        tree = self.recording.tree(self.names)
        return EagerReport(self.outcome, tuple(tree.modules.values()), tree.calls)

    def slim(self, fqns: Iterable[str]) -> Recording:
        """The recording with the values of some modules only."""
        wanted = set(fqns)
        return Recording([call if call.fqn in wanted else replace_values(call) for call in self.recording.calls])

    def digests(self) -> list[tuple[str, str, str]]:
        """(path, digest of the inputs, digest of the outputs) of every call, in the order in which the calls returned."""
        return [(call.fqn, _digest(call.arguments), _digest(call.output)) for call in completion_order(self.recording)]


def replace_values(call: Call) -> Call:
    """The call without its values."""
    return dataclasses.replace(call, arguments=None, output=None)


def run_eager(case: Case, index: int, progress: Progress, *, seed: int | None = None) -> EagerRun:
    """Run the model once on the inputs `case.inputs[index]` and keep what passes between its modules.

    Args:
        seed: seed for torch's random numbers; None leaves them as the user had them.
    """
    names = ModuleNames(case.model)
    recorder = Recorder(names, CloneOnce(), progress.modules)
    if seed is not None:
        torch.manual_seed(seed)
    args, kwargs = case.inputs[index]
    progress.stage(Stage.EAGER)
    failure = None
    try:
        # A Python or NumPy number that the exporter bakes in must not be the one that eager happens to draw.
        with other_random_numbers(1 if seed is None else seed + 1), recorded(recorder):
            case.model(*args, **kwargs)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the user's model raises is the answer
        failure = _eager_failure(error, names)
    return EagerRun(recorder.recording, Outcome(failure, passed=() if failure else (Stage.EAGER,)), names)


def _eager_failure(error: BaseException, names: ModuleNames) -> Failure:
    innermost = clues.exception_chain(error)[0]
    kind = type(innermost).__name__
    found = tuple(clues.from_exception(error, clues.Locator(names)))
    details = "".join(traceback.format_exception(error))
    return Failure(Stage.EAGER, Mode.ERROR, signature(Stage.EAGER, Mode.ERROR, kind), kind, str(innermost), None, found, details)


def completion_order(recording: Recording) -> list[Call]:
    """The calls in the order in which they returned: children before the module that called them."""
    children: dict[int | None, list[int]] = {}
    for position, call in enumerate(recording.calls):
        children.setdefault(call.parent, []).append(position)

    def walk(above: int | None) -> Iterator[Call]:
        for position in children.get(above, ()):
            yield from walk(position)
            yield recording.calls[position]

    return list(walk(None))


def _digest(packed: Any) -> str:
    if packed is None:
        return ""
    found = hashlib.sha1(packed.template, usedforsecurity=False)
    for leaf in packed.leaves:
        plain = leaf.detach().cpu() if isinstance(leaf, torch.Tensor) else leaf
        if isinstance(plain, torch.Tensor) and plain.layout is torch.strided and plain.numel():
            found.update(plain.contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        else:
            found.update(repr(plain).encode())
    return found.hexdigest()


def random_modules(one: list[tuple[str, str, str]], other: list[tuple[str, str, str]]) -> list[Clue]:
    """The innermost module that returns something else for equal inputs: it draws random numbers."""
    for (fqn, given, returned), (again, given_again, returned_again) in zip(one, other, strict=False):
        if fqn == again and given == given_again and returned != returned_again:
            return [Clue(fqn, ClueKind.RANDOM, reason="draws random numbers: eager itself answers differently each time")]
    return []  # what comes after that one got other inputs, or holds it


def with_drawing_line(random: Clue, case: Case) -> Clue:
    """The clue with the line that draws, if it is one of the module's own, or below one. Runs the model once."""
    names = ModuleNames(case.model)
    found = next((clue for clue in drawing_lines(case, clues.Locator(names)) if clue.fqn == random.fqn), random)
    return replace(found, reason=random.reason)


def describe(run: EagerRun, traced: dict[str, list[Call]], fqn: str, index: int) -> tuple[tuple[TensorInfo, ...], tuple[TensorInfo, ...]]:
    """The tensors that went into and came out of one call."""
    call = next((found for found in run.recording.of(fqn) if found.index == index), None)
    if call is None or call.arguments is None:
        return (), ()
    seen = next((found for found in traced.get(fqn, ()) if found.index == index), None)
    args, kwargs = unpack(call.arguments.template, call.arguments.leaves)
    inputs = _describe_all(_named_arguments(run.names, fqn, args, kwargs), call.arguments.leaves, seen.arguments if seen else None)
    if call.output is None:
        return inputs, ()
    output = unpack(call.output.template, call.output.leaves)
    return inputs, _describe_all({"": output}, call.output.leaves, seen.output if seen else None)


def _named_arguments(names: ModuleNames, fqn: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    found = forward_signature(names.modules[fqn])
    try:
        bound = (found or inspect.Signature()).bind(*args, **kwargs)
    except TypeError:
        return {**{str(position): value for position, value in enumerate(args)}, **kwargs}
    return dict(bound.arguments)


def _describe_all(values: dict[str, Any], leaves: Iterable[Any], seen: Any) -> tuple[TensorInfo, ...]:
    positions = {id(leaf): position for position, leaf in enumerate(leaves)}
    symbols = seen.leaves if seen is not None else ()
    found = []
    for name, tensor in _named_tensors(values):
        position = positions.get(id(tensor), len(symbols))
        known = symbols[position] if position < len(symbols) and isinstance(symbols[position], Leaf) else None
        found.append(_describe_tensor(name, tensor, known.sizes if known is not None and len(known.sizes) == tensor.dim() else ()))
    return tuple(found)


def _named_tensors(value: Any, name: str = "", depth: int = 0) -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(value, torch.Tensor):
        yield name or "0", value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _named_tensors(item, f"{name}[{key!r}]" if name else str(key), depth + 1)
    elif isinstance(value, tuple | list):
        for position, item in enumerate(value):
            yield from _named_tensors(item, f"{name}[{position}]" if name else str(position), depth + 1)
    elif depth < 4 and hasattr(value, "__dict__") and not callable(value):
        for key, item in vars(value).items():
            yield from _named_tensors(item, f"{name}.{key}" if name else key, depth + 1)


def _describe_tensor(name: str, tensor: torch.Tensor, symbols: tuple[int | str, ...]) -> TensorInfo:
    dtype = str(tensor.dtype).removeprefix("torch.")
    low = high = None
    nan = 0
    if tensor.layout is torch.strided and not tensor.is_complex() and tensor.dtype is not torch.bool and tensor.numel():
        plain = tensor.detach().to(torch.float64)
        finite = plain[plain.isfinite()]
        nan = int(plain.isnan().sum())
        low, high = (float(finite.min()), float(finite.max())) if finite.numel() else (None, None)
    return TensorInfo(name, dtype, tuple(tensor.shape), symbols, str(tensor.device), low, high, nan)


def reread_request(case: Case) -> tuple[tuple[str, ...], Case | None, str]:
    """What is wrong with the request, the case with the request that was meant, and that call spelled out."""
    wrong = options.problems(case.model, case.args, case.kwargs, case.options, dynamo=case.dynamo)
    better = options.corrected(case.model, case.args, case.kwargs, case.options, dynamo=case.dynamo)
    if better is None:
        return tuple(map(str, wrong)), None, ""
    found = forward_signature(case.model)
    names = list(found.parameters) if found is not None else []
    given = [names[position] if position < len(names) else f"input_{position}" for position in range(len(case.args))]
    call = options.call_text("model", given, {name: name for name in case.kwargs}, better)
    return tuple(map(str, wrong)), replace(case, options=better), call


def first_wrong_module(case: Case, run: EagerRun, path: Path, index: int, locator: clues.Locator) -> list[Clue]:
    """The first module whose inputs ONNX computes right and whose output it does not: one session, all values returned."""
    values = _all_values(case, path, index)
    if values is None:
        return []
    for call in completion_order(run.recording):
        if call.arguments is None or call.output is None or not call.output.tensors():
            continue
        if _computed(call.arguments.tensors(), values, case) and not _computed(call.output.tensors(), values, case):
            return [
                Clue(call.fqn, ClueKind.VALUE, _line_of(path, call.fqn, locator), reason="gets the right inputs and returns wrong numbers")
            ]
    return []


def _all_values(case: Case, path: Path, index: int) -> dict[int, list[torch.Tensor]] | None:
    """Every intermediate value of the exported model, by number of elements."""
    model = onnx.load(path, load_external_data=False)
    names = [name for node in model.graph.node for name in node.output if name]
    try:
        runnable = runtime.make_runnable(path, also=names)
        feeds = runtime.feeds_for(runnable, runtime.graph_leaves(case, case.inputs[index]), case.options.get("input_names") or ())
        found = runtime.run_session(runtime.open_session(runnable.path), runnable.outputs, feeds)
    except Exception:  # noqa: BLE001 - without the values there is no clue, and bisection goes on
        return None
    values: dict[int, list[torch.Tensor]] = {}
    for tensor in [*found, *feeds.values(), *(_as_value(p) for p in (*case.model.parameters(), *case.model.buffers()))]:
        values.setdefault(tensor.numel(), []).append(tensor)
    return values


def _as_value(tensor: torch.Tensor) -> torch.Tensor:
    return torch.view_as_real(tensor.detach().resolve_conj()) if tensor.is_complex() else tensor.detach()


def _computed(tensors: list[torch.Tensor], values: dict[int, list[torch.Tensor]], case: Case) -> bool:
    """Whether each tensor is among the values, in any layout: the exporter may transpose, so sorted elements are compared."""
    return all(_among(_as_value(tensor), values.get(_as_value(tensor).numel(), []), case) for tensor in tensors)


def _among(tensor: torch.Tensor, candidates: list[torch.Tensor], case: Case) -> bool:
    if not tensor.numel():
        return True
    wanted = tensor.reshape(-1).to(torch.float64)
    atol = 1e-3 if case.atol is None else case.atol
    rtol = 1e-3 if case.rtol is None else case.rtol
    ordered = wanted.sort().values
    for candidate in candidates:
        flat = candidate.reshape(-1).to(torch.float64)
        if torch.allclose(flat, wanted, rtol, atol, equal_nan=True) or torch.allclose(
            flat.sort().values, ordered, rtol, atol, equal_nan=True
        ):
            return True
    return False


def _line_of(path: Path, fqn: str, locator: clues.Locator) -> Any:
    """A line of the module's own code that left a node in the graph: the last one, which computes what it returns."""
    model = onnx.load(path, load_external_data=False)
    found = [clue for node in model.graph.node for clue in clues.from_onnx_nodes([node], locator) if clue.fqn == fqn and clue.source]
    return found[-1].source if found else None


@dataclass
class Board:
    """Calls as captures of the whole model saw them, merged: a capture ends at its first failure, so each sees a part."""

    traced: dict[str, list[Call]] = field(default_factory=dict)

    def merge(self, trial: Trial, seen: Recording) -> None:
        """Take over what one trial of the whole model saw; a placeholder's outputs are no news."""
        for fqn in dict.fromkeys(call.fqn for call in seen.calls):
            calls = [replace(call, output=None) if fqn in trial.stubs else call for call in seen.of(fqn)]
            if _richness(calls) > _richness(self.traced.get(fqn, [])):
                self.traced[fqn] = calls


def _richness(calls: list[Call]) -> tuple[int, int]:
    return len(calls), sum(call.output is not None for call in calls)
