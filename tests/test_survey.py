"""Many models at once: each in a process of its own, resumed where it stopped, through any executor."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import partial

import pytest

import onnx_debug
from onnx_debug.__main__ import main
from onnx_debug.data.errors import CaseError
from onnx_debug.data.stage import Verdict
from onnx_debug.data.survey import Answer, Change, Combination, Survey
from onnx_debug.render.survey import report, sums
from onnx_debug.session.survey import task
from onnx_debug.session.survey.gather import NoWorkersError
from onnx_debug.session.survey.recipe import recipes
from onnx_debug.session.survey.task import Reply
from tests import samples

# Each case that is made leaves a line, so that a test can count.
FILE = """
import os, time
from pathlib import Path

def noted(name):
    with (Path(__file__).parent / "made").open("a") as file:
        file.write(name + "\\n")

def _linear():
    noted("linear")
    import torch
    return torch.nn.Linear(2, 2).eval(), (torch.zeros(1, 2),)

def _cumulative():
    noted("cumulative")
    import torch
    class Cumulative(torch.nn.Module):
        def forward(self, x):
            return torch.cummax(x, 1).values
    return Cumulative(), (torch.zeros(1, 2),)

def _raises():
    noted("raises")
    raise ValueError("no weights")

def _dies():
    noted("dies")
    print("a last word", flush=True)
    os._exit(3)

def _sleeps():
    noted("sleeps")
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def search_path(monkeypatch):
    """The folder of a file of cases comes to stand on it."""
    monkeypatch.setattr(sys, "path", list(sys.path))


def cases_file(folder, *names, also=""):
    path = folder / "cases.py"
    listed = ", ".join(f"{name!r}: _{name}" for name in names)
    path.write_text(f"{FILE}{also}\nCASES = {{{listed}}}\n")
    return path


def made(folder):
    file = folder / "made"
    return Counter(file.read_text().split()) if file.exists() else Counter()


class Answering(Executor):
    """Answers at once, in this process, with what the test says; an exception stands for a lost worker."""

    def __init__(self, answers):
        self.answers, self.asked = answers, []

    def submit(self, fn, /, *args, **kwargs):
        name = args[0].combination.case
        self.asked.append(name)
        future = Future()
        answer = self.answers(name, self.asked.count(name))
        if isinstance(answer, BaseException):
            future.set_exception(answer)
        else:
            future.set_result(answer)
        return future


def reply(diagnosis=None, **rest):
    text = json.dumps((diagnosis or samples.exported()).to_dict())
    return Reply(**{"diagnosis": text, **rest})


def answering(answers=None):
    return Answering(answers or (lambda name, turn: reply()))


# --- processes


def test_a_model_that_exports_one_that_does_not_and_one_that_cannot_be_made(tmp_path):
    file = cases_file(tmp_path, "linear", "cumulative", "raises")
    found = onnx_debug.survey(file, jobs=2)
    answers = {answer.combination.case: answer for answer in found.answers}
    assert answers["linear"].verdict is Verdict.PASSED
    assert str(answers["cumulative"].diagnosis.failure.stage) == "translate"
    assert answers["raises"].diagnosis is None
    assert "raises ValueError: no weights" in answers["raises"].said
    assert found.verdicts[Verdict.PASSED] == 1


def test_a_process_that_dies_is_asked_once_more_and_then_says_so(tmp_path):
    found = onnx_debug.survey(cases_file(tmp_path, "dies"), jobs=1)
    (answer,) = found.answers
    assert made(tmp_path) == {"dies": 2}
    assert answer.verdict is Verdict.UNRESOLVED
    assert "exit status 3; its last words: a last word" in answer.said


def test_a_case_that_does_not_end_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(task, "_GRACE", 0.0)
    file = cases_file(tmp_path, "sleeps")
    (answer,) = onnx_debug.survey(file, jobs=1, timeout=8.0).answers
    assert answer.said == "the case was not made, or not diagnosed, within 8 s"
    assert answer.seconds < 40


