"""Which kind of mistake a request for an export makes. No torch."""

from __future__ import annotations

from enum import StrEnum


class RequestFault(StrEnum):
    """The kind of mistake, by what has to be corrected."""

    STRUCTURE = "dynamic_shapes mirrors other arguments"
    SIZES = "dynamic_shapes contradicts the given input"
    NAMES = "one dimension's name for two sizes"
    EQUAL = "two names for sizes that are equal"
    SHAPES_LEGACY = "dynamic_shapes for the legacy exporter"
    AXES = "dynamic_axes names no input, or no dimension of it"
    OPSET = "an opset that cannot be asked for"
    OLD_OPSET = "an opset that is too old for the model"
    BORDER = "names of inputs and outputs that do not fit"
    TABLE = "a translation table that is not used"
    SCRIPT = "a ScriptModule for the new exporter"
    SURROUNDINGS = "a context in which no export works"
    UNEXPLAINED = "other options work"
