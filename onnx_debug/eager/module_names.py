"""The paths of a model's modules, and the tree that they form."""

from __future__ import annotations

import inspect
import linecache

from torch import nn

from onnx_debug.data.failure import Source
from onnx_debug.data.module_info import ModuleInfo


class ModuleNames:
    """Finds the path of a module object, also when a capture has wrapped it in a proxy: the proxy shares its `__dict__`."""

    def __init__(self, model: nn.Module, prefix: str = "") -> None:
        self.names: dict[int, list[str]] = {}
        self.modules: dict[str, nn.Module] = {}
        for name, module in model.named_modules(remove_duplicate=False):
            self.names.setdefault(id(module.__dict__), []).append(prefix + name)
            self.modules[prefix + name] = module
        self._model = model  # the ids hold as long as the modules live

    def fqn(self, module: object) -> str | None:
        """Canonical path of a module, or None for an object that is none of the model's."""
        try:
            found = self.names.get(id(object.__getattribute__(module, "__dict__")))
        except AttributeError:
            return None
        return found[0] if found else None

    def canonical(self, name: str) -> str | None:
        """The canonical path of a module that is known as `name`."""
        module = self.modules.get(name)
        return None if module is None else self.fqn(module)

    def infos(self, calls: dict[str, int]) -> tuple[ModuleInfo, ...]:
        """The tree for the diagnosis, in `named_modules()` order."""
        return tuple(
            ModuleInfo(
                names[0],
                type(self.modules[names[0]]).__name__,
                aliases=tuple(names[1:]),
                calls=calls.get(names[0], 0),
                parameters=sum(
                    p.numel()
                    for p in self.modules[names[0]].parameters()
                    if not isinstance(p, nn.UninitializedParameter)
                ),
                forward=_forward(type(self.modules[names[0]])),
            )
            for names in self.names.values()
        )


def _forward(kind: type[nn.Module]) -> Source | None:
    """Where the class says what it computes."""
    forward = inspect.getattr_static(
        kind, "forward", None
    )  # a compiled class answers for its instances only
    code = getattr(inspect.unwrap(forward), "__code__", None) if callable(forward) else None
    if code is None or forward is nn.Module.forward:
        return None  # a list of modules, or a class that is not written in Python
    return Source(
        code.co_filename,
        code.co_firstlineno,
        linecache.getline(code.co_filename, code.co_firstlineno).strip(),
        "forward",
    )
