"""Trials in the user's own process, where forking is not to be had: what they touch is put back, but a crash is the user's too."""

from __future__ import annotations

import contextlib
import copy
import random
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from onnx_debug import clues
from onnx_debug.case import Case
from onnx_debug.outcome import Clue, Outcome, Trial
from onnx_debug.packing import PackingError, pack, unpack
from onnx_debug.recording import ModuleNames
from onnx_debug.target import Bench, Progress
from onnx_debug.trial import run_trial
from onnx_debug.workshop import Board, EagerReport, EagerRun, describe, first_wrong_module, random_modules, reread_request, run_eager


class InProcessLab:
    """Answers what `isolation.ForkedLab` answers, without processes and without time limits."""

    def __init__(self, case: Case, *, memory_limit: int | None = None) -> None:
        del memory_limit  # a limit would be the user's process's own
        self.directory = Path(tempfile.mkdtemp(prefix="onnx_debug_"))
        self._case, self._names = case, ModuleNames(case.model)
        self._board = Board()
        self._runs: dict[int, EagerRun] = {}
        self._count = 0

    def eager(self, timeout: float) -> EagerReport:
        """Run the model on the given inputs."""
        del timeout
        return self._run(0).report()

    def run(self, trial: Trial, timeout: float, *, require_dynamic: bool = False, case: Case | None = None) -> Outcome:
        """Answer one trial."""
        del timeout
        self._count += 1
        directory = self.directory / str(self._count)
        directory.mkdir()
        runs = {index: self._run(index) for index in range(len(self._case.inputs))}
        recordings = {index: run.recording for index, run in runs.items() if not index or run.outcome.failure is None}
        with untouched(self._case.model):
            bench = Bench(_with_copied_inputs(case or self._case), self._names, recordings, self._board.traced, directory, require_dynamic)
            answer = run_trial(bench, trial)
        if not trial.module:
            self._board.merge(trial, answer.traced)
        return answer.outcome

    def explain_numbers(self, outcome: Outcome, timeout: float) -> tuple[Clue, ...]:
        """Clues to where wrong numbers come from."""
        del timeout
        found = random_modules(*(self._fresh_run(0, seed).digests() for seed in (1, 2)))
        if found or outcome.onnx_path is None:
            return tuple(found)
        first = next((row.input_index for row in outcome.comparisons if row.problem), 0)
        with untouched(self._case.model):
            return tuple(first_wrong_module(self._case, self._run(first), Path(outcome.onnx_path), first, clues.Locator(self._names)))

    def describe(self, fqn: str, call: int) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """The tensors of a recorded call."""
        return describe(self._run(0), self._board.traced, fqn, call)

    def correct_options(self, timeout: float) -> tuple[tuple[str, ...], str, Outcome | None]:
        """What is wrong with the request; the call that was meant, spelled out; and its trial."""
        problems, better, call = reread_request(self._case)
        outcome = None if better is None else self.run(Trial(""), timeout, case=better)
        return problems, call, outcome

    def close(self, *, keep_files: bool = False) -> None:
        """Forget the recordings."""
        self._runs.clear()
        if not keep_files:
            shutil.rmtree(self.directory, ignore_errors=True)

    def _run(self, index: int) -> EagerRun:
        if index not in self._runs:
            self._runs[index] = self._fresh_run(index)
        return self._runs[index]

    def _fresh_run(self, index: int, seed: int | None = None) -> EagerRun:
        with untouched(self._case.model):
            return run_eager(_with_copied_inputs(self._case), index, Progress(), seed=seed)


def _with_copied_inputs(case: Case) -> Case:
    """The case with inputs of its own: a model may write to what it is given."""
    args, kwargs = _copied((case.args, case.kwargs))
    return replace(case, args=args, kwargs=kwargs, check_inputs=tuple(_copied(inputs) for inputs in case.check_inputs))


def _copied(value: Any) -> Any:
    try:
        packed = pack(value)
    except PackingError:
        return value
    return unpack(packed.template, [leaf.detach().clone().requires_grad_(leaf.requires_grad) for leaf in packed.leaves])


@contextlib.contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Put the model and the global state back as they were: attributes, hooks, values, random numbers, default dtype, warnings."""
    modules = [(module, _copy_of_state(module)) for module in model.modules()]
    tensors = [(tensor, tensor.detach().clone()) for tensor in _tensors(model)]
    states = (torch.get_rng_state(), random.getstate(), np.random.get_state())
    default = torch.get_default_dtype()
    with warnings.catch_warnings():
        try:
            yield
        finally:
            for module, state in modules:
                _restore(module, state)
            with torch.no_grad():
                for tensor, value in tensors:
                    if not torch.equal(tensor, value):  # batch norm writes to its statistics without counting a new version
                        tensor.data.copy_(value)
            torch.set_default_dtype(default)
            torch.set_rng_state(states[0])
            random.setstate(states[1])
            np.random.set_state(states[2])


def _copy_of_state(module: nn.Module) -> dict[str, tuple[Any, Any]]:
    """Each attribute with a shallow copy of its content, so that the container itself is put back as well."""
    return {name: (held, copy.copy(held) if isinstance(held, dict | list | set) else None) for name, held in module.__dict__.items()}


def _restore(module: nn.Module, state: dict[str, tuple[Any, Any]]) -> None:
    for name in [name for name in module.__dict__ if name not in state]:
        del module.__dict__[name]
    for name, (held, content) in state.items():
        if isinstance(held, dict):
            held.clear()
            held.update(content)
        elif isinstance(held, list):
            held[:] = content
        elif isinstance(held, set):
            held.clear()
            held.update(content)
        module.__dict__[name] = held


def _tensors(model: nn.Module) -> Iterator[torch.Tensor]:
    yield from model.parameters()
    yield from model.buffers()
    for module in model.modules():
        yield from (held for held in vars(module).values() if isinstance(held, torch.Tensor))
