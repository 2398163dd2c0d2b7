"""The service: campaigns over REST, as sessions with staged experiments.

In:    requests of clients: robots, instruments, people's programs.
Out:   the same ledger that the folders' daemons write; events for those who watch.
Never: a second truth: what is not in the ledger did not happen.

    app, routers/      paths and bodies
    context            what a running server has
    sessions, study    which campaigns there are, and what each studies
    desk               one session's ledger, one transaction at a time
    staging, taking, recording    what happens to experiments
    feed               who is told that something changed
"""
