"""Checks beyond "the given inputs give equal outputs": other inputs, what was asked for, baked values, the first bad value."""
