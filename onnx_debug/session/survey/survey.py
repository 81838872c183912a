"""Many cases over exporters and opsets in one call."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

from onnx_debug.data.errors import CaseError
from onnx_debug.data.survey import Answer, Combination, Survey
from onnx_debug.session.survey.gather import replies
from onnx_debug.session.survey.recipe import Recipe, recipes, versions_of
from onnx_debug.session.survey.store import Key, Store, key_of
from onnx_debug.session.survey.task import Task, end_running

Exporter = Literal["dynamo", "legacy"]
OnAnswer = Callable[[Answer, int, int], None]


def survey(  # noqa: PLR0913 - each is a keyword that users name
    cases: str | Path | Mapping[str, Callable[[], Any] | str],
    *,
    exporters: Iterable[Exporter] = ("dynamo",),
    opsets: Iterable[int | None] = (None,),
    only: Iterable[str] = (),
    executor: Executor | None = None,
    jobs: int | None = None,
    db: str | Path = ":memory:",
    timeout: float = 300.0,
    memory_limit: int | None = None,
    fixes: bool = False,
    on_answer: OnAnswer | None = None,
) -> Survey:
    """Diagnose every case, by every exporter and for every opset, each in a process of its own.

    Args:
        cases: a file with a dict `CASES` from a name to a function that returns
            `(model, args[, kwargs[, export options]])`, or with such functions; or that dict itself,
            where `FILE.py:FUNCTION` may stand for a function.
        exporters: "dynamo", "legacy".
        opsets: values of `opset_version`; None: the case's own, or else the exporter's.
        only: names of cases; empty: all.
        executor: where the processes are started: any `concurrent.futures.Executor`, such as
            `dask.distributed.Client(...).get_executor()`. None: here.
        jobs: how many run at once here; None: half as many as there are cores.
        db: a SQLite file that keeps the answers. What it knows is not asked again, unless the code
            of the case or a version has changed; so an interrupted survey goes on where it stopped.
        timeout: seconds for one diagnosis.
        memory_limit: bytes for the process of one diagnosis with all that it starts; None: most of
            what is free.
        fixes: also look for changes that help, which takes a multiple of the time.
        on_answer: told each new answer, how many there are, and of how many.

    Returns:
        What is known; also after Ctrl-C.

    Raises:
        CaseError: the request cannot be understood, or a case cannot be sent to another process.
        CaseFileError: the file of cases cannot be read, or raised an error.
        NoWorkersError: the executor is broken.
    """
    from onnx_debug.session.assemble import versions

    chosen = _chosen(recipes(cases), tuple(only))
    packages = {**versions(), **versions_of(chosen.values())}
    tasks = {}
    for combination in _combinations(chosen, tuple(exporters), tuple(opsets)):
        recipe = chosen[combination.case]
        task = Task(
            combination, recipe, timeout, memory_limit, fixes, tuple(sorted(packages.items()))
        )
        tasks[key_of(task)] = task
    with Store(db) as store:
        _ask(tasks, store, executor, jobs, on_answer)
        return Survey(
            tuple(task.combination for task in tasks.values()),
            store.answers(tasks),
            store.changes(tasks),
            packages,
        )


def _ask(
    tasks: Mapping[Key, Task],
    store: Store,
    executor: Executor | None,
    jobs: int | None,
    on_answer: OnAnswer | None,
) -> None:
    """Ask what is not known yet, until all is known or the user stops it."""
    pending = store.pending(tasks)
    if not pending:
        return
    run, known = store.begin(), len(tasks) - len(pending)
    try:
        with _opened(executor, jobs) as opened:
            for key, reply in replies({key: tasks[key] for key in pending}, opened):
                answer = store.add(key, run, reply)
                known += 1
                if on_answer is not None:
                    on_answer(answer, known, len(tasks))
    except KeyboardInterrupt:
        return
    store.end(run)


@contextmanager
def _opened(executor: Executor | None, jobs: int | None) -> Iterator[Executor]:
    """The given executor, or threads of this process: each only waits for a process of its own, which may die and breaks no pool."""
    if executor is not None:
        yield executor
        return
    threads = ThreadPoolExecutor(jobs or max(1, (os.cpu_count() or 1) // 2))
    try:
        yield threads
    except BaseException:
        _end(threads)
        raise
    threads.shutdown()


def _end(threads: ThreadPoolExecutor) -> None:
    """End what runs; a thread may just be starting the next process."""
    threads.shutdown(wait=False, cancel_futures=True)
    waiting = threading.Thread(target=threads.shutdown, daemon=True)
    waiting.start()
    while waiting.is_alive():
        end_running()
        waiting.join(0.1)


def _chosen(found: dict[str, Recipe], only: tuple[str, ...]) -> dict[str, Recipe]:
    from onnx_debug.request.matching import did_you_mean

    for name in only:
        if name not in found:
            raise CaseError(f"there is no case {name!r}{did_you_mean(name, found)}")
    return {name: recipe for name, recipe in found.items() if not only or name in only}


def _combinations(
    names: Iterable[str], exporters: tuple[str, ...], opsets: tuple[int | None, ...]
) -> list[Combination]:
    for exporter in exporters:
        if exporter not in get_args(Exporter):
            raise CaseError(f"exporters are 'dynamo' and 'legacy', not {exporter!r}")
    found = [
        Combination(name, exporter == "dynamo", opset)
        for name in names
        for exporter in exporters
        for opset in opsets
    ]
    if not found:
        raise CaseError("nothing is asked: no exporter, or no opset")
    return found
