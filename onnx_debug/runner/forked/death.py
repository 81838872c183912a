"""What became of a process that did not answer, and what that says about the model."""

from __future__ import annotations

from dataclasses import dataclass

from onnx_debug.data.failure import Clue, ClueKind, Failure, Source, signature
from onnx_debug.data.stage import Mode, Stage
from onnx_debug.explain import locate, syntax


@dataclass(frozen=True)
class Death:
    """The end of a process.

    Attributes:
        words: what happened.
        stage: the stage of the export that was under way; None: only code of onnx_debug ran, so
            that the end says nothing about the model.
        suspects: the modules that were running, innermost first.
        lines: (file, line) of its Python stack, outermost first.
        by_chance: the system ended it, perhaps for what others did.
        log: what it printed, or the traceback of a mistake.
    """

    mode: Mode
    words: str
    stage: Stage | None = None
    suspects: tuple[str, ...] = ()
    lines: tuple[tuple[str, int], ...] = ()
    by_chance: bool = False
    log: str = ""

    @staticmethod
    def of_ours(trace: str) -> Death:
        """A mistake of onnx_debug itself."""
        last = trace.strip().rpartition("\n")[2]
        return Death(Mode.ERROR, f"onnx_debug made a mistake: {last}", log=trace)

    def failure(self, locator: locate.Locator) -> Failure | None:
        """The failure of the model, with the module that was running as its clue; None where it is not the model's."""
        if self.stage is None:
            return None
        found = tuple(
            self._running(fqn, locator.way_to(fqn, self.lines))
            for fqn in self.suspects[:1]
            if fqn in locator.names.modules
        )
        lines = [f'  File "{file}", line {line}' for file, line in self.lines]
        return Failure(
            self.stage,
            self.mode,
            signature(self.stage, self.mode),
            "",
            self.words,
            clues=found,
            details="\n".join([f"{self.words} at {self.stage}", *lines]),
        )

    def _running(self, fqn: str, way: tuple[Source, ...]) -> Clue:
        """Of a module that does not end, the loop is to blame, not the line in it at which the time was over."""
        loop = syntax.enclosing_loop(way[0]) if self.mode is Mode.TIMEOUT and way else None
        lines = (loop, *way) if loop is not None else way
        return Clue(fqn, ClueKind.RUNNING, lines[0] if lines else None, below=lines[1:])


class DiedError(Exception):
    """A process did not answer."""

    def __init__(self, death: Death) -> None:
        super().__init__(death.words)
        self.death = death
