"""Benchmarks: `make bench`, or `python -m experiments.bench NAME`."""
