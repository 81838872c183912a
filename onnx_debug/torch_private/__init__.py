"""Every private name of torch, one small function each with its fallback; `canary` says which have changed. Any process.

Tried on torch 2.13 unless a docstring names more versions.
"""
