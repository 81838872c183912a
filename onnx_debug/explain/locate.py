"""From a failure to module paths and source lines: what the exporter's exceptions, graphs and warnings name by themselves."""

from __future__ import annotations

import inspect
import itertools
import linecache
import re
import traceback
import types
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import onnx
import torch
from torch import fx, nn

from onnx_debug.compat import torch_internals
from onnx_debug.data.outcome import Clue, ClueKind, Source
from onnx_debug.eager.recorder import ModuleNames
from onnx_debug.explain import syntax
from onnx_debug.onnx_file import display

Frame = tuple[types.FrameType, int]

_TORCH = re.compile(r"[/\\](torch|onnxscript|onnx_ir|onnx_debug|functorch)[/\\]")
_TRIAL = re.compile(r"[/\\]onnx_debug[/\\]trial\.py$")
_CALL_PLUMBING = {"_call_impl", "_wrapped_call_impl", "__call__", "_slow_forward", "inner"}


class Locator:
    """Finds modules and lines for one exported module.

    Args:
        names: the modules, with paths in the whole model.
        root: path of the exported module; the exporter's own paths start below it.
        inner: the attribute under which a wrapper holds the exported module; empty without a
            wrapper.
    """

    def __init__(self, names: ModuleNames, root: str = "", inner: str = "") -> None:
        self.names, self.root, self._inner = names, root, inner

    def fqn(self, path: str) -> str | None:
        """The path in the whole model for a path of the exporter ("L['self'].inner.attn@1"); None if there is no such module."""
        plain = re.sub(r"@\d+", "", path.removeprefix("L['self']").removeprefix("."))
        if self._inner:
            plain = plain.removeprefix(self._inner).removeprefix(".")
        full = ".".join(part for part in (self.root, plain) if part)
        return self.names.canonical(full)

    def fqn_of_scopes(self, scopes: Iterable[str]) -> str | None:
        """The same for the legacy exporter's names of nested modules, outermost first."""
        inside = [
            scope.removeprefix(self._inner).removeprefix(".") if self._inner else scope
            for scope in scopes
        ]
        return self.names.canonical(
            display.module_of_scopes(
                [scope for scope in inside if scope], self.names.modules, self.root
            )
        )

    def is_torch(self, frame: types.FrameType) -> bool:
        """Whether a function is a part of torch or its helpers."""
        return bool(_TORCH.search(frame.f_code.co_filename))

    def own_line(self, fqn: str, lines: Iterable[tuple[str, int]]) -> Source | None:
        """The deepest of `lines` (file, number; outermost first) that is the module's own code."""
        codes = list(_codes(self.names.modules[fqn]))
        found = [
            (file, line)
            for file, line in lines
            if any(code.co_filename == file and line in _line_range(code) for code in codes)
        ]
        return source_at(*found[-1]) if found else None

    def way_to(self, fqn: str, lines: Sequence[tuple[str, int]]) -> tuple[Source, ...]:
        """The module's own line among `lines` (outermost first), and what leads to it if it is torch's: the user's line that calls it."""
        own = self.own_line(fqn, lines)
        return (
            ()
            if own is None
            else _way(
                own, [source_at(*line) for line in lines[: lines.index((own.file, own.line))]]
            )
        )


def _way(own: Source, outer: Iterable[Source]) -> tuple[Source, ...]:
    """Nobody can change torch's own modules: the user's line that calls one comes first."""
    user = (
        [line for line in outer if not _TORCH.search(line.file)] if _TORCH.search(own.file) else []
    )
    return (*user[-1:], own)


def source_at(file: str, line: int, function: str = "") -> Source:
    """A line of code, also of a notebook cell."""
    return Source(file, line, linecache.getline(file, line).strip(), function)


def _source_of(frame: types.FrameType, line: int) -> Source:
    return source_at(frame.f_code.co_filename, line, frame.f_code.co_name)


def exception_chain(error: BaseException) -> list[BaseException]:
    """The exception and its causes, innermost cause first."""
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in chain:
        chain.append(current)
        current = current.__cause__
    return list(reversed(chain))


