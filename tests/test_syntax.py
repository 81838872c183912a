"""What the source says around a line."""

from __future__ import annotations

import pytest

from onnx_debug.data.failure import Decision, Source
from onnx_debug.explain.syntax import decision, enclosing_loop, only_return

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


@pytest.mark.parametrize(
    ("line", "decides"),
    [
        ("if x.sum() > 0: x = x + 1", Decision.BRANCH_ON_VALUE),
        ("assert (x > 0).all()", Decision.BRANCH_ON_VALUE),
        ("y = x if flag else -x", Decision.BRANCH_ON_VALUE),
        ("rows = [row for row in x if row.sum() > 0]", Decision.BRANCH_ON_VALUE),
        ("if x[x > 0].shape[0] > 3: x = x + 1", Decision.BRANCH_ON_SIZE),
        ("if length > 3: x = x + 1", Decision.BRANCH_ON_SIZE),
        ("if len(x) % 2: x = x + 1", Decision.BRANCH_ON_SIZE),
        ("x = x[: int(count)]", Decision.SIZE_FROM_VALUE),
        ("parts = x.split([int(n) for n in sizes.tolist()])", Decision.SIZE_FROM_VALUE),
        ("for row in hit: x = x + row", Decision.LOOP_OVER_VALUES),
        ("while x.sum() < 3: x = x + 1", Decision.LOOP_OVER_VALUES),
    ],
)
def test_what_a_line_decides_by_a_value(tmp_path, line, decides):
    file = tmp_path / "m.py"
    file.write_text(f"def forward(x):\n    length = x[x > 0].shape[0]\n    {line}\n")
    assert decision(Source(str(file), 3)) is decides


def test_a_branch_that_leaves_a_loop_decides_how_long_it_runs(tmp_path):
    file = tmp_path / "m.py"
    file.write_text("for _ in range(9):\n    if done.all():\n        break\n")
    assert decision(Source(str(file), 2)) is Decision.LOOP_OVER_VALUES
    assert decision(Source("<string>", 2)) is None
