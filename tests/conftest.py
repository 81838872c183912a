"""Fixtures that several files share."""

from __future__ import annotations

import os
import signal
from types import SimpleNamespace

import hypothesis
import pytest

from onnx_debug.frontends import intercept_export
from onnx_debug.session import diagnose as whole_search
from tests import samples

# Machines are shared and noisy: no example is too slow. Continuous integration judges a change, and
# not the luck of today's examples; everybody else tries new ones.
hypothesis.settings.register_profile("patient", deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("patient")

# A job in the background of a shell ignores Ctrl-C, which some tests press.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def no_fixes(request, monkeypatch):
    """Most tests are about what is found; those about fixes say so by the mark `fixes`."""
    if request.node.get_closest_marker("fixes") is None:
        monkeypatch.setattr("onnx_debug.session.fixes.find.MOST_TRIALS", 0)


@pytest.fixture(scope="session")
def ipython():
    from IPython.testing.globalipapp import start_ipython

    return start_ipython()


@pytest.fixture
def shell(ipython):
    """An IPython shell with the extension loaded and an empty namespace."""
    ipython.extension_manager.load_extension("onnx_debug")  # silent where it is loaded already
    before = set(ipython.user_ns)
    yield ipython
    for name in set(ipython.user_ns) - before:  # %reset would also collect all of torch's garbage
        del ipython.user_ns[name]


@pytest.fixture
def engine(monkeypatch):
    """Stands in for the engine: notes what it was asked, answers with `engine.answer`, or what `engine.answers()` returns."""
    fake = SimpleNamespace(asked=[], answer=samples.exported())
    fake.answers = lambda: fake.answer

    def diagnose(model, args=(), kwargs=None, *, on_event=None, **rest):
        fake.asked.append(
            SimpleNamespace(model=model, args=args, kwargs=kwargs, on_event=on_event, rest=rest)
        )
        return fake.answers()

    monkeypatch.setattr(whole_search, "diagnose", diagnose)
    monkeypatch.setattr(intercept_export, "onnx_program", lambda diagnosis: "the program")
    return fake
