"""Models: what a model is asked, in processes beside the server.

In:    a session, its history, what is pending.
Out:   points, predictions, designs.
Never: holds up the server, or writes the ledger from another process.
"""
