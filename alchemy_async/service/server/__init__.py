"""Server: the application, and the process that serves it.

In:    a folder of sessions, an address, tokens.
Out:   a running server.
Never: knows what an experiment is.
"""
