"""The client: a session of a server, as a Python object.

In:    the address of a server, a token.
Out:   what the server says, as plain values; errors that say what to do.
Never: imports what a server needs, or sends a request twice that might then count twice.
"""

from alchemy_async.client.problems import ClientError, RefusedError, UnreachableError

__all__ = ["ClientError", "RefusedError", "UnreachableError"]