def test_a_case_that_takes_too_much_memory_is_ended(tmp_path):
    file = cases_file(tmp_path, "sleeps")
    (answer,) = onnx_debug.survey(file, jobs=1, memory_limit=1_000_000).answers
    assert "took more memory than 0.0 GiB" in answer.said


def test_a_worker_with_other_versions_does_not_answer(tmp_path):
    one = recipes(cases_file(tmp_path, "linear"))["linear"]
    asked = task.Task(Combination("linear"), one, 60.0, None, False, (("torch", "0.1"),))
    assert "where the survey was asked with 0.1" in task.answer(asked).said
    assert not made(tmp_path)


def test_ctrl_c_keeps_what_is_there_and_leaves_no_process(tmp_path):
    file = cases_file(tmp_path, "raises", "sleeps")
    arguments = ["survey", str(file), "--db", str(tmp_path / "kept.db"), "--jobs", "1"]
    script = f"from onnx_debug.__main__ import main; exit(main({arguments}))"
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    until(lambda: made(tmp_path)["sleeps"])
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "0 of 2 exports pass; 1 have no answer; 1 were not asked yet." in said
    rows = sqlite3.connect(tmp_path / "kept.db").execute("SELECT name FROM answers").fetchall()
    assert rows == [("raises",)]


def until(true, seconds=60):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


# --- going on


def test_what_is_known_is_not_asked_again(tmp_path):
    file, db = cases_file(tmp_path, "linear", "raises"), tmp_path / "a.db"
    onnx_debug.survey(file, executor=answering(), db=db)
    second = answering()
    found = onnx_debug.survey(file, executor=second, db=db, exporters=("dynamo", "legacy"))
    assert second.asked == ["linear", "raises"]
    assert len(found.answers) == 4
    assert not found.changes


def test_an_interrupted_survey_goes_on_where_it_stopped(tmp_path):
    file, db = cases_file(tmp_path, "linear", "raises", "cumulative"), tmp_path / "a.db"
    vain = Reply(said="no weights")

    def stop(answer, known, total):
        if known == 2:
            raise KeyboardInterrupt

    first = answering(lambda name, turn: vain if name == "raises" else reply())
    part = onnx_debug.survey(file, executor=first, db=db, on_answer=stop)
    assert part.verdicts[Verdict.NOT_BEGUN] == 1
    answered = {answer.combination.case for answer in part.answers}
    second = answering()
    whole = onnx_debug.survey(file, executor=second, db=db)
    assert set(second.asked) == {"linear", "raises", "cumulative"} - answered
    assert len(whole.answers) == 3


def test_what_was_tried_in_vain_is_tried_by_the_next_run(tmp_path):
    file, db = cases_file(tmp_path, "linear", "raises"), tmp_path / "a.db"
    vain = answering(lambda name, turn: Reply(said="no weights") if name == "raises" else reply())
    onnx_debug.survey(file, executor=vain, db=db)
    second = answering()
    found = onnx_debug.survey(file, executor=second, db=db)
    assert second.asked == ["raises"]
    assert found.ok
    assert [kind for kind, _ in sums.changes(found)] == [sums.ChangeKind.FIXED]


def test_a_changed_case_is_asked_again_and_the_change_is_told(tmp_path):
    file, db = cases_file(tmp_path, "linear", "raises"), tmp_path / "a.db"
    onnx_debug.survey(file, executor=answering(), db=db)
    file.write_text(file.read_text() + "\n# changed\n")
    worse = answering(lambda name, turn: reply(samples.three() if name == "linear" else None))
    found = onnx_debug.survey(file, executor=worse, db=db)
    assert sorted(worse.asked) == ["linear", "raises"]
    ((kind, change),) = sums.changes(found)
    assert (kind, change.now.combination.case) == (sums.ChangeKind.BROKEN, "linear")
    assert "does not export any more: linear (dynamo)" in str(found)


