"""OD3xx: the call of `torch.onnx.export` asks for something that does not fit; no layer is to blame."""

from __future__ import annotations

from onnx_debug.data.request_fault import RequestFault
from onnx_debug.data.stage import Mode, Stage
from onnx_debug.render.knowledge.entry import ONNX, Entry, Sign


def _asks(fault: RequestFault) -> tuple[Sign, ...]:
    """Whatever such a request leads to, at whichever stage."""
    return (Sign(modes=tuple(Mode), request=fault),)


ENTRIES = (
    Entry(
        "OD301",
        "dynamic_shapes has another structure than the arguments",
        "dynamic_shapes mirrors the arguments of forward: one entry for each argument, under its own "
        "name or in order, with the same lists and dicts inside. Names of outputs have no place in it.",
        "give dynamic_shapes one entry for each argument of forward, None where nothing is dynamic.",
        _asks(RequestFault.STRUCTURE),
        says=(
            "When `dynamic_shapes` is specified as a dict, its top-level keys must be the arg names",
        ),
        lesson="03",
        page=ONNX,
    ),
    Entry(
        "OD302",
        "dynamic_shapes contradicts the given input",
        "A dimension was given bounds, a number or a formula that the example input does not meet.",
        "widen the bounds of the Dim, or pass an example input within them.",
        _asks(RequestFault.SIZES),
        lesson="03",
        page=ONNX,
    ),
    Entry(
        "OD303",
        "one dimension's name stands for two sizes",
        "The same name, or the same Dim, in two places says that these sizes are always equal; in the "
        "example inputs they differ.",
        "give sizes that can differ names of their own, and use one Dim object where they are equal.",
        _asks(RequestFault.NAMES),
        lesson="03",
        page=ONNX,
    ),
    Entry(
        "OD304",
        "two names stand for sizes that the model needs equal",
        "The model adds or multiplies tensors along these dimensions, so one size decides the other. "
        "torch refuses two names for one size.",
        "use one and the same Dim in both places.",
        _asks(RequestFault.EQUAL),
        says=("Constraints violated", "The values of "),
        lesson="03",
        page=ONNX,
    ),
    Entry(
        "OD305",
        "dynamic_shapes was passed to the legacy exporter",
        "The legacy exporter knows dynamic_axes only, by the names in input_names.",
        "pass dynamo=True, or dynamic_axes together with input_names.",
        _asks(RequestFault.SHAPES_LEGACY),
        lesson="03",
        page=ONNX,
    ),
    Entry(
        "OD306",
        "dynamic_axes names no input, or no dimension of it",
        "dynamic_axes goes by names. The legacy exporter takes them from input_names and output_names "
        "and ignores all others; the new one makes dynamic_shapes of the entries, by their order.",
        "use dynamic_shapes with forward's own names, or name in input_names what dynamic_axes speaks of.",
        _asks(RequestFault.AXES),
        says=("Failed to convert 'dynamic_axes' to 'dynamic_shapes'",),
        lesson="10",
        page=ONNX,
    ),
    Entry(
        "OD307",
        "no exporter writes this opset",
        "An opset is a version of ONNX's operators. Each exporter writes some of them; onnx_debug.compat() "
        "shows which.",
        "leave opset_version out, or pass one that this exporter writes.",
        _asks(RequestFault.OPSET),
        says=("Unsupported ONNX opset version",),
        lesson="04",
        page=ONNX,
    ),
    Entry(
        "OD308",
        "the opset is too old for this model",
        "An operator of the model came into ONNX, or into the exporter, with a later opset than the "
        "one that was asked for.",
        "ask for a later opset_version.",
        _asks(RequestFault.OLD_OPSET),
        says=(
            "to ONNX opset version 11 is not supported. Support for this operator was added in version",
        ),
        lesson="04",
    ),
    Entry(
        "OD309",
        "names of inputs or outputs do not fit the graph",
        "input_names and output_names are handed out by position. There may be no more names than "
        "inputs, each must be a string, and no two may be equal.",
        "pass a list with one name for each input or output, all different.",
        _asks(RequestFault.BORDER),
        says=("Duplicate definition of name",),
        lesson="10",
    ),
    Entry(
        "OD310",
        "custom_translation_table has an entry that is not used",
        "The table maps an overload of an operator, such as torch.ops.aten.relu.default, to a function "
        "that builds ONNX nodes. Other keys match nothing, and the legacy exporter ignores the table.",
        "use the overload as the key (torch.ops.<namespace>.<name>.default).",
        _asks(RequestFault.TABLE),
        legacy="use torch.onnx.register_custom_op_symbolic; the legacy exporter ignores the table.",
        lesson="02",
        page=ONNX,
    ),
    Entry(
        "OD311",
        "a ScriptModule cannot be captured by the new exporter",
        "torch.jit.script and torch.jit.trace make a program of their own, which only the legacy "
        "exporter reads.",
        "pass the model as it was before torch.jit, or dynamo=False.",
        _asks(RequestFault.SCRIPT),
        lesson="05",
    ),
    Entry(
        "OD312",
        "no export works in the context around the call",
        "The call stands within torch.autocast, a default device or another mode of torch, in which "
        "the same call fails that works outside of it.",
        "call torch.onnx.export outside of that context.",
        _asks(RequestFault.SURROUNDINGS),
    ),
    Entry(
        "OD300",
        "the request is refused",
        "The exporter refuses the call before it runs the model: an input of a class that it does "
        "not know, an option that it cannot read, or options that do not fit the model together.",
        "pass tensors and plain Python values only, in tuples, lists and dicts; leave out the options one by one.",
        (Sign((Stage.OPTIONS,)), *_asks(RequestFault.UNEXPLAINED)),
        says=(
            "Unsupported input type",
            "Only tuples, lists and Variables are supported as JIT inputs",
        ),
        lesson="05",
        page=ONNX,
        quotes=True,
    ),
)
