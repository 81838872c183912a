"""OD2xx: the model was captured, and an operator of it cannot be written as ONNX. Single operators: `operators`."""

from __future__ import annotations

from onnx_debug.data.failure import ClueKind, Topic
from onnx_debug.data.stage import Stage
from onnx_debug.render.knowledge.entry import CUSTOM_OPERATORS, ONNX, Entry, Sign

AT = (Stage.TRANSLATE,)
# By both exporters: the new one knows no function for it, the legacy one no symbolic.
UNTRANSLATED = ("DispatchError", "UnsupportedOperatorError")
TABLE = "pass custom_translation_table={{torch.ops.{call}: your_function}}"
NEW_EXPORTER = "export with dynamo=True, which translates other operators"


def untranslated(*ops: str) -> tuple[Sign, ...]:
    """These operators have no translation."""
    return (Sign(AT, exceptions=UNTRANSLATED, ops=ops), Sign(AT, clues=(ClueKind.SCAN,), ops=ops))


# Before the entries of single operators: what holds for any of them.
FIRST = (
    Entry(
        "OD203",
        "an operator has an ONNX translation from a later opset on only",
        "The exporter knows the operator, but only in a later version of ONNX's operators than the one "
        "that was asked for, or than its default.",
        "pass opset_version={opset}, or a later one.",
        (Sign(AT, later_opset=True),),
        says=("is not supported. Support for this operator was added in version",),
        lesson="04",
        of_operator="{op} has an ONNX translation from opset {opset} on only",
    ),
    Entry(
        "OD204",
        "an operator has no ONNX translation for complex numbers",
        "ONNX has no arithmetic of complex numbers. The exporter writes them as pairs of real numbers "
        "for some operators; this one it knows for real numbers only.",
        "compute the real and the imaginary part as two real tensors (torch.view_as_real).",
        (Sign(AT, topics=(Topic.COMPLEX,)),),
        says=(
            "No ONNX function found",
            "Failure message: No decompositions registered for the complex-valued input",
        ),
        lesson="02",
        of_operator="{op} has no ONNX translation for complex numbers",
    ),
)

# After them.
LAST = (
    Entry(
        "OD202",
        "a custom operator has no ONNX translation",
        "The operator does not belong to torch, so no exporter can know it. What it computes has to be "
        "said in ONNX, or kept as an operator of a domain of its own that the runtime has to know.",
        f"{TABLE}.",
        (Sign(AT, exceptions=UNTRANSLATED, custom=True),),
        legacy="register a translation: torch.onnx.register_custom_op_symbolic.",
        says=(
            "ONNX export failed on an operator with unrecognized namespace",
            "No ONNX function found",
        ),
        lesson="02",
        of_operator="{op} has no ONNX translation",
        page=CUSTOM_OPERATORS,
    ),
    Entry(
        "OD201",
        "an operator has no ONNX translation",
        "ONNX has some 200 operators, torch some 2000. The exporter takes this one apart no further, "
        "and knows no ONNX operators that compute it.",
        f"write it with other operators, or {TABLE}.",
        (
            Sign(AT, exceptions=UNTRANSLATED),
            Sign(AT, clues=(ClueKind.SCAN,)),
        ),
        legacy=f"{NEW_EXPORTER}, or write it with other operators.",
        says=("No ONNX function found for", "Exporting the operator", "to ONNX opset version"),
        lesson="02",
        of_operator="{op} has no ONNX translation",
        page=ONNX,
    ),
    Entry(
        "OD205",
        "the translation of an operator refuses its arguments",
        "The exporter knows the operator, but not with this combination of arguments: a value that must "
        "be a constant, an option that ONNX lacks, a range of numbers that it does not have.",
        "write {this} with arguments that the translation takes; its message says which.",
        (Sign(AT, exceptions=("SymbolicValueError", "NotImplementedError")),),
        legacy="write {this} with arguments that the translation takes, or export with dynamo=True.",
        says=("[Caused by the value", "is not supported in this export path"),
        lesson="02",
        quotes=True,
    ),
    Entry(
        "OD206",
        "the translation of an operator fails",
        "The exporter has a translation, and that raises an error of its own: with these arguments it "
        "does something that its authors did not foresee.",
        f"write {{this}} with other operators, or {TABLE}.",
        (Sign(AT, ops=("?*",)),),
        legacy=f"{NEW_EXPORTER}, or write {{this}} with other operators.",
        quotes=True,
    ),
    Entry(
        "OD207",
        "the captured graph cannot be written",
        "What was captured cannot be brought into the form of a file: a node that fails when it is "
        "taken apart, or an output that is no tensor.",
        "write {this} with other operators, and return tensors only.",
        (Sign(AT),),
        legacy=f"{NEW_EXPORTER}, and return tensors in a tuple.",
        says=(
            "object has no attribute 'name'",
            "Only tuples, lists and Variables are supported as JIT",
        ),
        lesson="05",
        quotes=True,
    ),
    Entry(
        "OD290",
        "the optimizer of the exporter fails",
        "The model was translated; simplifying the graph then raised an error. The exporter's optimizer "
        "is at fault, no layer.",
        "export with optimize=False to see whether the optimizer alone is at fault.",
        (Sign((Stage.OPTIMIZE,)),),
        quotes=True,
    ),
)