def test_a_file_that_is_no_survey_is_refused(tmp_path):
    file, db = cases_file(tmp_path, "linear"), tmp_path / "a.db"
    sqlite3.connect(db).execute("CREATE TABLE mine (x)")
    with pytest.raises(CaseError, match="is not a file of this onnx_debug's surveys"):
        onnx_debug.survey(file, executor=answering(), db=db)
    db.write_text("not a database, but long enough to be read as the head of one " * 5)
    with pytest.raises(CaseError, match="cannot hold the answers of a survey"):
        onnx_debug.survey(file, executor=answering(), db=db)


# --- executors


def test_a_lost_worker_is_asked_once_more(tmp_path):
    lost = answering(lambda name, turn: OSError("gone") if turn == 1 else reply())
    found = onnx_debug.survey(cases_file(tmp_path, "linear"), executor=lost)
    assert lost.asked == ["linear", "linear"]
    assert found.ok


def test_a_case_that_loses_every_worker_becomes_a_row(tmp_path):
    lost = answering(lambda name, turn: OSError("gone") if name == "raises" else reply())
    found = onnx_debug.survey(cases_file(tmp_path, "raises", "linear"), executor=lost)
    assert Counter(lost.asked) == {"raises": 2, "linear": 1}
    answers = {answer.combination.case: answer for answer in found.answers}
    assert answers["raises"].said == "its worker was lost (OSError: gone)"


def test_a_broken_executor_is_told_and_what_was_answered_is_kept(tmp_path):
    file, db = cases_file(tmp_path, "linear", "raises"), tmp_path / "a.db"
    broken = answering(
        lambda name, turn: reply() if name == "linear" else BrokenProcessPool("died")
    )
    with pytest.raises(NoWorkersError, match="ask again to go on"):
        onnx_debug.survey(file, executor=broken, db=db)
    second = answering()
    onnx_debug.survey(file, executor=second, db=db)
    assert "raises" in second.asked


def test_a_pool_of_processes(tmp_path):
    file = cases_file(tmp_path, "raises", "dies")
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        found = onnx_debug.survey(file, executor=pool)
    assert made(tmp_path) == {"raises": 1, "dies": 2}
    assert len(found.answers) == 2


STUCK = """
def _stuck():
    noted("stuck")
    worker = Path(__file__).parent / "worker"
    if not worker.exists():  # the first time: until its worker is killed
        worker.write_text(str(os.getppid()))
        time.sleep(120)
    raise ValueError("again")
"""


def test_a_cluster_that_loses_a_worker_half_way_loses_no_answer(tmp_path):
    distributed = pytest.importorskip("distributed")
    short = "".join(
        f"def _short_{n}():\n    noted('short_{n}')\n    raise ValueError\n" for n in "abc"
    )
    file = cases_file(tmp_path, "short_a", "short_b", "stuck", "short_c", also=short + STUCK)
    worker = tmp_path / "worker"

    def kill():
        until(worker.exists)
        os.kill(int(worker.read_text()), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    cluster = distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None)
    with cluster, distributed.Client(cluster) as client:
        killer.start()
        found = onnx_debug.survey(file, executor=client.get_executor(), db=tmp_path / "a.db")
    killer.join()
    assert len(found.answers) == 4
    # Dask runs again what the killed worker did and had not handed over yet, and nothing else.
    begun = made(tmp_path)
    assert begun.pop("stuck") == 2
    assert set(begun) == {"short_a", "short_b", "short_c"}
    assert sum(begun.values()) <= 4
    query = "SELECT count(*), count(DISTINCT name) FROM answers"
    assert sqlite3.connect(tmp_path / "a.db").execute(query).fetchone() == (4, 4)


# --- what it looks like


def surveyed(**answers):
    found = [Answer(Combination(name), diagnosis) for name, diagnosis in answers.items()]
    return Survey(tuple(answer.combination for answer in found), tuple(found))


