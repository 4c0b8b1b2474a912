"""Benchmarks of this package against alternatives."""
