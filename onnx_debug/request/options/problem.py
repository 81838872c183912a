"""One thing that is wrong with an export request."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One wrong entry of a request.

    Attributes:
        option: the argument of `torch.onnx.export` that holds it: "dynamic_shapes", "args", …
        entry: the wrong entry, as the user would write it: "dynamic_shapes['users']".
        found: what stands there, in plain words.
        expected: what was expected, in plain words.
        silent: torch takes the request without an error and does something else than it says.
    """

    option: str
    entry: str
    found: str
    expected: str
    silent: bool = False

    def __str__(self) -> str:
        """One plain line, entry first."""
        return f"{self.entry}: {self.found}; expected {self.expected}"
