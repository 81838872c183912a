"""`%%onnx_export` and `%onnx_postmortem`: find the case in the notebook, hand it to `diagnose`, show the answer."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from IPython.core.error import UsageError
from IPython.core.interactiveshell import ExecutionInfo, InteractiveShell
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, no_var_expand
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring
from IPython.display import display

from onnx_debug.data.compatibility import Compatibility
from onnx_debug.data.diagnosis import Diagnosis
from onnx_debug.data.errors import CaseError
from onnx_debug.frontends import run_cell
from onnx_debug.frontends.compat_command import COMPAT_OPTIONS, ask
from onnx_debug.frontends.intercept_export import ExportFailedError, Interception, failed_call
from onnx_debug.frontends.options import NOTEBOOK_OPTIONS, OPTIONS, to_keywords, unknown_option
from onnx_debug.frontends.progress_line import Progress, terminal_writer
from onnx_debug.render import compatibility, html, text
from onnx_debug.render.knowledge.meaning import Page, meaning
from onnx_debug.render.verdict import headline
from onnx_debug.render.words import CellName

if TYPE_CHECKING:
    from onnx_debug.frontends.panel.panel import Panel

_Function = TypeVar("_Function", bound=Callable[..., Any])
_NO_CASE = "nothing to export: the cell neither calls torch.onnx.export(...) nor ends with `model, args` or `model, args, kwargs`"
_NO_CALL = "the last error did not pass through torch.onnx.export; run the cell that fails first, then %onnx_postmortem"
_REMOVED = "dynamo_export"  # torch's first spelling of the new exporter


def _options(function: _Function) -> _Function:
    for flags, settings in reversed((*OPTIONS, *NOTEBOOK_OPTIONS)):
        function = argument(*flags, **settings)(function)
    return function


def _compat_options(function: _Function) -> _Function:
    for flags, settings in reversed(COMPAT_OPTIONS):
        function = argument(*flags, **settings)(function)
    return function


def _with_two_signs(function: _Function) -> _Function:
    """IPython's help shows a cell magic with the single sign of a line magic."""
    assert function.__doc__
    function.__doc__ = function.__doc__.replace("\n  %onnx", "\n  %%onnx", 1)
    return function


