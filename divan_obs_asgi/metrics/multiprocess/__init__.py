"""Counts of several workers: a memory-mapped file for each, and their sums."""
