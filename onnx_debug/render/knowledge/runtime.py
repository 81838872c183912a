"""OD4xx: a file was written, and ONNX Runtime refuses it or fails while it runs."""

from __future__ import annotations

from onnx_debug.data.failure import ClueKind
from onnx_debug.data.stage import Stage
from onnx_debug.render.knowledge.entry import Entry, Sign

_LOAD, _RUN = (Stage.LOAD,), (Stage.RUN,)
_SPECIALIZED = (ClueKind.SPECIALIZATION,)

ENTRIES = (
    Entry(
        "OD401",
        "ONNX Runtime has no kernel for an operator with this type",
        "The file is valid, but ONNX Runtime implements the operator for other types of numbers only, "
        "mostly float32. float64, bfloat16 and small integers lack many kernels on the CPU.",
        "compute {this} in float32 and cast the result back.",
        (Sign(_LOAD, exceptions=("NotImplemented",)),),
        says=("NOT_IMPLEMENTED : Could not find an implementation for",),
        lesson="04",
        quotes=True,
    ),
    Entry(
        "OD402",
        "the file breaks ONNX's rules",
        "The exporter wrote a graph that ONNX does not allow: an operator with a type of numbers that "
        "it does not take, or two values of one name.",
        "cast to a type that ONNX allows there (int64 or float32), or write {this} with other operators.",
        (Sign(_LOAD, exceptions=("InvalidGraph",)),),
        says=("INVALID_GRAPH", "This is an invalid model. Type Error: Type"),
        lesson="04",
        quotes=True,
    ),
    Entry(
        "OD403",
        "ONNX Runtime does not load the file",
        "The file holds an operator of a domain that ONNX Runtime has no library for, an opset that "
        "is newer than the runtime, or it returns nothing.",
        "try another opset_version; for an operator of your own register its library with SessionOptions.",
        (Sign(_LOAD),),
        says=("is not a registered function/op", "Exception during initialization"),
        lesson="04",
        quotes=True,
    ),
    Entry(
        "OD411",
        "the file takes inputs of one size only",
        "A dimension that was asked to be dynamic became a number in the file. It runs with the size "
        "of the example and with no other.",
        "keep that size symbolic (x.shape[i], no int(), no comparison), or leave the dimension out of dynamic_shapes.",
        (Sign(_RUN, refuses_input=True), Sign(_RUN, clues=_SPECIALIZED)),
        legacy="name the dimension in dynamic_axes, and take sizes from x.shape without int().",
        says=(
            "Got invalid dimensions for input",
            "Please fix either the inputs/outputs or the model",
        ),
        lesson="03",
    ),
    Entry(
        "OD410",
        "ONNX Runtime fails while it runs the exported model",
        "The file was loaded, and a node of it refuses what it gets. Mostly a size or a table inside the "
        "graph is that of the example, and the input is larger: shapes do not fit, or an index is out of range.",
        "check the shapes and dtypes that reach {this}; take sizes from x.shape where they are used; try optimize=False.",
        (Sign(_RUN),),
        legacy="check the shapes and dtypes that reach {this}; try dynamo=True.",
        says=(
            "The input tensor cannot be reshaped to the requested shape",
            "Attempting to broadcast an axis by a dimension other than 1",
            "indices element out of data bounds",
        ),
        lesson="03",
        quotes=True,
    ),
)
