"""Measurements of speed and of a baseline: run as `python -m benchmarks.<name>`."""
