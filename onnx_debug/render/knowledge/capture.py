"""OD1xx: the exporter runs the model to see what it computes, and cannot follow it."""

from __future__ import annotations

from onnx_debug.data.failure import ClueKind, Decision, Topic
from onnx_debug.data.stage import Stage
from onnx_debug.render.knowledge.entry import COND, EXAMPLES, FAKE_KERNEL, ONNX, Entry, Sign

_AT = (Stage.CAPTURE,)


def _decides(decision: Decision) -> tuple[Sign, ...]:
    return (Sign(_AT, decisions=(decision,)),)


ENTRIES = (
    Entry(
        "OD101",
        "branches on a tensor's value",
        "The exporter runs the model without numbers, to get one graph for all inputs. An `if` that "
        "asks for the value of a tensor has no answer then.",
        "choose with torch.where or torch.cond, or compute the flag outside the model and pass it in.",
        _decides(Decision.BRANCH_ON_VALUE),
        says=("Could not guard on data-dependent expression", "GuardOnDataDependentSymNode"),
        lesson="06",
        page=COND,
    ),
    Entry(
        "OD102",
        "takes a number or a size out of a tensor's values",
        "`int(t)`, `t.item()` or `t.tolist()` make a Python number of a tensor whose values are "
        "not known during the capture, and the code then needs to know which number it is.",
        "keep sizes Python numbers (x.shape[i], an int argument), or say with torch._check what the number can be.",
        _decides(Decision.SIZE_FROM_VALUE),
        says=("Could not guard on data-dependent expression", "GuardOnDataDependentSymNode"),
        lesson="06",
        page=EXAMPLES,
    ),
    Entry(
        "OD103",
        "branches on a size that depends on a tensor's values",
        "Indexing with a mask, `nonzero` and `unique` return as many rows as the values say. An "
        "`if` on that number has no answer while the values are unknown.",
        "say with torch._check which way the size always goes, or do it in every case (pad, slice) without asking.",
        _decides(Decision.BRANCH_ON_SIZE),
        says=("Could not guard on data-dependent expression u0 > ",),
        lesson="06",
        page=EXAMPLES,
    ),
    Entry(
        "OD104",
        "loops as a tensor's values say",
        "How often the loop runs depends on values that are not known during the capture, so it "
        "cannot be unrolled into a graph.",
        "compute all steps and select with a mask, in place of a loop that ends by a value.",
        _decides(Decision.LOOP_OVER_VALUES),
        says=("Could not guard on data-dependent expression",),
        lesson="06",
        page=EXAMPLES,
    ),
    Entry(
        "OD105",
        "control flow or a size depends on a tensor's values",
        "The exporter runs the model without numbers. Somewhere the code asks for one; its source "
        "cannot be read, so which question it is cannot be told.",
        "choose with torch.where or torch.cond, or compute it outside the model and pass it in.",
        (Sign(_AT, exceptions=("GuardOnDataDependentSymNode", "DataDependentOutputException")),),
        says=("Could not guard on data-dependent expression",),
        lesson="06",
        page=COND,
    ),
    Entry(
        "OD107",
        "the size of a result depends on a tensor's values",
        "The operator returns as many elements as the values say, and torch has no rule for a "
        "result of unknown size from it.",
        "use a mask of constant size in place of indexing by values.",
        (Sign(_AT, exceptions=("DynamicOutputShapeException",)),),
        says=("DynamicOutputShapeException",),
        lesson="06",
    ),
    Entry(
        "OD108",
        "an operator does not say the shape of its result (no fake kernel)",
        "A capture runs the model on tensors without data. A custom operator needs a second "
        "implementation for that, which returns an empty tensor of the right shape and type.",
        "register a fake kernel for it: torch.library.register_fake.",
        (Sign(_AT, exceptions=("UnsupportedOperatorException",)),),
        says=("UnsupportedOperatorException",),
        lesson="02",
        page=FAKE_KERNEL,
    ),
    Entry(
        "OD109",
        "hard-codes a dimension that was requested as dynamic",
        "A line makes a number of a size that was to stay open: `int(x.shape[0])`, a comparison "
        "with a number, a reshape to fixed sizes, a product with a weight of that size.",
        "keep that size symbolic (x.shape[i], no int(), no comparison), or leave the dimension out of dynamic_shapes.",
        (
            Sign(_AT, exceptions=("ConstraintViolationError",)),
            Sign(_AT, clues=(ClueKind.SPECIALIZATION,)),
        ),
        says=(
            "Found the following conflicts between user-specified ranges and inferred ranges",
            "Constraints violated",
        ),
        lesson="03",
        page=ONNX,
    ),
    Entry(
        "OD110",
        "returns an object that torch.export cannot take apart",
        "A graph returns tensors. torch knows how to take lists, tuples and dicts apart, and "
        "dataclasses that were registered, but no other objects.",
        "return tensors in a tuple or a dict, or register the class: torch.export.register_dataclass.",
        (Sign(_AT, topics=(Topic.OUTPUT,)),),
        legacy="return tensors in a tuple; the legacy exporter takes no other objects apart.",
        says=(
            "which is not a known type. If this type holds tensors, you need to register a pytree",
        ),
        lesson="05",
    ),
    Entry(
        "OD111",
        "holds an object that a capture cannot look into",
        "The packed weights of a quantised layer and other TorchScript objects live outside Python, "
        "so the capture stops on them before it runs the model.",
        "export the model as it was before it was quantised or scripted, and quantise the ONNX file.",
        (Sign(_AT, topics=(Topic.HELD,)),),
        says=("does not have a field with name '__obj_flatten__'",),
        lesson="02",
    ),
    Entry(
        "OD112",
        "calls itself too deeply",
        "Python ends a call that nests too deeply. Under a capture a function calls itself more often "
        "than otherwise, because the number that would end it is not known, or each call takes more frames.",
        "write the recursion as a loop, or end it by a Python number.",
        (Sign(_AT, exceptions=("RecursionError",)),),
        says=("maximum recursion depth exceeded",),
    ),
    Entry(
        "OD113",
        "the model's own check stops the export",
        "The line raises or asserts by itself. During a capture it sees other things than in a plain "
        "call: symbolic sizes, tensors without data, torch.compiler.is_exporting().",
        "leave the check out during an export (if not torch.compiler.is_exporting(): ...), or say it with torch._check.",
        (Sign(_AT, checks=True),),
        legacy="leave the check out during an export (if not torch.onnx.is_in_onnx_export(): ...).",
        quotes=True,
    ),
    Entry(
        "OD115",
        "uses a number from a tensor where Python needs to know it",
        "What a capture hands out in place of a number is symbolic: it can be computed with, but it "
        "is no key of a dict, no index into a list and no argument of a function of C.",
        "look the value up with tensor operations (torch.where, index_select), or pass the number in as an int.",
        (Sign(_AT, exceptions=("TypeError",)),),
        says=("unhashable type: non-nested SymInt", "cond must be a bool, but got a Tensor"),
        lesson="06",
        quotes=True,
    ),
    Entry(
        "OD100",
        "the capture stops",
        "The exporter runs the model on tensors that have a shape and a type and no data. A line does "
        "something that needs more than that: it reads memory, calls another library, or changes objects.",
        "change what {this} does, or leave it out of the exported model; {error} has the details.",
        (Sign(_AT),),
        says=("Cannot access data pointer of Tensor (e.g. FakeTensor, FunctionalTensor)",),
        quotes=True,
    ),
)