def from_frames(frames: list[Frame], locator: Locator) -> Clue | None:
    """The innermost module of the model among `frames` (outermost first), with the line of its own code."""
    for position in range(len(frames) - 1, -1, -1):
        frame, line = frames[position]
        fqn = _module_of(frame, locator)
        if fqn is None:
            continue
        below = [_source_of(*inner) for inner in frames[position + 1 :]]
        user = [line for line in below if not _TORCH.search(line.file)]
        if frame.f_code.co_name in _CALL_PLUMBING:
            # No forward of this module runs: what it called is a hook, the deepest user line below
            # is to blame.
            source = user[-1] if user else None
            return Clue(fqn, ClueKind.FRAME, source)
        source, *deeper = _way(
            _source_of(frame, line), [_source_of(*outer) for outer in frames[:position]]
        )
        return Clue(fqn, ClueKind.FRAME, source, below=(*deeper, *user))
    return None


def from_exception(error: BaseException, locator: Locator) -> list[Clue]:
    """Clues of an exception: the graph node it names if it names one, else the innermost frame of the user's modules."""
    found: list[Clue] = []
    for link in exception_chain(error):
        frames = list(traceback.walk_tb(link.__traceback__))
        node = _fx_node_of(frames)
        named = from_fx_node(node, locator) if node is not None else []
        if node is not None and torch_internals.is_untranslated(link):
            named = [replace(clue, reason=_complex_reason(node)) for clue in named]
        others = (
            _from_torchscript_frames(frames, locator),
            from_frames(frames, locator),
            _from_held_objects(frames, locator),
        )
        found += [clue for clue in (*named, *others) if clue is not None and clue not in found]
    nodes = [clue for clue in found if clue.kind is ClueKind.NODE]
    return nodes or found[:1] or _from_defined_at(error, locator)


def _module_of(frame: types.FrameType, locator: Locator) -> str | None:
    held = frame.f_locals.get("self")
    return None if held is None else locator.names.fqn(held)


def _fx_node_of(frames: list[Frame]) -> fx.Node | None:
    for frame, _ in reversed(frames):
        for held in frame.f_locals.values():
            if isinstance(held, fx.Node) and (
                held.meta.get("nn_module_stack") or held.meta.get("stack_trace")
            ):
                return held
    return None


def _complex_reason(node: fx.Node) -> str:
    """Many operators have a translation for real numbers only; that they have none at all would be wrong to say."""
    values = [used.meta.get("val") for used in node.all_input_nodes]
    kinds = sorted(
        {
            str(value.dtype).removeprefix("torch.")
            for value in values
            if isinstance(value, torch.Tensor) and value.is_complex()
        }
    )
    op = operator_name(node.target)
    return (
        f"{op.removesuffix('.default')} has no ONNX translation for {kinds[0]}"
        if kinds and op
        else ""
    )


def from_fx_node(node: fx.Node, locator: Locator, kind: ClueKind = ClueKind.NODE) -> list[Clue]:
    """The innermost module of a node's `nn_module_stack`, with the line of its `stack_trace`.

    Inside a branch of `torch.cond` there is no such stack: there, every module whose code has the
    line.
    """
    lines = parse_stack_trace(node.meta.get("stack_trace") or "")
    stack = node.meta.get("nn_module_stack") or {}
    for path, _ in reversed(list(stack.values())):
        fqn = locator.fqn(path)
        if fqn is not None:
            user = [source_at(*line) for line in lines if not _TORCH.search(line[0])]
            way = (
                locator.way_to(fqn, lines)
                or _unseen(locator.names.modules[fqn])
                or tuple(user[-1:])
            )
            below = user[user.index(way[-1]) + 1 :] if way and way[-1] in user else []
            return [
                Clue(
                    fqn,
                    kind,
                    way[0] if way else None,
                    operator_name(node.target),
                    below=(*way[1:], *below),
                )
            ]
    return [
        replace(clue, op=operator_name(node.target))
        for clue in from_lines(reversed(lines), locator, kind)
    ]


