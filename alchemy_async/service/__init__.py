"""The service: campaigns over REST, as sessions with staged experiments.

In:    requests of clients: robots, instruments, people's programs.
Out:   the same ledger that the folders' daemons write; events for those who watch.
Never: a second truth: what is not in the ledger did not happen.

    the door       serving, app, switchboard, gate, access, tokens, limits, bodies, connections, refusing, metrics,
                   pages
    the paths      routers/, over `context`: what a running server has
    a session      sessions, opening, beginning, overview, locking; study, variables, changing, fitting, rewriting
    its work       desk (one transaction at a time); staging, taking, recording, measures; items, dataset, tables,
                   auditing; adopting, after a crash
    its copies     exporting, importing, moved, foreign, brought, backups, uploads
    its thought    minds, thinking, mind (processes beside the server); acquiring, handouts, basis, suggesting,
                   modelling, designs, designing, optimal
    by itself      daemons, children, planning (the planner daemon as a child); relays (worker pools elsewhere)
    its news       feed, watching, telling; leases
"""
