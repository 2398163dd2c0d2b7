"""Sessions: the campaigns of a machine, each opened once, kept up and locked.

In:    a folder; wishes of clients.
Out:   open sessions, and what they are.
Never: lets a change in that what was measured would not fit.
"""