def _unseen(module: nn.Module) -> tuple[Source, ...]:
    """The line of a module's only function that a capture's stack traces leave out: a hook, or a forward of another name."""
    given = [
        *torch_internals.forward_hooks(module),
        *(held for name, held in vars(module).items() if name == "forward"),
    ]
    functions = [
        inspect.unwrap(getattr(held, "__func__", held))
        if inspect.isroutine(held)
        else type(held).__call__
        for held in given
    ]
    user = [
        found
        for found in functions
        if isinstance(found, types.FunctionType) and not _TORCH.search(found.__code__.co_filename)
    ]
    if len(user) != 1:
        return ()
    code = user[0].__code__
    return (
        syntax.only_return(user[0])
        or source_at(code.co_filename, code.co_firstlineno, code.co_name),
    )


def parse_stack_trace(text: str) -> list[tuple[str, int]]:
    """(file, line) of each frame of a formatted stack, outermost first."""
    return [(file, int(line)) for file, line in re.findall(r'File "([^"]+)", line (\d+)', text)]


def operator_name(target: Any) -> str | None:
    """`namespace::name.overload` of an FX target, or None for a Python function."""
    schema = getattr(target, "_schema", None)
    if schema is None:
        return None
    return f"{schema.name}.{schema.overload_name}" if schema.overload_name else str(schema.name)


def unknown_output(model: nn.Module, output: Any) -> Clue | None:
    """The whole model's clue when it returns an object that `torch.export` cannot take apart; no frame and no node names that."""
    known = torch.Tensor | bool | int | float | complex | str | torch.dtype | torch.device | None
    strange = [
        type(leaf).__name__
        for leaf in torch_internals.tree_leaves(output)
        if not isinstance(leaf, known)
    ]
    if not strange:
        return None
    reason = f"returns an object of class {strange[0]}, which torch.export cannot take apart"
    return Clue(
        "", ClueKind.FRAME, syntax.only_return(inspect.unwrap(type(model).forward)), reason=reason
    )


def untranslatable(program: Any, known: Any, locator: Locator) -> list[Clue]:
    """Every operator of a decomposed program that has no ONNX translation: one clue for each module."""
    found: dict[str, Clue] = {}
    for graph_module in program.graph_module.modules():
        for node in getattr(graph_module, "graph", fx.Graph()).nodes:
            if (
                node.op != "call_function"
                or operator_name(node.target) is None
                or known(node.target)
            ):
                continue
            if getattr(node.target, "namespace", "") == "onnx_symbolic":  # a placeholder
                continue
            for clue in from_fx_node(node, locator, ClueKind.SCAN):
                found.setdefault(clue.fqn, clue)
    return list(found.values())


def drawing_random_numbers(program: Any, locator: Locator) -> list[Clue]:
    """Every operator of a captured program that draws random numbers: one clue for each module."""
    found: dict[str, Clue] = {}
    for node in program.graph_module.graph.nodes:
        if torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()):
            for clue in from_fx_node(node, locator, ClueKind.RANDOM):
                found.setdefault(clue.fqn, replace(clue, reason="draws random numbers"))
    return list(found.values())


def _from_torchscript_frames(frames: list[Frame], locator: Locator) -> Clue | None:
    for frame, _ in reversed(frames):
        for held in frame.f_locals.values():
            node = torch_internals.torchscript_node(held)
            if node is not None and node.scopeName():
                return from_torchscript_node(node, locator)
    return None


def _from_held_objects(frames: list[Frame], locator: Locator) -> Clue | None:
    """The module that holds what the exporter was looking at when it failed, before any forward ran."""
    for frame, _ in reversed(frames):
        for held in frame.f_locals.values():
            if torch_internals.stops_captures(held):
                known = locator.names.modules
                owners = [
                    fqn
                    for fqn, module in known.items()
                    if any(held is own for own in torch_internals.held_by(module))
                ]
                return (
                    Clue(locator.names.canonical(owners[0]) or "", ClueKind.FRAME)
                    if owners
                    else None
                )
    return None


