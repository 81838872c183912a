"""The answers of a survey in a SQLite file: one row a diagnosis, kept from run to run."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from onnx_debug.data.diagnosis import Diagnosis
from onnx_debug.data.errors import CaseError
from onnx_debug.data.stage import Verdict
from onnx_debug.data.survey import Answer, Change, Combination
from onnx_debug.session.survey.task import Reply, Task

_FORMAT = 1
_TABLES = """
BEGIN;
CREATE TABLE runs (run INTEGER PRIMARY KEY, ended INTEGER NOT NULL DEFAULT 0);
CREATE TABLE answers (
    name TEXT, exporter TEXT, opset INTEGER, code TEXT, versions TEXT, run INTEGER,
    verdict TEXT, said TEXT, seconds REAL, diagnosis TEXT,
    PRIMARY KEY (name, exporter, opset, code, versions, run)
);
PRAGMA user_version = 1;
COMMIT;
"""
_KEY = "name = ? AND exporter = ? AND opset = ? AND code = ? AND versions = ?"
Key = tuple[str, str, int, str, str]


class Store:
    """The file. It is this process's alone while it is open: two surveys at once would ask twice.

    Args:
        path: of the file; `:memory:` keeps nothing.

    Raises:
        CaseError: the file is none of ours, or another survey uses it.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = path
        try:
            # Every statement is committed by itself: what is answered is on the disk.
            self._file = sqlite3.connect(path, isolation_level=None, timeout=1.0)
            self._file.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._file.execute("BEGIN EXCLUSIVE")
            self._file.execute("COMMIT")
            self._prepare()
        except sqlite3.Error as error:
            raise CaseError(f"{path} cannot hold the answers of a survey: {error}") from error

    def _prepare(self) -> None:
        (version,) = self._file.execute("PRAGMA user_version").fetchone()
        (tables,) = self._file.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if not version and not tables:
            self._file.executescript(_TABLES)
        elif version != _FORMAT or not self._has_answers():
            raise CaseError(f"{self._path} is not a file of this onnx_debug's surveys")

    def _has_answers(self) -> bool:
        with suppress(sqlite3.Error):
            self._file.execute("SELECT run, diagnosis FROM answers LIMIT 0")
            return True
        return False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def pending(self, tasks: Mapping[Key, Task]) -> list[Key]:
        """What to ask, in order.

        That is what has no diagnosis. What was tried in vain (its case raised an error, its time was
        over) is tried again by the next run, but not when an interrupted run goes on.
        """
        unfinished = self._unfinished()
        return [key for key in tasks if not self._is_answered(key, unfinished)]

    def begin(self) -> int:
        """The number of the run: of the one that was interrupted, or else a new one."""
        unfinished = self._unfinished()
        if unfinished is not None:
            return unfinished
        return int(self._file.execute("INSERT INTO runs DEFAULT VALUES").lastrowid or 0)

    def end(self, run: int) -> None:
        """Everything that this run asked is answered."""
        self._file.execute("UPDATE runs SET ended = 1 WHERE run = ?", (run,))

    def add(self, key: Key, run: int, reply: Reply) -> Answer:
        """Keep what was answered."""
        diagnosis = Diagnosis.from_dict(json.loads(reply.diagnosis)) if reply.diagnosis else None
        answer = Answer(combination_of(key), diagnosis, reply.said, reply.seconds)
        values = (*key, run, str(answer.verdict), reply.said, reply.seconds, reply.diagnosis)
        self._file.execute(
            f"INSERT INTO answers VALUES ({', '.join('?' * len(values))})",
            values,
        )
        return answer

    def answers(self, keys: Mapping[Key, Task]) -> tuple[Answer, ...]:
        """The newest answers to these, as far as there are any."""
        found = (self._newest(_KEY, key) for key in keys)
        return tuple(answer for _, answer in filter(None, found))

    def changes(self, keys: Mapping[Key, Task]) -> tuple[Change, ...]:
        """What the last run answered, beside the answers before it to the same combinations."""
        (last,) = self._file.execute("SELECT max(run) FROM runs").fetchone()
        found = []
        for key in keys:
            now = self._newest(f"{_KEY} AND run = ?", (*key, last))
            if now is None:
                continue
            earlier = "name = ? AND exporter = ? AND opset = ? AND rowid < ?"
            before = self._newest(earlier, (*key[:3], now[0]))
            found += [Change(before[1], now[1])] if before is not None else []
        return tuple(found)

    def _unfinished(self) -> int | None:
        row = self._file.execute("SELECT max(run) FROM runs WHERE NOT ended").fetchone()
        return None if row[0] is None else int(row[0])

    def _is_answered(self, key: Key, unfinished: int | None) -> bool:
        final = (str(Verdict.PASSED), str(Verdict.FAILED), str(Verdict.UNRESOLVED))
        counts = "run IS ? OR (diagnosis <> '' AND verdict IN (?, ?, ?))"
        query = f"SELECT count(*) FROM answers WHERE {_KEY} AND ({counts})"
        (found,) = self._file.execute(query, (*key, unfinished, *final)).fetchone()
        return bool(found)

    def _newest(self, where: str, values: tuple[object, ...]) -> tuple[int, Answer] | None:
        columns = "rowid, name, exporter, opset, said, seconds, diagnosis"
        query = f"SELECT {columns} FROM answers WHERE {where} ORDER BY rowid DESC LIMIT 1"
        row = self._file.execute(query, values).fetchone()
        if row is None:
            return None
        number, name, exporter, opset, said, seconds, text = row
        diagnosis = Diagnosis.from_dict(json.loads(text)) if text else None
        combination = combination_of((name, exporter, opset, "", ""))
        return number, Answer(combination, diagnosis, said, seconds)


def key_of(task: Task) -> Key:
    """What an answer is kept under: another code or another version is another question."""
    asked = task.combination
    versions = json.dumps(dict(task.versions), sort_keys=True)
    return (asked.case, asked.exporter, asked.opset or 0, task.recipe.fingerprint(), versions)


def combination_of(key: Key) -> Combination:
    """The combination that a key stands for."""
    return Combination(key[0], key[1] == "dynamo", key[2] or None)