@magics_class
class OnnxDebugMagics(Magics):
    """The magics of onnx_debug, and what belongs to the cells that they ran in."""

    shell: InteractiveShell

    def __init__(self, shell: InteractiveShell) -> None:
        """Stand by for this shell's cells."""
        super().__init__(shell)
        self._cell = ""  # what tells the running cell from others; empty between cells
        self._panels: dict[str, list[Panel]] = {}  # the live panels in the output of each cell

    @_with_two_signs
    @magic_arguments()
    @_options
    @no_var_expand
    @cell_magic
    def onnx_export(self, line: str, cell: str) -> Diagnosis | None:
        """Export a model to ONNX; when that fails, name the layers that block it, and prove it.

        Put it on top of the cell that calls `torch.onnx.export(...)`, itself or through a library:
        the call is caught and its arguments are used as they are::

            %%onnx_export
            torch.onnx.export(model, (x,), "model.onnx", opset_version=18)

        Or let the cell end with `model, args` or `model, args, kwargs`::

            %%onnx_export --dynamic x:0=batch -o model.onnx
            model, (x,)

        Returns the `Diagnosis`, which displays itself; keep it with `d = _`. When everything
        passes, the cell's own call returns a usable `ONNXProgram` and writes its file; with
        `--fix` also when a change of a copy was found with which everything passes. Options
        given here go before those of the call. Further inputs to agree on can be given in Python:
        `onnx_debug.diagnose(model, args, check_inputs=[...])`.
        """
        __tracebackhide__ = True
        options = self._parse(self.onnx_export, "%%onnx_export", line)
        caught = Interception(lambda **case: self._diagnose(options, case))
        value = self._run(cell, caught)
        if not caught.calls:
            return self._answer(options, _case(value, cell))
        if value is not None and value is not caught.returned:
            display(value)
        return _shown(caught.calls)

    @magic_arguments()
    @_options
    @no_var_expand
    @line_magic
    def onnx_postmortem(self, line: str) -> Diagnosis:
        """Diagnose the `torch.onnx.export(...)` call that has just failed, like `%debug`: no cell needs to be run again.

        Returns the `Diagnosis`, which displays itself.
        """
        options = self._parse(self.onnx_postmortem, "%onnx_postmortem", line)
        case = failed_call(getattr(sys, "last_value", None))
        if case is None:
            raise UsageError(_NO_CALL)
        return self._answer(options, case)

    @magic_arguments()
    @argument(
        "what",
        nargs="*",
        help="An ONNX file, or an expression for `model, args` or `model, args, kwargs`.",
    )
    @_compat_options
    @no_var_expand
    @line_magic
    def onnx_compat(self, line: str) -> Compatibility:
        """What fits with what here, found by trying: exporters, opsets, ONNX Runtime.

        `%onnx_compat` alone is about this installation, `%onnx_compat model.onnx` about a file, and
        `%onnx_compat model, (x,)` about the export of a model, over exporters and opsets.
        """
        options = self._parse(self.onnx_compat, "%onnx_compat", line)
        notebook = hasattr(self.shell, "kernel")
        try:
            case = self._compat_case(" ".join(options.what))
            return ask(options, case, _notebook_writer() if notebook else terminal_writer())
        except CaseError as error:
            raise UsageError(str(error)) from None

    @line_magic
    def onnx_explain(self, line: str) -> Page:
        """What the code of a report means, and what helps: `%onnx_explain OD101`."""
        if not line.strip():
            raise UsageError("which code? A report shows it beside the reason: %onnx_explain OD101")
        return meaning(line)

    def _compat_case(self, what: str) -> dict[str, Any]:
        if not what:
            return {}
        if what.strip("\"'").endswith(".onnx"):
            return {"model": what.strip("\"'")}
        try:
            value = self.shell.ev(what)
        except Exception as error:  # noqa: BLE001 - whatever the user's expression raises
            raise UsageError(f"{what!r} raises {type(error).__name__}: {error}") from None
        return {"model": value} if isinstance(value, str) else _case(value, what)

    def _parse(self, magic: Any, name: str, line: str) -> argparse.Namespace:
        options, extra = parse_argstring(magic, line, partial=True)
        if extra:
            said = unknown_option(extra, magic.parser)
            raise UsageError(f"{said} {name}? lists the options.")
        return options  # type: ignore[no-any-return]

    def _run(self, cell: str, caught: Interception) -> Any:
        """The value of the cell's last expression; None where it has none, or ended at an export that failed."""
        __tracebackhide__ = True
        try:
            with caught.active():
                return run_cell.run(self.shell, cell)
        except ExportFailedError as error:
            lines = run_cell.lines_not_run(self.shell, cell, error)
            last = caught.calls[-1]
            if lines and isinstance(last, Diagnosis):
                why = "The export failed" if last.failure else "Nothing was exported"
                _say(f"{why}, so {_these(lines)} not run.")
            return None
        except (AttributeError, ImportError) as error:
            if _REMOVED not in run_cell.raising_line(error):
                raise
            raise UsageError(_removed()) from None
        except NameError as error:
            line = run_cell.raised_at_top(error)
            if line is None:
                raise
            raise UsageError(f"line {line} of the cell: {error}") from None

    def _answer(self, options: argparse.Namespace, case: dict[str, Any]) -> Diagnosis:
        try:
            return self._diagnose(options, case)
        except CaseError as error:
            raise UsageError(str(error)) from None

    def _diagnose(self, options: argparse.Namespace, case: dict[str, Any]) -> Diagnosis:
        keywords = to_keywords(options, case)
        live = hasattr(self.shell, "kernel") and not (options.static or options.quiet)
        show = self._in_panel if live else self._in_line
        diagnosis = show(keywords, options)
        if options.log:
            _say(diagnosis.log)
        return diagnosis

    def _in_line(self, keywords: dict[str, Any], options: argparse.Namespace) -> Diagnosis:
        """Search with one line of progress."""
        from onnx_debug.session.diagnose import diagnose

        if options.quiet:
            return diagnose(**keywords)
        notebook = hasattr(self.shell, "kernel")
        with Progress(_notebook_writer() if notebook else terminal_writer()) as progress:
            return diagnose(on_event=progress, **keywords)

    def _in_panel(self, keywords: dict[str, Any], options: argparse.Namespace) -> Diagnosis:
        """Search in a live panel, which stays as an instrument to explore the model."""
        from onnx_debug.frontends.panel.panel import show
        from onnx_debug.session.session import Session

        name = cell_namer(self.shell)
        shown = show(lambda: Session(**keywords), cell_name=name, run=not options.step)
        self._panels.setdefault(self._cell, []).append(shown)
        return shown.diagnosis

    # --- the life of a cell

    def before_cell(self, info: ExecutionInfo) -> None:
        """A cell is about to run: what its last run left ends. Not every front end gives cells a name of their own."""
        self._cell = str(getattr(info, "cell_id", None) or info.raw_cell)
        for shown in self._panels.pop(self._cell, []):
            shown.close()

    def after_cell(self, _: object) -> None:
        """What is shown from now on stands beside no panel."""
        self._cell = ""

    def bundle(self, d: Diagnosis, **_: Any) -> dict[str, str]:
        """What IPython shows of a diagnosis.

        Beside its panel, which shows all, the report is for the saved notebook, and that stays
        small.
        """
        name = cell_namer(self.shell)
        beside = [one for one in self._panels.get(self._cell, ()) if one.diagnosis is d]
        small = beside[0].saved(html.small(d, cell_name=name)) if beside else ""
        report = small or html.fragment(d, cell_name=name)
        return {"text/plain": text.render(d, name), "text/html": report}


