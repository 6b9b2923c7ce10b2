"""The cases of benchmarks/compression.py, one file each."""
