"""A live module as code: by its constructor, where its arguments can be found, else by its state.

A constructor's arguments are not kept anywhere, but most classes keep them as attributes, and most
others take a width that stands in the shapes of their parameters. So arguments are guessed, and a
guess counts when the module that it makes has the same structure.
"""

from __future__ import annotations

import inspect
import itertools
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from onnx_debug.session.repro.alike import Differences, differences, own_attributes
from onnx_debug.session.repro.source import NotWritableError
from onnx_debug.session.repro.values import Values

_MOST_GUESSES = 64
_MOST_WIDTHS = 8
_LARGE = 2_000_000  # elements; larger modules are made without memory while arguments are guessed

BARE = '''def bare(kind):
    """A module of this class, made without its constructor, whose arguments are not known."""
    made = kind.__new__(kind)
    nn.Module.__init__(made)
    return made'''


class Rebuild:
    """Writes modules as code.

    Args:
        values: writes what they hold.
        around: the modules around them, innermost first: a configuration may stand there.

    Attributes:
        lines: statements that come before the expressions.
        left_out: attributes that cannot be written.
    """

    def __init__(self, values: Values, around: Sequence[nn.Module] = ()) -> None:
        self._values, self._around = values, around
        self.lines: list[str] = []
        self.left_out: list[str] = []
        self._written: dict[int, str] = {}

    def code(self, module: nn.Module, name: str) -> str:
        """The expression for a module, after the statements that it needs; `name` is for a variable.

        Raises:
            NotWritableError: it cannot be written.
        """
        if id(module) in self._written:
            return self._written[id(module)]
        if parametrize.is_parametrized(module):
            return self._parametrized(module, name)
        container = self._container(module, name)
        if container:
            return container
        return self._constructed(module, name) or self._by_state(module, name)

    def _container(self, module: nn.Module, name: str) -> str:
        """A list, dict or sequence of modules by its children; empty for other modules."""
        kind = type(module)
        if kind not in (nn.Sequential, nn.ModuleList, nn.ModuleDict) or has_hooks(module):
            return ""
        parts = {key: self.code(child, f"{name}_{key}") for key, child in module.named_children()}
        if len(parts) != len(module._modules):  # the same module in two places
            return ""
        made = self._values.definitions.refer(kind)
        listed = ", ".join(parts.values())
        if kind is nn.ModuleDict:
            return f"{made}({{{', '.join(f'{key!r}: {part}' for key, part in parts.items())}}})"
        if list(parts) == [str(index) for index in range(len(parts))]:
            return f"{made}({listed})" if kind is nn.Sequential else f"{made}([{listed}])"
        return ""

    def _constructed(self, module: nn.Module, name: str) -> str:
        """A call of the constructor; empty where no arguments are found that make the same module."""
        kind = type(module)
        for guess in itertools.islice(self._guesses(module), _MOST_GUESSES):
            found = _differences_of(module, kind, guess)
            if found is None:
                continue
            lines, left = len(self.lines), len(self.left_out)
            try:
                with self._values.definitions.all_or_nothing():
                    given = [
                        f"{key}={self._argument(value, f'{name}_{key}')}"
                        for key, value in guess.items()
                    ]
                    made = f"{self._values.definitions.refer(kind)}({', '.join(given)})"
                    return self._mended(module, f"{made}{found.conversion}", found, name)
            except NotWritableError:
                del self.lines[lines:], self.left_out[left:]
        return ""

    def _argument(self, value: Any, name: str) -> str:
        return self.code(value, name) if isinstance(value, nn.Module) else self._values.code(value)

    def _mended(self, module: nn.Module, made: str, found: Differences, name: str) -> str:
        """The expression, or a variable with the attributes set that the constructor sets otherwise, and the hooks."""
        hooks = list(self._hooks(module, name, found.hooks))
        if not found.attributes and not hooks:
            return made
        self.lines.append(f"{name} = {made}")
        self._written[id(module)] = name
        for path, attribute in found.attributes:
            owner = module.get_submodule(path)
            self._set(owner, attribute, ".".join(filter(None, (name, path))))
        self.lines += hooks
        return name

    def _guesses(self, module: nn.Module) -> Iterator[dict[str, Any]]:
        """Arguments for the constructor, the likeliest first."""
        parameters = list(inspect.signature(type(module).__init__).parameters.values())[1:]
        kinds = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
        named = [one for one in parameters if one.kind not in kinds]
        if any(one.kind is inspect.Parameter.POSITIONAL_ONLY for one in named):
            return
        choices = [self._candidates(module, one) for one in named]
        for values in itertools.product(*choices):
            given = dict(zip((one.name for one in named), values, strict=True))
            yield {
                one.name: given[one.name]
                for one in named
                if given[one.name] is not one.default and not _same(given[one.name], one.default)
            }

    def _candidates(self, module: nn.Module, parameter: inspect.Parameter) -> list[Any]:
        name, default = parameter.name, parameter.default
        for holder in (module, *self._around):
            for attribute in (name, f"_{name}"):
                found = _held(holder, attribute)
                if found is not None:
                    value = found[0]
                    if isinstance(value, torch.Tensor):
                        return [True, value]
                    if value is None and isinstance(default, bool):
                        return [False]
                    return [value]
            if default is not inspect.Parameter.empty:
                return [default, *([not default] if isinstance(default, bool) else [])]
        return _widths(module)

    def _by_state(self, module: nn.Module, name: str) -> str:
        """A module without a constructor: its attributes, parameters, buffers and children one by one."""
        if BARE not in self._values.definitions.texts:
            self._values.definitions.texts.insert(0, BARE)
        self.lines.append(f"{name} = bare({self._values.definitions.refer(type(module))})")
        self._written[id(module)] = name
        for attribute in own_attributes(module):
            self._set(module, attribute, name)
        for key, parameter in module._parameters.items():
            value = "None" if parameter is None else f"nn.Parameter({_parameter(parameter)})"
            self.lines.append(f"{name}.register_parameter({key!r}, {value})")
        for key, buffer in module._buffers.items():
            value = "None" if buffer is None else self._values.tensor(buffer)
            self.lines.append(f"{name}.register_buffer({key!r}, {value})")
        for key, child in module._modules.items():
            if child is not None:
                made = self.code(child, f"{name}_{key}")
                self.lines.append(f"{name}.add_module({key!r}, {made})")
        self.lines += self._hooks(module, name, {""})
        return name

    def _set(self, owner: nn.Module, attribute: str, name: str) -> None:
        value = (
            owner.__dict__[attribute] if attribute in owner.__dict__ else owner._buffers[attribute]
        )
        try:
            self.lines.append(f"{name}.{attribute} = {self._values.code(value)}")
        except NotWritableError as error:
            self.left_out.append(f"{name}.{attribute} ({error})")
            self.lines.append(f"# {name}.{attribute} is left out: {error}.")

    def _parametrized(self, module: nn.Module, name: str) -> str:
        """The plain module, then its parametrizations; their state follows from the parameters."""
        plain_kind: Any = type(module).__mro__[1]
        plain = plain_kind.__new__(plain_kind)
        nn.Module.__init__(plain)
        skipped = {"parametrizations", "_is_full_backward_hook"}
        for key, value in module.__dict__.items():
            plain.__dict__[key] = dict(value) if isinstance(value, dict) else value
        plain._modules = {k: v for k, v in module._modules.items() if k not in skipped}
        lists: Any = module.parametrizations
        with torch.no_grad():
            for key in lists:
                plain._parameters[key] = nn.Parameter(getattr(module, key).detach().clone())
        made = self.code(plain, name)
        if made != name:
            self.lines.append(f"{name} = {made}")
        self._written[id(module)] = name
        register = self._values.definitions.refer(parametrize.register_parametrization)
        for key in lists:
            for index, one in enumerate(lists[key]):
                written = self.code(one, f"{name}_{key}_{index}")
                self.lines.append(f"{register}({name}, {key!r}, {written}, unsafe=True)")
        return name

    def _hooks(self, module: nn.Module, name: str, missing: set[str]) -> Iterator[str]:
        """The statements that register the hooks of these modules, by path."""
        for path, owner in module.named_modules():
            if path not in missing:
                continue
            target = ".".join(filter(None, (name, path)))
            for register, hooks, with_kwargs in (
                (
                    "register_forward_pre_hook",
                    owner._forward_pre_hooks,
                    owner._forward_pre_hooks_with_kwargs,
                ),
                ("register_forward_hook", owner._forward_hooks, owner._forward_hooks_with_kwargs),
            ):
                for key, hook in hooks.items():
                    option = ", with_kwargs=True" if key in with_kwargs else ""
                    yield f"{target}.{register}({self._values.code(hook)}{option})"