def _compat_bundle(report: Compatibility, **_: Any) -> dict[str, str]:
    """What IPython shows of a report on what fits with what."""
    return {
        "text/plain": compatibility.text(report),
        "text/html": compatibility.fragment(report),
    }


def _case(value: Any, cell: str) -> dict[str, Any]:
    """The case that a cell's last expression stands for."""
    if not isinstance(value, tuple) or len(value) not in (2, 3):
        raise UsageError(_removed() if _REMOVED in cell else _NO_CASE)
    return dict(zip(("model", "args", "kwargs"), value, strict=False))


def _removed() -> str:
    import torch

    return f"torch {torch.__version__} has no torch.onnx.{_REMOVED} any more; call torch.onnx.export(model, args, dynamo=True)"


def _shown(calls: list[Diagnosis | CaseError]) -> Diagnosis:
    """Of several calls the one that ended the cell, or else the first that was fixed; all of them are listed."""
    failed = [call for call in calls if not _passes(call)]
    ended = [call for call in failed if not (isinstance(call, Diagnosis) and call.fixed)]
    shown = (ended or failed or calls[-1:])[0]
    if len(calls) > 1:
        _say(f"{len(calls)} calls of torch.onnx.export: {_fail(len(failed))}.")
        for number, call in enumerate(calls, 1):
            said = str(call) if isinstance(call, CaseError) else headline(call)
            _say(f"  {number}  {'✓' if _passes(call) else '✗'} {said}")
    if isinstance(shown, CaseError):
        raise UsageError(str(shown))
    return shown


def _passes(call: Diagnosis | CaseError) -> bool:
    return isinstance(call, Diagnosis) and call.ok


def _fail(count: int) -> str:
    return "none fails" if not count else f"{count} fail{'s' if count == 1 else ''}"


def _these(lines: range) -> str:
    if len(lines) == 1:
        return f"line {lines[0]} of the cell was"
    return f"lines {lines[0]} to {lines[-1]} of the cell were"


def _say(line: str) -> None:
    print(line)  # noqa: T201 - what the cell shows beside its answer


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
    magics = OnnxDebugMagics(shell)
    shell.register_magics(magics)
    shell.events.register("pre_run_cell", magics.before_cell)
    shell.events.register("post_run_cell", magics.after_cell)
    assert shell.display_formatter
    bundles = shell.display_formatter.mimebundle_formatter
    bundles.for_type(Diagnosis, magics.bundle)
    bundles.for_type(Compatibility, _compat_bundle)
