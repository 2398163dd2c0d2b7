"""Autonomous: sessions that run by themselves, and worker pools elsewhere.

In:    wishes to run and to pause; workers over REST.
Out:   planner daemons as children; claims, beats and results in the folders.
Never: plans by itself.
"""