def test_the_same_cause_is_told_once_with_the_models_that_have_it():
    found = surveyed(first=samples.three(), good=samples.exported(), second=samples.three())
    causes = sums.causes(found)
    assert causes[0].cases == ("first", "second")
    assert causes[0].stage == "translate"
    assert causes[0].op in causes[0].why
    assert sum(cause.modules for cause in causes) == 6


def test_each_cell_of_the_pages_leads_to_its_text():
    found = surveyed(first=samples.three(), good=samples.exported())
    page, markdown = report.page(found), found.to_markdown()
    for anchor in ("answer-1", "answer-2"):
        assert f'href="#{anchor}"' in page
        assert f'id="{anchor}"' in page
        assert f"](#{anchor})" in markdown
        assert f'<a id="{anchor}"></a>' in markdown
    assert "1 of 2 exports pass; 1 fail." in page


def test_what_a_model_is_called_is_no_markup():
    found = surveyed(**{"<b>|`": samples.exported()})
    assert "<b>|" not in report.page(found)
    assert "<b>\\|`" in found.to_markdown()


def test_an_answer_as_before_is_no_change():
    (answer,) = surveyed(first=samples.three()).answers
    moved = replace(answer, seconds=9.0)
    same = Survey((answer.combination,), (moved,), (Change(answer, moved),))
    assert not sums.changes(same)
    assert "Nothing: each answer is as before." in same.to_markdown()


# --- what is asked


def test_functions_of_a_file_are_cases_where_it_has_no_list(tmp_path):
    file = tmp_path / "cases.py"
    file.write_text("from os import getcwd\ndef a(): pass\ndef b(x): pass\ndef _c(): pass\n")
    assert list(recipes(file)) == ["a"]


def test_a_function_of_a_module_and_one_of_a_file_are_made_elsewhere(tmp_path):
    file = cases_file(tmp_path, "linear")
    found = recipes({"own": partial(samples.exported), "filed": f"{file}:_linear"})
    assert found["own"].code.endswith("samples.py")
    assert found["filed"].code == str(file)
    assert found["filed"].fingerprint() != found["own"].fingerprint()


@pytest.mark.parametrize(
    ("cases", "said"),
    [
        ({}, "there are no cases"),
        ({"a": lambda: 1}, "'a' cannot be sent to another process"),
        ({"a": "model.py"}, "is not of the form FILE.py:FUNCTION"),
        ({"a": "no_such_package.models:make"}, "there is no module 'no_such_package.models'"),
        ({"a": partial(print, b"0" * 2_000_000)}, "holds 2 MB"),
    ],
)
def test_what_cannot_be_asked_is_told(cases, said):
    with pytest.raises(CaseError, match=said):
        onnx_debug.survey(cases, executor=answering())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{folder}/none.py"], "there is no file"),
        (["{file}", "liner"], "there is no case 'liner'; did you mean linear?"),
        (["{file}", "--exporter", "dynmo"], "invalid choice"),
        (["{file}", "--jobs", "0"], "must be at least 1"),
        (["{file}", "--job"], "--job"),
        (["{file}", "--db", "{folder}"], "cannot hold the answers"),
    ],
)
def test_a_wrong_call_is_one_line(arguments, said, tmp_path, capsys):
    file = cases_file(tmp_path, "linear")
    with pytest.raises(SystemExit) as end:
        main(["survey", *(one.format(file=file, folder=tmp_path) for one in arguments)])
    told = capsys.readouterr().err
    assert end.value.code == 2
    assert said in told
    assert told.count("\n") == 1


def test_the_command_keeps_answers_and_writes_both_pages(tmp_path, capsys):
    file, pages = cases_file(tmp_path, "raises"), tmp_path / "pages"
    written = ["--html", pages / "a.html", "--markdown", pages / "a.md", "--db", pages / "a.db"]
    assert main(["survey", str(file), *map(str, written)]) == 3
    told = capsys.readouterr()
    assert "0 of 1 export pass; 1 have no answer." in told.out
    assert "onnx_debug: 1 of 1" in told.err
    assert "no weights" in (pages / "a.html").read_text()
    assert "no weights" in (pages / "a.md").read_text()
