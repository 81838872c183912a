"""`%%onnx_export` and `%onnx_postmortem`: find the case in the notebook, hand it to `diagnose`, show the answer."""

from __future__ import annotations

import argparse
import sys
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, no_var_expand
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring
from IPython.display import display

from onnx_debug.data.diagnosis import Diagnosis
from onnx_debug.data.errors import CaseError
from onnx_debug.frontends import run_cell
from onnx_debug.frontends.intercept_export import ExportFailedError, Interception, failed_call
from onnx_debug.frontends.options import OPTIONS, to_keywords
from onnx_debug.frontends.progress_line import Progress, terminal_writer
from onnx_debug.render import html, text
from onnx_debug.render.words import CellName

# By the id of a diagnosis that a panel shows: how to wrap its report, which is then for readers of
# the saved notebook.
_BESIDE_PANEL: dict[int, Callable[[str], str]] = {}
_Function = TypeVar("_Function", bound=Callable[..., Any])
_NO_CASE = "nothing to export: the cell neither calls torch.onnx.export(...) nor ends with `model, args` or `model, args, kwargs`"
_NO_CALL = "the last error did not pass through torch.onnx.export; run the cell that fails first, then %onnx_postmortem"


def _options(function: _Function) -> _Function:
    for flags, settings in reversed(OPTIONS):
        function = argument(*flags, **settings)(function)
    return function


@magics_class
class OnnxDebugMagics(Magics):
    """The magics of onnx_debug."""

    shell: InteractiveShell

    @magic_arguments()
    @_options
    @no_var_expand
    @cell_magic
    def onnx_export(self, line: str, cell: str) -> Diagnosis | None:
        """Export a model to ONNX; when that fails, name the layers that block it, and prove it.

        Put it on top of the cell that calls `torch.onnx.export(...)`: the call is caught and its
        arguments are used as they are. Or let the cell end with `model, args` or `model, args,
        kwargs`.

        Returns the `Diagnosis`, which displays itself; keep it with `d = _`. When everything
        passes, the cell's own call returns a usable `ONNXProgram` and writes its file. Options
        given here go before those of the call.
        """
        __tracebackhide__ = True
        options = parse_argstring(self.onnx_export, line)
        caught = Interception(
            lambda **arguments: self._diagnose(options, **arguments), self.shell.user_ns
        )
        value = self._run(cell, caught)
        if caught.diagnosis is None:
            return self._diagnose(options, **_case(value))
        if value is not None and value is not caught.returned:
            display(value)
        return caught.diagnosis

    @magic_arguments()
    @_options
    @no_var_expand
    @line_magic
    def onnx_postmortem(self, line: str) -> Diagnosis:
        """Diagnose the `torch.onnx.export(...)` call that has just failed, like `%debug`: no cell needs to be run again.

        Returns the `Diagnosis`, which displays itself.
        """
        options = parse_argstring(self.onnx_postmortem, line)
        arguments = failed_call(getattr(sys, "last_value", None))
        if arguments is None:
            raise UsageError(_NO_CALL)
        return self._diagnose(options, **arguments)

    def _run(self, cell: str, caught: Interception) -> Any:
        __tracebackhide__ = True
        try:
            with caught.active():
                return run_cell.run(self.shell, cell)
        except ExportFailedError:
            return None
        except CaseError as error:
            raise UsageError(str(error)) from None
        except NameError as error:
            line = run_cell.raised_at_top(error)
            if line is None:
                raise
            raise UsageError(f"line {line} of the cell: {error}") from None

    def _diagnose(self, options: argparse.Namespace, **arguments: Any) -> Diagnosis:
        keywords = {**arguments, **to_keywords(options)}
        live = hasattr(self.shell, "kernel") and not (options.static or options.quiet)
        try:
            diagnosis = (
                self._in_panel(keywords) if live else self._in_line(keywords, quiet=options.quiet)
            )
        except CaseError as error:
            raise UsageError(str(error)) from None
        if options.log:
            print(diagnosis.log)  # noqa: T201 - what was asked for
        return diagnosis

    def _in_line(self, keywords: dict[str, Any], *, quiet: bool) -> Diagnosis:
        """Search with one line of progress."""
        from onnx_debug.session.session import diagnose

        writer = (
            _discard
            if quiet
            else _notebook_writer()
            if hasattr(self.shell, "kernel")
            else terminal_writer()
        )
        with Progress(writer) as progress:
            return diagnose(on_event=progress, **keywords)

    def _in_panel(self, keywords: dict[str, Any]) -> Diagnosis:
        """Search in a live panel, which stays as an instrument to explore the model."""
        from onnx_debug.frontends.panel.panel import saved, show
        from onnx_debug.session.session import Session

        shown = show(Session(**keywords), cell_name=cell_namer(self.shell))
        _BESIDE_PANEL[id(shown.diagnosis)] = partial(saved, shown=shown)
        weakref.finalize(shown.diagnosis, _BESIDE_PANEL.pop, id(shown.diagnosis), None)
        return shown.diagnosis


def _case(value: Any) -> dict[str, Any]:
    """The case that a cell's last expression stands for."""
    if not isinstance(value, tuple) or len(value) not in (2, 3):
        raise UsageError(_NO_CASE)
    return dict(zip(("model", "args", "kwargs"), value, strict=False))


def _discard(line: str) -> None:
    """Show nothing."""


def _notebook_writer() -> Callable[[str], None]:
    """One output that is updated in place."""
    shown: list[Any] = []

    def write(line: str) -> None:
        bundle = {"text/plain": line}
        if shown:
            shown[0].update(bundle, raw=True)
        elif line:
            shown.append(display(bundle, raw=True, display_id=True))

    return write


def cell_namer(shell: InteractiveShell) -> CellName:
    """What the user calls a file that is a notebook cell ("Cell In[5]")."""

    def cell_name(file: str) -> str | None:
        known = shell.compile.format_code_name(file)
        return " ".join(known) if known else None

    return cell_name


def register(shell: InteractiveShell) -> None:
    """Add the magics to this shell, and teach it to show a `Diagnosis`."""
    shell.register_magics(OnnxDebugMagics)

    cell_name = cell_namer(shell)

    def bundle(d: Diagnosis, **_: Any) -> dict[str, str]:
        wrap = _BESIDE_PANEL.get(id(d))
        # Beside a panel, which shows all, the report is for the saved notebook, and that stays
        # small.
        report = (
            html.fragment(d, cell_name=cell_name)
            if wrap is None
            else wrap(html.small(d, cell_name=cell_name))
        )
        return {"text/plain": text.render(d, cell_name), "text/html": report}

    assert shell.display_formatter
    shell.display_formatter.mimebundle_formatter.for_type(Diagnosis, bundle)
