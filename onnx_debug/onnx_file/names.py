"""Names that our own exports write into ONNX files."""

PLACEHOLDER_DOMAIN = "onnx_debug"  # the operator domain of a placeholder
INNER = "module"  # under this name a submodule that is exported by itself stands in its wrapper
