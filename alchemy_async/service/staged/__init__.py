"""Staged: what happens to the experiments of one session, one transaction at a time.

In:    requests that were checked for their form.
Out:   rows of the ledger, and what clients are told of them.
Never: waits for a planner or a client.
"""
