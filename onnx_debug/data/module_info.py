"""What is known of a module and of the tensors that went through it. No torch."""

from __future__ import annotations

from dataclasses import dataclass

from onnx_debug.data.failure import Source


@dataclass(frozen=True)
class TensorInfo:
    """One tensor that went into or came out of a module.

    Attributes:
        name: the argument's name (`mask`, `states[0]`), or the output's position.
        shape: sizes as recorded.
        symbolic_shape: sizes as the capture saw them; a dynamic one is a name such as "s0". Empty
            when unknown.
        min, max: over finite elements; None for empty, bool and complex tensors.
        nan_count: how many elements are NaN.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    symbolic_shape: tuple[int | str, ...] = ()
    device: str = "cpu"
    min: float | None = None
    max: float | None = None
    nan_count: int = 0


@dataclass(frozen=True)
class ModuleCall:
    """What one recorded call of a module got and returned.

    Attributes:
        index: how many calls of this module came before.
    """

    index: int
    inputs: tuple[TensorInfo, ...] = ()
    outputs: tuple[TensorInfo, ...] = ()


@dataclass(frozen=True)
class ModuleInfo:
    """One module of the model's tree.

    Attributes:
        fqn: canonical path.
        aliases: further paths of the same module object.
        calls: how often the recorded eager run called it.
        parameters: number of parameter elements in it and below it.
        forward: where its class says what it computes; None for a class without Python source.
    """

    fqn: str
    class_name: str
    aliases: tuple[str, ...] = ()
    calls: int = 0
    parameters: int = 0
    forward: Source | None = None
