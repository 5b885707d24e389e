"""Kernels against the same loops written by hand and against other engines, as ratios of CPU time."""
