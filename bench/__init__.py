"""Measurements. `make bench` runs all and writes docs/benchmarks.md."""
