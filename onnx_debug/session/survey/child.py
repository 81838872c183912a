"""The process of one diagnosis: `python -m onnx_debug.session.survey.child FOLDER PARENT`.

It reads the task from FOLDER, leaves the reply there, and ends when its worker has gone.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import pickle
import sys
import threading
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

from onnx_debug.data.diagnosis import Diagnosis
from onnx_debug.data.errors import CaseError
from onnx_debug.session.case_file import CaseFileError
from onnx_debug.session.survey.task import Reply, Task

_LONGEST_LOG = 20_000  # characters; of a longer log its end is kept
_LONGEST_TRIAL = 60.0  # seconds


def main(folder: Path, worker: int) -> None:
    """Answer the task in this folder."""
    threading.Thread(target=_leave_with, args=(worker,), daemon=True).start()
    began = time.monotonic()
    task: Task = pickle.loads((folder / "task").read_bytes())
    (folder / "part").write_bytes(pickle.dumps(_answered(task, began)))
    (folder / "part").rename(folder / "reply")  # either all of it is there or nothing


def _leave_with(worker: int) -> None:
    """A worker that has gone reads no reply. What a session forked ends with this process."""
    while os.getppid() == worker:
        time.sleep(0.5)
    os._exit(1)


def _answered(task: Task, began: float) -> Reply:
    if other := _other_versions(task):
        return Reply(said=other)
    try:
        found = _diagnosis(task, began)
    except (CaseError, CaseFileError, _CannotAskError) as error:
        return Reply(said=str(error))
    except Exception:  # noqa: BLE001 - a mistake of ours costs one answer and is told
        return Reply(said=f"onnx_debug made a mistake:\n{traceback.format_exc()}")
    return Reply(json.dumps(_without_files(found).to_dict()))


class _CannotAskError(Exception):
    """The case cannot be put to this exporter."""


def _other_versions(task: Task) -> str:
    """Why this installation must not answer; empty where it is like the one that asks."""
    for name, version in task.versions:
        try:
            here = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            here = "none"
        if here != version:
            return f"the worker has {name} {here}, where the survey was asked with {version}"
    return ""


def _diagnosis(task: Task, began: float) -> Diagnosis:
    from onnx_debug.session.session import Session

    keywords = _of_exporter(task, task.recipe.make())
    limit = None if task.memory_limit is None else int(0.8 * task.memory_limit)
    trial = min(_LONGEST_TRIAL, task.timeout)
    with Session(**keywords, timeout=trial, memory_limit=limit, fixes=task.fixes) as session:
        left = task.timeout - (time.monotonic() - began)
        clock = threading.Timer(max(left, 0.0), session.stop)
        clock.daemon = True
        clock.start()
        found = session.run()
        clock.cancel()
    return found


def _of_exporter(task: Task, made: dict[str, Any]) -> dict[str, Any]:
    """The keywords of the case for the exporter and the opset that are asked for."""
    from onnx_debug.request.case import make_case
    from onnx_debug.session.compatibility.matrix import with_exporter

    own = ("check_inputs", "atol", "rtol", "edges")
    given = {name: made.pop(name) for name in own if name in made}
    inputs = [made.pop("model"), made.pop("args"), made.pop("kwargs", None)]
    asked = task.combination
    opset = made.get("opset_version") if asked.opset is None else asked.opset
    try:
        case = with_exporter(
            make_case(*inputs, **given, options=made), dynamo=asked.dynamo, opset=opset
        )
    except ValueError as error:
        raise _CannotAskError(str(error)) from error
    return {"model": inputs[0], "args": inputs[1], "kwargs": inputs[2], **given, **case.options}


def _without_files(found: Diagnosis) -> Diagnosis:
    """The facts alone: the files of the session go with this process."""
    culprits = tuple(replace(culprit, graph_path=None) for culprit in found.culprits)
    return replace(found, culprits=culprits, onnx_path=None, log=found.log[-_LONGEST_LOG:])


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
