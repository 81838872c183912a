"""Kinds of changes: each file proposes those that may help against a failure, judged by what failed and never by a model's name."""
