"""The service: campaigns over REST, as sessions with staged experiments.

In:    requests of clients: robots, instruments, people's programs.
Out:   the same ledger that the folders' daemons write; events for those who watch.
Never: a second truth: what is not in the ledger did not happen.

From the top downwards; nothing imports what stands above it:

    server/        the application, and the process that serves it
    routers/       the paths, over `context`: what a running server has
    models/        what a model is asked, in processes beside the server
    events/        who is told of what happened
    gateway/       what every request passes: tokens, limits, bodies, connections, metrics
    autonomous/    sessions that run by themselves, and worker pools elsewhere
    transfer/      sessions as files, out and in again
    sessions/      the campaigns of a machine, each opened once
    staged/        what happens to the experiments of one session, one transaction at a time
    definition/    what a session studies, as campaign.toml says it
    problems       what is refused, and why
"""
