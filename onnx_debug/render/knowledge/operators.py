"""OD21x to OD23x: families of operators without a translation. What helps differs from family to family."""

from __future__ import annotations

from onnx_debug.render.knowledge.entry import Entry, Sign
from onnx_debug.render.knowledge.translate import AT, NEW_EXPORTER, untranslated


def _family(code: str, title: str, cause: str, do: str, *ops: str, legacy: str = "") -> Entry:
    """Operators that one kind of rewriting helps."""
    says = ("No ONNX function found for", "Exporting the operator")
    return Entry(
        code,
        f"{title} has no ONNX translation",
        cause,
        do,
        untranslated(*ops),
        legacy,
        says,
        lesson="02",
        of_operator="{op} has no ONNX translation",
    )


def _either(*names: str) -> tuple[str, ...]:
    """An operator under torch's names before and after decomposition, with any overload."""
    return tuple(
        f"{space}::{name}{end}"
        for space in ("aten", "prims")
        for name in names
        for end in ("", ".*")
    )


ENTRIES = (
    _family(
        "OD210",
        "a factorization or a solver",
        "ONNX has the determinant and matrix products, and no factorizations: no QR, Cholesky, SVD or "
        "eigenvalues, and no solver of linear equations that needs them.",
        "compute it outside the model if it only depends on weights; else by matrix products and loops, as docs/operators.md lists.",
        *_either(
            "linalg_*", "_linalg_*", "cholesky*", "lu_*", "geqrf", "ormqr", "triangular_solve"
        ),
    ),
    _family(
        "OD211",
        "a running extremum or product",
        "Of running results ONNX has the sum (CumSum) only.",
        "write it as a loop over a constant length, or as exp(cumsum(log(x))) of positive numbers.",
        *_either("cummax", "cummin", "cumprod", "logcumsumexp", "prod"),
        legacy=f"{NEW_EXPORTER}, or write it as a loop over a constant length.",
    ),
    _family(
        "OD212",
        "sorting or an order statistic",
        "Of sorting ONNX has TopK only. A stable sort, a median, a mode and a k-th value are not "
        "written as that by the exporter.",
        "use torch.topk(x, x.shape[d]) in place of a sort, and pick the place that you need from it.",
        *_either(
            "sort",
            "argsort",
            "median",
            "nanmedian",
            "mode",
            "kthvalue",
            "unique_consecutive",
            "msort",
        ),
    ),
    _family(
        "OD213",
        "a search",
        "ONNX has no binary search.",
        "count instead: (boundaries < x[..., None]).sum(-1) is the place of x among the boundaries.",
        *_either("searchsorted", "bucketize", "isin*", "nonzero_static"),
    ),
    _family(
        "OD214",
        "a gamma function",
        "ONNX has no gamma function; losses of Poisson, Beta and Dirichlet distributions need it.",
        "leave the loss out of the exported model; where the model needs it, use a series, as docs/operators.md lists.",
        *_either(
            "lgamma", "digamma", "polygamma", "igamma", "igammac", "mvlgamma", "special_gamma*"
        ),
    ),
    _family(
        "OD215",
        "a Bessel function",
        "ONNX has no Bessel functions; the Kaiser window is made of one.",
        "compute windows outside the model, and keep them as buffers; else use a polynomial, as docs/operators.md lists.",
        *_either("i0", "i1", "*bessel_*", "special_i0*", "special_i1*"),
    ),
    _family(
        "OD216",
        "an error function",
        "Of the error functions ONNX has Erf only; its inverse and its scaled forms are missing.",
        "write it with torch.erf where that is exact enough; else use a polynomial, as docs/operators.md lists.",
        *_either("erf_inv", "erfinv", "*erfcx", "*ndtri", "*log_ndtr", "erfc"),
    ),
    _family(
        "OD217",
        "a distance between rows",
        "The exporter takes distances apart into an operator that ONNX lacks.",
        "write (a[:, None] - b[None]).pow(2).sum(-1).sqrt(), or use matrix products where memory matters.",
        *_either("cdist", "_cdist_forward", "pdist", "_pdist_forward"),
    ),
    _family(
        "OD218",
        "pooling with places that are drawn or kept",
        "ONNX pools with a regular kernel only.",
        "use a regular pooling (max_pool2d, adaptive pooling to a divisor of the size).",
        *_either("fractional_max_pool*", "max_unpool*", "adaptive_*_pool*", "_adaptive_*_pool*"),
    ),
    _family(
        "OD219",
        "a Fourier transform",
        "The legacy exporter has no complex numbers, which a Fourier transform returns.",
        "write the transform as a product with the matrices of sines and cosines.",
        *_either("fft_*", "_fft_*", "stft", "istft"),
        legacy="export with dynamo=True, which writes DFT; or multiply by matrices of sines and cosines.",
    ),
    _family(
        "OD220",
        "arithmetic of complex numbers",
        "The legacy exporter has no complex numbers.",
        "compute the real and the imaginary part as two real tensors.",
        *_either("complex", "polar", "view_as_complex", "view_as_real", "real", "imag", "angle"),
        legacy="export with dynamo=True, or compute the real and the imaginary part as two real tensors.",
    ),
    _family(
        "OD221",
        "drawing from a distribution",
        "ONNX draws from the uniform and the normal distribution, and categories; not from others.",
        "draw outside the model and pass the random tensor in as an input.",
        *_either(
            "poisson",
            "binomial",
            "_standard_gamma",
            "_sample_dirichlet",
            "exponential*",
            "geometric*",
            "cauchy*",
            "log_normal*",
        ),
    ),
    _family(
        "OD222",
        "a sparse or nested tensor",
        "ONNX Runtime computes with dense tensors; the exporter writes no others.",
        "compute with dense tensors and a mask.",
        *_either("_to_sparse*", "to_sparse*", "_sparse_*", "sparse_*", "_nested_*", "_coalesce*"),
    ),
    _family(
        "OD223",
        "a packed sequence",
        "A packed sequence has as many rows as the lengths say; ONNX's recurrent operators take the "
        "padded sequence and the lengths.",
        "pass the padded sequence to the recurrent layer, and mask what lies beyond the lengths.",
        *_either("_pack_padded_sequence", "_pad_packed_sequence"),
    ),
    _family(
        "OD224",
        "a layer that torch quantised",
        "torch's quantised layers are operators of its own, with packed weights.",
        "export the model in floating point, and quantise the ONNX file (onnxruntime.quantization).",
        "quantized::*",
        *_either("quantize_*", "dequantize*", "_fake_quantize_*"),
    ),
    _family(
        "OD225",
        "counting values",
        "ONNX has no histogram.",
        "count by comparing: (x[:, None] == torch.arange(n)).sum(0).",
        *_either("bincount", "histc", "histogram*"),
        legacy=f"{NEW_EXPORTER}, or count by comparing: (x[:, None] == torch.arange(n)).sum(0).",
    ),
    _family(
        "OD226",
        "a loss",
        "A loss belongs to training, and ONNX has few of them.",
        "leave the loss out of the exported model: return the logits.",
        *_either("*ctc_loss*", "*_margin_loss*", "*multilabel*"),
    ),
    _family(
        "OD227",
        "resampling with another filter",
        "The legacy exporter has no translation for resizing with antialiasing.",
        "use mode='bilinear' or 'nearest' without antialias.",
        *_either("_upsample_*_aa", "upsample_*_aa"),
        legacy=f"{NEW_EXPORTER}, or resize without antialias.",
    ),
    Entry(
        "OD230",
        "the translation of a quantization refuses its arguments",
        "ONNX quantises to 8 bits, and the exporter takes the ranges 0 to 255, 0 to 127 and -128 to 127 "
        "only. Quantised types of torch (qint8) have no place in the new exporter.",
        "use one of ONNX's ranges, or export in floating point and quantise the file (onnxruntime.quantization).",
        (Sign(AT, ops=_either("quantize_*", "dequantize*", "fake_quantize_*")),),
        says=("For (quant_min, quant_max), ONNX allows only",),
        lesson="02",
        quotes=True,
    ),
)