def from_torchscript_node(node: Any, locator: Locator) -> Clue | None:
    """The module of a legacy graph node's scope ("Net::/Block::blocks.0/BadQr::extra")."""
    fqn = locator.fqn_of_scopes(part.partition("::")[2] for part in node.scopeName().split("/"))
    if fqn is None:
        return None
    stack = [
        (file, int(line))
        for file, line in re.findall(r"^(.+?)\((\d+)\):", node.sourceRange(), re.MULTILINE)
    ]
    # Outside of the trial the stack is that of our caller.
    lines = list(itertools.takewhile(lambda line: not _TRIAL.search(line[0]), stack))
    way = locator.way_to(fqn, lines[::-1]) or tuple(source_at(*line) for line in lines[:1])
    return Clue(fqn, ClueKind.NODE, way[0] if way else None, op=node.kind(), below=way[1:])


def _from_defined_at(error: BaseException, locator: Locator) -> list[Clue]:
    """Errors of the legacy exporter's C++ passes carry the Python stack in their text ("Defined at: file(line): function")."""
    for link in exception_chain(error):
        lines = [
            (file.strip(), int(line))
            for file, line in re.findall(r"^(.+?)\((\d+)\): ", str(link), re.MULTILINE)
        ]
        clues = from_lines(lines, locator, ClueKind.NODE)
        if clues:
            return clues
    return []


def from_lines(
    lines: Iterable[tuple[str, int]], locator: Locator, kind: ClueKind, reason: str = ""
) -> list[Clue]:
    """All modules whose own code holds the first of `lines` (innermost first) that any module's code holds."""
    for file, line in lines:
        owners = [
            fqn
            for fqn in dict.fromkeys(names[0] for names in locator.names.names.values())
            if any(
                code.co_filename == file and line in _line_range(code)
                for code in _codes(locator.names.modules[fqn])
            )
        ]
        if owners:
            return [Clue(fqn, kind, source_at(file, line), reason=reason) for fqn in owners]
    return []


def from_tracer_warnings(warned: Iterable[Any], locator: Locator) -> list[Clue]:
    """Where the legacy exporter froze a branch or a size into the graph."""
    found: list[Clue] = []
    for warning in warned:
        traced: type[Warning] = torch.jit.TracerWarning  # type: ignore[attr-defined]
        if issubclass(warning.category, traced) and not _TORCH.search(warning.filename):
            found.extend(
                from_lines([(warning.filename, warning.lineno)], locator, ClueKind.TRACER_WARNING)
            )
    return found


def from_onnx_nodes(nodes: Iterable[onnx.NodeProto], locator: Locator) -> list[Clue]:
    """The modules of graph nodes, by the metadata or the names that the exporter gave them."""
    found: dict[str, Clue] = {}
    for node in nodes:
        path = display.node_modules([node], [node.name], modules=list(locator.names.modules))[
            node.name
        ]
        fqn = None if path is None else locator.fqn(path)
        if fqn is not None:
            stack = next(
                (
                    entry.value
                    for entry in node.metadata_props
                    if entry.key == "pkg.torch.onnx.stack_trace"
                ),
                "",
            )
            way = locator.way_to(fqn, parse_stack_trace(stack))
            found.setdefault(
                fqn,
                Clue(
                    fqn,
                    ClueKind.RUNTIME_NODE,
                    way[0] if way else None,
                    op=node.op_type,
                    below=way[1:],
                ),
            )
    return list(found.values())


def _codes(module: nn.Module) -> Iterator[types.CodeType]:
    """The code of all functions that the module or its class defines, nested ones included."""
    own = [
        held for held in vars(module).values() if inspect.isroutine(held)
    ]  # a forward that was given to one module only
    kinds = itertools.takewhile(lambda kind: kind is not nn.Module, type(module).__mro__)
    for members in (own, *(vars(kind).values() for kind in kinds)):
        for member in members:
            function = inspect.unwrap(member) if callable(member) else getattr(member, "fget", None)
            code = getattr(function, "__code__", None)
            if isinstance(code, types.CodeType):
                yield from _nested(code)


def _nested(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _nested(constant)


def _line_range(code: types.CodeType) -> range:
    lines = [line for _, _, line in code.co_lines() if line]
    return range(min(lines, default=0), max(lines, default=-1) + 1)
