"""The recorders: for each set of inputs a process that ran the model, and writes down what was recorded of the modules asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from onnx_debug.data.call_tree import EagerReport
from onnx_debug.eager.calls import Recording, slim
from onnx_debug.request.case import Case
from onnx_debug.runner.forked.death import Death, DiedError
from onnx_debug.runner.forked.shared_memory import Shared
from onnx_debug.runner.forked.worker import Ready, Worker, read
from onnx_debug.trial.eager_stage import EagerRun, run_eager


class Recorders:
    """Runs the model in forks of this process, which keep what passed between its modules.

    Args:
        shared: what all processes of the case share.
        ready: see `Worker.wait`.
    """

    def __init__(self, shared: Shared, ready: Ready) -> None:
        self._shared, self._ready = shared, ready
        self._workers: dict[int, Worker] = {}
        self._reports: dict[int, Path] = {}
        self._accepted: dict[int, bool] = {}
        self._deaths: dict[int, Death] = {}  # of runs that would die again
        self._complete: dict[int, bool] = {}
        self._sets_for_good = False  # the first call on the given inputs sets what another leaves

    def start(self, case: Case, index: int) -> None:
        """Begin to run the model on the inputs at this position."""
        runs: list[EagerRun] = []
        after_first = index > 0 and self._sets_for_good

        def run(_: Path) -> EagerReport:
            runs.append(
                run_eager(
                    case,
                    index,
                    self._shared.progress,
                    after_first=after_first,
                    room=self._shared.room,
                )
            )
            self._shared.progress.finish()
            return runs[0].report()

        self._workers[index] = Worker(self._shared, run, lambda fqns: slim(runs[0].recording, fqns))

    def report(self, case: Case, index: int, timeout: float) -> Path:
        """The file with the `EagerReport` of a run.

        Raises:
            DiedError: the process did not survive it.
        """
        if index in self._deaths:
            raise DiedError(self._deaths[index])
        if index not in self._workers:
            self.start(case, index)
        if index not in self._reports:
            try:
                limit = timeout * self._shared.slowdown
                path = self._workers[index].wait(limit, self._ready)
            except BaseException as problem:
                self._forget(index)
                if isinstance(problem, DiedError):
                    self._remember(index, problem.death)
                raise
            report: EagerReport = read(path)
            if index == 0:
                self._sets_for_good = bool(report.set_for_good)
            self._complete[index] = report.complete
            self._accepted[index] = report.outcome.failure is None
            self._reports[index] = path
        return self._reports[index]

    def recordings(
        self, case: Case, fqns: frozenset[str] | None, timeout: float
    ) -> dict[int, Path]:
        """Files with the `Recording` of each run, with the values of these modules; without further inputs that eager rejects.

        Raises:
            DiedError: a recorder was lost twice.
        """
        found = {}
        for index in range(len(case.inputs)):
            try:
                path = self._recording(case, index, fqns, timeout)
            except DiedError:  # by chance, or it computed long ago what it lost now: once more
                path = self._recording(case, index, fqns, timeout)
            if path is not None:
                found[index] = path
        return found

    def _recording(
        self, case: Case, index: int, fqns: frozenset[str] | None, timeout: float
    ) -> Path | None:
        if not self._accepts(case, index, timeout) and index:
            return None  # of the given inputs, what passed before the model failed is worth knowing
        if not self._complete[index]:
            return self._recorded_again(case, index, fqns, timeout)
        try:
            return self._workers[index].ask(fqns, timeout, self._ready)
        except BaseException:
            self._forget(index)
            raise

    def _recorded_again(
        self, case: Case, index: int, fqns: frozenset[str] | None, timeout: float
    ) -> Path:
        """The recording of another run, which keeps the values of these modules only."""
        after_first, progress = index > 0 and self._sets_for_good, self._shared.progress

        def run(_: Path) -> Recording:
            found = run_eager(case, index, progress, after_first=after_first, only=fqns)
            return found.recording

        worker = Worker(self._shared, run)
        try:
            return worker.wait(timeout, self._ready)
        except DiedError as died:
            raise DiedError(replace(died.death, stage=None)) from died
        finally:
            worker.end()

    def _accepts(self, case: Case, index: int, timeout: float) -> bool:
        """Whether eager takes these inputs; where it dies of them, it does not.

        Raises:
            DiedError: the run was lost, or is of the given inputs, which eager took before.
        """
        if index not in self._accepted:
            try:
                self.report(case, index, timeout)
            except DiedError as died:
                if not index or index not in self._deaths:
                    raise DiedError(replace(died.death, stage=None)) from died
                self._accepted[index] = False
        return self._accepted[index]

    def _remember(self, index: int, death: Death) -> None:
        if death.stage is not None and not death.by_chance:
            self._deaths[index] = death

    def _forget(self, index: int) -> None:
        """The next question needs a new process."""
        self._workers.pop(index).end()
        self._reports.pop(index, None)
        self._accepted.pop(index, None)
