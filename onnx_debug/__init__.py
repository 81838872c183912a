"""When `torch.onnx.export` fails: which layer, which line, why, proven.

In a notebook: `%load_ext onnx_debug`, then `%%onnx_export` on top of the cell that failed. In
Python: `onnx_debug.diagnose(model, args)`. Importing this package imports neither torch nor
IPython; what needs them is fetched when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onnx_debug.data.compatibility import Compatibility
from onnx_debug.data.diagnosis import Diagnosis
from onnx_debug.data.survey import Survey

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from onnx_debug.frontends.offer import install, uninstall
    from onnx_debug.render.knowledge.meaning import meaning
    from onnx_debug.session.compatibility.look import compat
    from onnx_debug.session.diagnose import diagnose
    from onnx_debug.session.session import Session
    from onnx_debug.session.survey.survey import survey

__version__ = "0.2.0"
__all__ = [
    "Compatibility",
    "Diagnosis",
    "Session",
    "Survey",
    "compat",
    "diagnose",
    "install",
    "load_ipython_extension",
    "meaning",
    "survey",
    "uninstall",
]


_PLACES = {
    "Session": "onnx_debug.session.session",
    "compat": "onnx_debug.session.compatibility.look",
    "diagnose": "onnx_debug.session.diagnose",
    "install": "onnx_debug.frontends.offer",
    "meaning": "onnx_debug.render.knowledge.meaning",
    "survey": "onnx_debug.session.survey.survey",
    "uninstall": "onnx_debug.frontends.offer",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


class _Forms:
    """What a `Diagnosis` looks like; the code that draws it is fetched when it is asked for."""

    def page(self, diagnosis: Diagnosis, /) -> str:
        from onnx_debug.render.html import fragment
        from onnx_debug.render.page.static_page import page

        return page(diagnosis, fragment(diagnosis))

    def text(self, diagnosis: Diagnosis, /) -> str:
        from onnx_debug.render import text

        return text.render(diagnosis)

    def issue(self, diagnosis: Diagnosis, /) -> str:
        from onnx_debug.render.issue import issue_text

        return issue_text(diagnosis)

    def codes(self, diagnosis: Diagnosis, /) -> tuple[str, ...]:
        from onnx_debug.render.reasons import codes

        return codes(diagnosis)


class _CompatibilityForms:
    """What a `Compatibility` looks like."""

    def text(self, report: Compatibility, /) -> str:
        from onnx_debug.render import compatibility

        return compatibility.text(report)


class _SurveyForms:
    """What a `Survey` looks like."""

    def text(self, survey: Survey, /) -> str:
        from onnx_debug.render.survey import report

        return report.text(survey)

    def page(self, survey: Survey, /) -> str:
        from onnx_debug.render.survey import report

        return report.page(survey)

    def markdown(self, survey: Survey, /) -> str:
        from onnx_debug.render.survey import report

        return report.markdown(survey)


Diagnosis.forms = _Forms()
Compatibility.forms = _CompatibilityForms()
Survey.forms = _SurveyForms()


def load_ipython_extension(shell: InteractiveShell) -> None:
    """`%load_ext onnx_debug`: register the magics, and how a `Diagnosis` shows itself."""
    from onnx_debug.frontends import magic

    magic.register(shell)
