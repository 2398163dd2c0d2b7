"""Benchmarks: campaigns run to be measured, and the figures that come of them.

In:    a problem, workers, durations, a seed.
Out:   figures that were measured in this run, on this machine.
Never: a figure that was not measured.
"""
