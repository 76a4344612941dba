"""Figures, printed by `python -m benchmarks`. Causes are in the tests; figures depend on the machine."""
