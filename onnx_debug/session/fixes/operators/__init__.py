"""Operators that torch cannot export, or exports wrongly, written in terms of operators that it can."""
