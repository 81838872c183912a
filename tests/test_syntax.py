"""What the source says around a line."""

from __future__ import annotations

import pytest

from onnx_debug.data.outcome import Source
from onnx_debug.explain.syntax import enclosing_loop, only_return

CODE = """
def forward(x):
    for t in range(9):
        x = x + 1
        while x < 3:
            x = (
                x * 2
            )
        done = lambda y: (
            y + 1
        )
    return x

async def other(): %sreturn 1
"""


@pytest.mark.parametrize(("line", "head"), [(4, 3), (7, 5), (10, None), (12, None), (3, 3)])
def test_the_innermost_loop_of_the_same_function(tmp_path, line, head):
    file = tmp_path / "m.py"
    file.write_text(CODE.replace("%s", ""))
    found = enclosing_loop(Source(str(file), line))
    assert (found.line if found else None) == head


def test_code_that_cannot_be_read_has_no_loop(tmp_path):
    (tmp_path / "m.py").write_text(CODE)  # not Python
    assert enclosing_loop(Source(str(tmp_path / "m.py"), 4)) is None
    assert enclosing_loop(Source("<string>", 4)) is None


def two_returns(x):
    if x:
        return 1
    return 2


def one_return(x):
    return x


def test_the_only_return_of_a_function():
    assert only_return(two_returns) is None
    assert only_return(one_return).text == "return x"
