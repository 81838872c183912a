"""Where a trial is, for whoever watches it."""

from __future__ import annotations

from collections.abc import Sequence

from onnx_debug.data.stage import Stage


class Progress:
    """Where a trial is, for whoever watches it from outside. The base class tells nobody."""

    def stage(self, stage: Stage) -> None:
        """A stage begins."""

    def modules(self, stack: Sequence[str]) -> None:
        """The running modules changed; outermost first."""
