"""Benchmarks: run with `make bench` on a quiet machine; each prints what it measures."""
