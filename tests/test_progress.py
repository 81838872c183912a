"""One line while it searches."""

from __future__ import annotations

import io

from onnx_debug.data.events import CulpritFound, Started, TrialStarted
from onnx_debug.data.outcome import Trial
from onnx_debug.frontends.progress_line import Progress, terminal_writer
from tests import samples


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_says_what_is_tried_how_many_and_how_long():
    lines, seconds = [], iter([0.0, 2.4])
    with Progress(lines.append, clock=lambda: next(seconds)) as progress:
        progress(Started(103))
        progress(CulpritFound(samples.culprit()))
        progress(TrialStarted(4, Trial("blocks.3"), "does blocks.3 fail alone?"))
    assert lines == [
        "onnx_debug: loading the exporter and running the model",
        "onnx_debug: 103 modules recorded",
        "onnx_debug: trial 4 · 2 s · does blocks.3 fail alone? · 1 found",
        "",
    ]


def test_a_terminal_keeps_one_line():
    terminal = Terminal()
    write = terminal_writer(terminal)
    write("first")
    write("")
    assert terminal.getvalue() == "\r\x1b[Kfirst\r\x1b[K"


def test_a_log_file_gets_a_line_for_each():
    log = io.StringIO()
    with Progress(terminal_writer(log), clock=lambda: 0.0) as progress:
        progress(TrialStarted(1, Trial(""), "export the whole model"))
    assert log.getvalue().splitlines()[1:] == ["onnx_debug: trial 1 · 0 s · export the whole model"]
