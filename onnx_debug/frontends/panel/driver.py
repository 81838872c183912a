"""What the panel needs of a session."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from onnx_debug.data.diagnosis import Diagnosis, Step
from onnx_debug.data.events import Event
from onnx_debug.data.module_info import ModuleCall


class Driver(Protocol):
    """What the panel needs of a session. All calls but `pause` block; never are two under way at once."""

    on_event: Callable[[Event], None]

    @property
    def diagnosis(self) -> Diagnosis:
        """What is known so far."""

    @property
    def finished(self) -> bool:
        """Whether the search has ended."""

    def step(self) -> Step | None:
        """Run the next trial; None when the search has ended or was paused."""

    def run(self) -> Diagnosis:
        """Run the search until its end or a pause."""

    def probe(self, module: str, stubs: Iterable[str] = ()) -> Step:
        """Run a trial of the user's own; raises `PausedError` when it was paused."""

    def calls(self, module: str) -> tuple[ModuleCall, ...]:
        """What a module got and returned inside the model."""

    def pause(self) -> None:
        """From another thread: end what is under way at once; it can go on later."""

    def rest(self) -> None:
        """End its processes; they come back when something is asked."""

    def close(self) -> None:
        """End its processes for good."""
