"""Benchmarks: `make bench` prints every figure, as a table or as JSON."""
