"""Gateway: what every request passes before anybody serves it.

In:    requests, tokens, limits.
Out:   requests that may go on; refusals; metrics.
Never: knows what an experiment is.
"""
