"""The client: a session of a server, as a Python object.

In:    the address of a server, a token.
Out:   what the server says, as plain values; errors that say what to do.
Never: imports what a server needs, or sends a request twice that might then count twice.

    from alchemy_async.client import Client

    session = Client("http://lab-server:8000").session("suzuki")
    session.stage({"temperature": 350.0, "solvent": "THF"})
    for taken in session.claim("reactor-1", wait_s=30):
        session.complete(taken, {"yield": 0.87})
"""

from alchemy_async.client.answers import Event, Queue, Reported, Staged, Taken
from alchemy_async.client.problems import ClientError, RefusedError, UnreachableError
from alchemy_async.client.server import Client
from alchemy_async.client.session import Session

__all__ = [
    "Client",
    "ClientError",
    "Event",
    "Queue",
    "RefusedError",
    "Reported",
    "Session",
    "Staged",
    "Taken",
    "UnreachableError",
]
