"""Put tasks to an executor, and take the replies as they come. What is lost on the way is asked once more."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from typing import TypeVar

from onnx_debug.data.errors import OnnxDebugError
from onnx_debug.session.survey.task import Reply, Task, answer

K = TypeVar("K", bound=Hashable)
_MOST_TRIES = 2


class NoWorkersError(OnnxDebugError, RuntimeError):
    """The executor takes no tasks any more; what was answered before is kept."""


def replies(tasks: Mapping[K, Task], executor: Executor) -> Iterator[tuple[K, Reply]]:
    """Each task's reply, in the order in which they come.

    A task whose process or worker died is asked once more, wherever the executor sends it; after
    that its reply says so. When the caller stops listening, what has not begun is cancelled.

    Raises:
        NoWorkersError: the executor is broken.
    """
    tries = dict.fromkeys(tasks, 1)
    waiting = {_submit(executor, task): key for key, task in tasks.items()}
    try:
        while waiting:
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                key = waiting.pop(future)
                reply = _reply(future)
                if reply.died and tries[key] < _MOST_TRIES:
                    tries[key] += 1
                    waiting[_submit(executor, tasks[key])] = key
                else:
                    yield key, reply
    finally:
        for future in waiting:
            future.cancel()


def _submit(executor: Executor, task: Task) -> Future[Reply]:
    try:
        return executor.submit(answer, task)
    except BrokenExecutor as error:
        raise _broken(error) from error


def _reply(future: Future[Reply]) -> Reply:
    """What the worker sent; `answer` raises nothing because of a model, so an exception means that the worker is lost."""
    try:
        return future.result()
    except BrokenExecutor as error:
        raise _broken(error) from error
    except Exception as error:  # noqa: BLE001 - each executor has its own for a lost worker
        return Reply(said=f"its worker was lost ({type(error).__name__}: {error})", died=True)


def _broken(error: BrokenExecutor) -> NoWorkersError:
    return NoWorkersError(
        f"the executor is broken ({error}); what was answered is kept: make a new one and ask "
        "again to go on"
    )
