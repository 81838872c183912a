"""OD0xx: the model itself fails, before anything is exported."""

from __future__ import annotations

from onnx_debug.data.stage import Stage
from onnx_debug.render.knowledge.entry import COND, Entry, Sign

_PLAIN = "make the plain call model(*args, **kwargs) work first; nothing was exported."


def _raises(*exceptions: str) -> tuple[Sign, ...]:
    return (Sign((Stage.EAGER,), exceptions=exceptions),)


ENTRIES = (
    Entry(
        "OD001",
        "the model's own check refuses the inputs",
        "A line of the model raises an error of its own, or asserts something that does not hold. "
        "The example inputs are not what the model expects: another size, type or range.",
        "pass example inputs that this line accepts; the plain call has to work first.",
        (Sign((Stage.EAGER,), checks=True),),
        quotes=True,
    ),
    Entry(
        "OD002",
        "an index is out of range",
        "An index points beyond the end of what it indexes: a token id not below the size of the "
        "embedding, a position beyond the table of positions.",
        "pass indices within range: random ids need an upper bound, torch.randint(0, vocabulary, size).",
        _raises("IndexError"),
        says=("index out of range in self",),
        quotes=True,
    ),
    Entry(
        "OD003",
        "an argument has the wrong type",
        "A function of torch or the model's forward gets something that it does not take, often "
        "None for a tensor that has to be passed, or one argument too few.",
        _PLAIN,
        _raises("TypeError"),
        says=("must be Tensor, not NoneType", "missing 1 required positional argument"),
        quotes=True,
    ),
    Entry(
        "OD004",
        "a name or a key is missing",
        "The code asks for an attribute, a variable or a key that is not there. That is a mistake "
        "in the model, or a version of a library that it was not written for.",
        _PLAIN,
        _raises("AttributeError", "KeyError", "NameError", "ModuleNotFoundError"),
        says=("object has no attribute",),
        quotes=True,
    ),
    Entry(
        "OD005",
        "torch cannot run an operator on this type or device",
        "Not every operator exists for every type of numbers and every device; on the CPU those of "
        "uint16, float8 and float16 are few.",
        "run the model in a type that the operator has, or on the device that it was written for.",
        _raises("NotImplementedError"),
        says=('"add_stub" not implemented for',),
        quotes=True,
    ),
    Entry(
        "OD006",
        "torch.cond or another operator of control flow does not take its branches",
        "Both branches must be functions of tensors alone, return as many tensors of equal shape "
        "and type, change nothing in place, and return nothing that shares memory with an input.",
        "return new tensors of one shape from both branches (.clone() where one returns its input).",
        _raises("UncapturedHigherOrderOpError"),
        says=("This higher order operator doesn't work unless it is captured completely",),
        lesson="06",
        page=COND,
        quotes=True,
    ),
    Entry(
        "OD007",
        "shapes or types do not fit together",
        "An operator gets tensors that it cannot combine: sizes that differ, or whole numbers where "
        "the weights are floating point. Mostly the example inputs are not those of the model.",
        "compare the shapes and types of the example inputs with what this line needs.",
        _raises("RuntimeError", "ValueError"),
        says=(
            "mat1 and mat2 shapes cannot be multiplied",
            "mat1 and mat2 must have the same dtype",
        ),
        quotes=True,
    ),
    Entry(
        "OD009",
        "the model itself fails",
        "The plain call of the model raises an error, so there is nothing to export.",
        _PLAIN,
        (Sign((Stage.EAGER,)),),
        quotes=True,
    ),
)
