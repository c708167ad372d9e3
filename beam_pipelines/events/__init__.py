"""Worked example, and the reference job of the benchmarks: JSON events."""
