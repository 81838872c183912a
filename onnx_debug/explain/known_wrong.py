"""Translations that are known to answer wrongly, found by running them on torch 2.13 and ONNX Runtime 1.32."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

TORCH = "2.13"


@dataclass(frozen=True)
class Known:
    """One operator.

    Attributes:
        wrong: what the exported file does, in plain words.
        dynamo: by which exporter; None: by both.
        argument: only where this optional argument is passed.
    """

    wrong: str
    dynamo: bool | None = None
    argument: str = ""


_KNOWN: dict[str, tuple[Known, ...]] = {
    "amax": (Known("NaN is left out of the maximum"),),
    "amin": (Known("NaN is left out of the minimum"),),
    "argmax": (Known("NaN is left out of the maximum"),),
    "argmin": (Known("NaN is left out of the minimum"),),
    "atan2": (
        Known("atan2(0, negative) is -π for π"),
        Known("atan2(0, 0) is NaN for 0", dynamo=False),
    ),
    "avg_pool2d": (Known("divisor_override is ignored", argument="divisor_override"),),
    "baddbmm": (Known("with beta=0, NaN in the first input reaches the result", argument="beta"),),
    "binary_cross_entropy_with_logits": (Known("large logits give inf", dynamo=False),),
    "cdist": (Known("p=1 gives NaN", dynamo=False, argument="p"),),
    "cross_entropy": (
        Known(
            "label_smoothing together with ignore_index gives another number",
            dynamo=True,
            argument="label_smoothing",
        ),
    ),
    "expm1": (Known("numbers near zero lose their digits", dynamo=True),),
    "floor_divide": (Known("negative numbers are rounded towards zero", dynamo=False),),
    "index_put": (
        Known(
            "accumulate=True adds a repeated index once only", dynamo=False, argument="accumulate"
        ),
    ),
    "log_sigmoid": (Known("very negative numbers give -inf"),),
    "matrix_power": (Known("the power 0 of a batch has another shape"),),
    "max_pool": (Known("NaN is left out of the maximum"),),
    "mean": (Known("the mean of nothing is 0 for NaN"),),
    "pairwise_distance": (Known("p=1 gives NaN", dynamo=False, argument="p"),),
    "remainder": (Known("the remainder by inf is NaN"),),
    "roll": (Known("a shift of more than the size is ignored", dynamo=False),),
    "scaled_dot_product_attention": (
        Known("a row that the mask hides entirely gets ordinary values for 0", dynamo=True),
    ),
    "scatter_reduce": (Known("'mean' counts the input itself wrongly", dynamo=True),),
    "sign": (Known("the sign of NaN is NaN for 0"),),
    "softplus": (Known("beta and threshold change places beyond the threshold", dynamo=False),),
    "topk": (Known("sorted=False gives another order", argument="sorted"),),
    "unfold": (Known("the last two dimensions are swapped", dynamo=False),),
    "xlogy": (Known("0 times the logarithm of NaN is 0 for NaN", dynamo=True),),
}
_SAME_AS = {
    "__floordiv__": "floor_divide",
    "floordiv": "floor_divide",
    "__rshift__": "floor_divide",
    "__mod__": "remainder",
    "index_put_": "index_put",
    "log_sigmoid_forward": "log_sigmoid",
    "logsigmoid": "log_sigmoid",
    "max_pool1d": "max_pool",
    "max_pool2d": "max_pool",
    "max_pool3d": "max_pool",
    "scatter_reduce_": "scatter_reduce",
}


def known_wrong(operator: str, passed: Iterable[str] = (), *, dynamo: bool) -> str:
    """What is known to be wrong about the translation of an operator or a function; empty if nothing is.

    Args:
        operator: `aten::amax`, `aten::atan2.default` or `torch.nn.functional.softplus`.
        passed: names of the optional arguments that are passed to it.
        dynamo: by which exporter.
    """
    name = operator.rpartition("::")[2].partition(".")[0] if "::" in operator else operator
    name = name.rpartition(".")[2]
    rows = _KNOWN.get(_SAME_AS.get(name, name), ())
    found = [
        row.wrong
        for row in rows
        if row.dynamo in (None, dynamo) and (not row.argument or row.argument in passed)
    ]
    return f"known to be wrong in torch {TORCH}: {'; '.join(found)}" if found else ""
