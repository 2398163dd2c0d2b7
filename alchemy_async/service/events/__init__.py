"""Events: who is told of what happened.

In:    changes of ledgers, by whomever.
Out:   messages over SSE and WebSocket.
Never: says what did not happen.
"""