def has_hooks(module: nn.Module) -> bool:
    """Whether something runs before or after the module's own forward."""
    return bool(module._forward_hooks or module._forward_pre_hooks)


def _held(holder: nn.Module, name: str) -> tuple[Any] | None:
    """An attribute of the instance, in a 1-tuple; None where there is none."""
    for place in (holder.__dict__, holder._parameters, holder._buffers, holder._modules):
        if name in place:
            return (place[name],)
    return None


def _widths(module: nn.Module) -> list[Any]:
    """The whole numbers that stand in the module: sizes of its parameters, attributes of its children."""
    found: Counter[int] = Counter()
    for one in module.modules():
        held = [*one._parameters.values(), *one._buffers.values()]
        found.update(size for tensor in held if tensor is not None for size in tensor.shape)
        numbers = [value for value in one.__dict__.values() if type(value) is int]
        found.update(numbers)
        found.update([len(one._modules)] if one._modules else [])
    return [width for width, _ in found.most_common(_MOST_WIDTHS)]


def _same(value: Any, default: Any) -> bool:
    try:
        return type(value) is type(default) and bool(value == default)
    except Exception:  # noqa: BLE001 - a class may compare as it likes
        return False


def _differences_of(module: nn.Module, kind: type, guess: dict[str, Any]) -> Differences | None:
    """How the module that these arguments make differs; None where none is made, or one of another structure."""
    large = sum(parameter.numel() for parameter in module.parameters()) > _LARGE
    try:
        with (
            torch.random.fork_rng(),
            torch.device("meta" if large else "cpu"),
            warnings.catch_warnings(action="ignore"),
        ):
            return differences(module, kind(**guess))
    except Exception:  # noqa: BLE001 - whatever the user's constructor raises
        return None


def _parameter(parameter: nn.Parameter) -> str:
    dtype = "" if parameter.dtype is torch.float32 else f", dtype={parameter.dtype}"
    return f"torch.randn({list(parameter.shape)}{dtype})"
