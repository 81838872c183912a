"""The panel's Python side: traits follow the session, wishes become trials, problems are shown. No browser."""

from __future__ import annotations

import _thread
import threading
import time
from typing import Any

import pytest
import torch

from onnx_debug import Session
from onnx_debug.data.diagnosis import Diagnosis
from onnx_debug.data.errors import CaseError
from onnx_debug.frontends.panel import worker
from onnx_debug.frontends.panel.panel import Panel, panel
from tests.ui.fake_session import GUILTY, FakeSession, culprit, modules


@pytest.fixture
def shown() -> Panel:
    return panel(FakeSession(pause=0.0))


def wait_until_idle(shown: Panel, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while shown.progress["running"] and time.monotonic() < end:
        time.sleep(0.01)


def receive(shown: Panel, monkeypatch: pytest.MonkeyPatch, **message: Any) -> list[Any]:
    """Let the panel hear a message; what it sends back is returned."""
    sent: list[Any] = []
    monkeypatch.setattr(
        shown, "send", lambda content, buffers=None: sent.append((content, buffers))
    )
    before = set(threading.enumerate())
    shown._receive(shown, message, [])
    for thread in set(threading.enumerate()) - before:
        if not isinstance(thread, threading.Timer):
            thread.join()
    return [one for one in sent if one[0] != {"type": "heard"}]


def test_a_run_fills_everything(shown: Panel) -> None:
    d = shown.run()
    assert [one.fqn for one in d.culprits] == list(GUILTY)
    assert shown.view["culprits"][0]["fqn"] == "blocks.1.extra"
    assert shown.states["blocks.1.extra"] == "culprit"
    assert shown.states["head"] == "passes"
    assert len(shown.rows) == len(modules())
    assert [step["said"] for step in shown.steps][-1] == "passed"
    assert shown.progress == {**shown.progress, "running": False, "finished": True, "error": ""}


def test_step_by_step(shown: Panel) -> None:
    shown.step()
    shown.step()
    assert [step["what"] for step in shown.steps] == [
        "Net (the whole model)",
        "blocks.1.extra alone",
    ]
    assert not shown.progress["finished"]


def test_while_it_runs_or_is_paused_the_headline_gives_no_verdict(shown: Panel) -> None:
    said: list[str] = []
    shown.observe(lambda change: said.append(change["new"]["headline"]), "view")
    shown.step()
    assert "The search is paused: 0 modules found so far." in shown.view["headline"]
    shown.run()
    assert any("Looking for the modules to blame: 1 module found so far." in one for one in said)
    assert "2 of 33 modules block it" in shown.view["headline"]
    assert not any("could be blamed" in one for one in said)


def test_what_is_being_tried_is_said() -> None:
    shown = panel(FakeSession(pause=0.0))
    said: list[str] = []
    shown.observe(lambda change: said.append(change["new"]["text"]), "progress")
    shown.run()
    assert "trying blocks.1.extra: does blocks.1.extra fail alone?" in said


def test_stop_pauses_and_run_goes_on() -> None:
    shown = panel(FakeSession(pause=0.2))
    worker = threading.Thread(target=shown.run)
    worker.start()
    time.sleep(0.3)
    shown.stop()
    worker.join()
    assert 1 <= len(shown.steps) < 6
    shown.run()
    assert len(shown.steps) == 6


def test_ctrl_c_pauses_too_and_leaves_the_session_usable() -> None:
    shown = panel(FakeSession(pause=0.2))
    threading.Timer(0.3, _thread.interrupt_main).start()
    shown.run()
    assert 1 <= len(shown.steps) < 6
    assert shown.live
    shown.run()
    assert len(shown.steps) == 6


def test_stopping_when_nothing_runs_says_nothing(shown: Panel) -> None:
    shown.stop()
    assert shown.progress["text"] == ""


def test_only_one_thing_at_a_time() -> None:
    shown = panel(FakeSession(pause=0.3))
    worker = threading.Thread(target=shown.step)
    worker.start()
    time.sleep(0.1)
    shown.step()
    worker.join()
    assert len(shown.steps) == 1


def test_wishes_become_trials(shown: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    shown.step()
    for name in ("alone", "split", "replace"):
        receive(shown, monkeypatch, type=name, fqn="blocks.1")
    whats = [step["what"] for step in shown.steps][1:]
    assert whats == [
        "blocks.1 alone",
        "blocks.1 with 4 modules replaced",
        "Net (the whole model) with blocks.1 replaced",
    ]
    assert shown.replaced == ["blocks.1"]
    assert shown.states["blocks.1"] == "stubbed"


def test_replacing_again_restores(shown: Panel) -> None:
    shown.step()
    shown.replace("blocks.1")
    shown.replace("blocks.1")
    assert shown.replaced == []
    assert shown.steps[-1]["what"] == "Net (the whole model)"


def test_problems_are_shown_not_raised(shown: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    shown.step()
    receive(shown, monkeypatch, type="alone", fqn="head")
    assert "no module 'head'" in shown.progress["error"]
    assert not shown.progress["running"]


def test_run_raises_what_goes_wrong(shown: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError("no space left")

    monkeypatch.setattr(shown._worker.driver, "_step", fail)
    with pytest.raises(OSError, match="no space left"):
        shown.run()
    assert "no space left" in shown.progress["error"]


def test_a_leaf_cannot_be_split(shown: Panel) -> None:
    shown.step()
    shown.split("blocks.1.mlp")
    assert "calls no modules" in shown.progress["error"]


def test_the_graph_goes_by_message_and_the_viewer_only_once(
    shown: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown.run()
    [(first, buffers)] = receive(shown, monkeypatch, type="hello", have="")
    [(_, again)] = receive(shown, monkeypatch, type="hello", have=first["facts"]["key"])
    assert [len(buffers[2]) > 100_000, len(again[2])] == [True, 0]


def test_until_the_model_has_a_graph_the_first_culprit_s_own_is_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = FakeSession(pause=0.0)
    shown = panel(session)
    model, session._path = session._path, None
    shown.step()
    shown.step()
    [(own, _)] = receive(shown, monkeypatch, type="hello")
    session._path = model
    shown.step()
    [(whole, _)] = receive(shown, monkeypatch, type="hello")
    assert (own["facts"]["of"], own["facts"]["failing"], whole["facts"]["of"]) == (
        "blocks.1.extra",
        ["linalg_qr"],
        None,
    )


def test_a_graph_that_was_asked_for_stays(shown: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    shown.step()
    shown.step()
    receive(shown, monkeypatch, type="graph", of="blocks.1.extra")
    shown.run()
    [(sent, _)] = receive(shown, monkeypatch, type="hello")
    assert sent["facts"]["of"] == "blocks.1.extra"


def test_a_large_graph_is_sent_around_the_module_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = panel(FakeSession(nodes=5_000, pause=0.0))
    shown.run()
    [(first, _)] = receive(shown, monkeypatch, type="hello")
    [(other, _)] = receive(shown, monkeypatch, type="graph", of=None, focus="blocks.5.norm")
    [(whole, _)] = receive(shown, monkeypatch, type="graph", of=None, whole=True)
    assert "blocks.1.extra" in {node[2] for node in first["facts"]["nodes"]}
    assert "blocks.5.norm" in {node[2] for node in other["facts"]["nodes"]}
    assert len(first["facts"]["nodes"]) < 3_000
    assert [len(whole["facts"]["nodes"]), first["facts"]["total"]] == [5_000, 5_000]


def test_what_modules_compute_comes_by_itself(shown: Panel) -> None:
    shown.run()
    end = time.monotonic() + 20
    while not shown.sources and time.monotonic() < end:
        time.sleep(0.01)
    row = next(row for row in shown.rows if row["fqn"] == "blocks.0.mlp")
    assert shown.sources[row["code"]]["lines"][-1][1] == "    return x + 1"


def test_a_search_that_cannot_be_made_anew_says_why_and_leaves_the_last() -> None:
    made = iter([FakeSession(pause=0.0)])

    def make() -> FakeSession:
        for session in made:
            return session
        raise CaseError("the arguments do not fit any more")

    shown = panel(make)
    shown.run()
    shown.again()
    assert shown.progress["error"] == "the arguments do not fit any more"
    shown.alone("blocks.2")
    assert len(shown.steps) == 7


def test_a_module_is_described_as_soon_as_no_trial_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = panel(FakeSession(pause=0.3))
    worker = threading.Thread(target=shown.step)
    worker.start()
    time.sleep(0.1)
    sent = receive(shown, monkeypatch, type="module", fqn="blocks.1.extra")
    assert not worker.is_alive()
    [answer] = [message for message, _ in sent if message["type"] == "module"]
    assert [call["index"] for call in answer["calls"]] == [0, 2]


def test_every_trial_of_one_s_own_is_answered_where_it_was_asked_for(shown: Panel) -> None:
    shown.run()
    shown.alone("blocks.1.extra")
    assert shown.answers["blocks.1.extra"]["text"].startswith(
        "Alone it fails at translate, where the whole model fails too."
    )
    shown.split("blocks.1")
    assert "With its 4 children replaced it still fails" in shown.answers["blocks.1"]["text"]
    shown.replace("blocks.1.extra")
    answer = shown.answers["blocks.1.extra"]
    assert "with blocks.1.extra replaced still fails at translate" in answer["text"]
    shown.replace("blocks.3.extra")
    answer = shown.answers["blocks.3.extra"]
    assert answer["answer"] == "passed"
    assert "exports, loads, runs and matches" in answer["text"]


def test_a_module_is_not_marked_replaced_while_another_trial_runs() -> None:
    shown = panel(FakeSession(pause=0.3))
    worker = threading.Thread(target=shown.step)
    worker.start()
    time.sleep(0.1)
    shown.replace("blocks.1")
    worker.join()
    assert shown.replaced == []


def test_when_the_search_is_over_its_processes_end_and_come_back_when_asked(shown: Panel) -> None:
    shown.step()
    assert not shown._worker.resting
    shown.run()
    assert shown._worker.resting
    shown.alone("blocks.2")
    assert not shown._worker.resting


def test_a_session_that_is_asked_nothing_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "IDLE", 0.1)
    session = FakeSession(pause=0.0)
    panel(session).step()
    time.sleep(0.5)
    assert session.rests == 1


def test_closing_a_panel_or_its_last_view_ends_the_processes(
    shown: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = shown._worker.driver
    shown.step()
    receive(shown, monkeypatch, type="closed")
    assert shown._worker.resting
    shown.close()
    assert session.closed
    shown.step()
    assert len(shown.steps) == 1


def test_searching_again_is_a_new_session() -> None:
    made: list[FakeSession] = []

    def make() -> FakeSession:
        made.append(FakeSession(pause=0.0))
        return made[-1]

    shown = panel(make)
    shown.run()
    shown.replace("blocks.1")
    shown.again()
    assert [one.closed for one in made] == [True, False]
    assert (len(shown.steps), shown.replaced, shown.answers) == (6, [], {})


def test_before_the_first_graph_the_viewer_is_sent_alone(
    shown: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    [(first, buffers)] = receive(shown, monkeypatch, type="hello", have="")
    [(_, again)] = receive(shown, monkeypatch, type="hello", have=first["key"])
    assert (first["type"], len(buffers[0]) > 100_000, again) == ("viewer", True, [b""])


def test_the_log_goes_by_message(shown: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    shown.run()
    [(answer, _)] = receive(shown, monkeypatch, type="log")
    assert "<b>raw</b>" in answer["text"]


def test_unknown_messages_do_nothing(shown: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    assert receive(shown, monkeypatch, type="_end") == []


def test_a_finished_diagnosis_has_no_buttons() -> None:
    shown = panel(Diagnosis("Net", culprits=(culprit("a"),), onnx_path="/nowhere.onnx"))
    assert not shown.live
    shown.step()
    assert shown.steps == []


def test_the_text_form_is_one_line(shown: Panel) -> None:
    shown.run()
    assert repr(shown) == "onnx_debug panel of Net"


def test_a_real_session_drives_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class Bad(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + torch.linalg.qr(x)[0].sum()

    shared = torch.nn.Linear(4, 4)
    model = torch.nn.Sequential(shared, Bad(), shared).eval()
    with Session(model, (torch.randn(4, 4),)) as session:
        shown = panel(session)
        assert shown.view["verdict"] == "open"
        assert [row["fqn"] for row in shown.rows] == ["", "0", "1"]
        d = shown.run()
        assert [one.fqn for one in d.culprits] == ["1"]
        assert shown.states == {"": "contains a culprit", "0": "passes", "1": "culprit"}
        [(graph, _)] = receive(shown, monkeypatch, type="hello")
        assert [node[1:] for node in graph["facts"]["nodes"]] == [
            ["Gemm", "0", False],
            ["Bad", "1", True],
            ["Gemm", "0", False],
        ]
        [(own, _)] = receive(shown, monkeypatch, type="graph", of="1")
        assert [node[1:3] for node in own["facts"]["nodes"]] == [["linalg_qr", "1"]]
        [(about, _)] = receive(shown, monkeypatch, type="module", fqn="0")
        assert [info["name"] for info in about["calls"][0]["inputs"]] == ["input"]
        shown.alone("0")
        assert shown.steps[-1]["said"] == "passed"
        assert "Alone it exports, loads, runs and matches." in shown.answers["0"]["text"]


def test_a_saved_report_belongs_to_its_panel(shown: Panel) -> None:
    wrapped = shown.saved("<p>report</p>")
    assert wrapped.startswith(f'<div class="onnx-debug-saved {shown.key}"><p>report</p>')
    assert "run the cell again for the live panel" in wrapped
