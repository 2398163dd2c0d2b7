"""The service, measured: ours beside ALchemist's server, each in its own process, in one run.

In:    an interpreter that has alchemist-nrel, or none; a folder on the disk in question.
Out:   one document of figures, each with its unit in its key, and which goals they meet.
Never: a figure that was not measured in this run, or a goal that is left out because it was missed.

    run                       the order of the parts
    goals                     what the figures should reach (pure)
    servers                   both servers as real processes
    calls, turns              one request and how long it took; taking turns, and what came of it
    studies                   the same sessions on both
    staged, mixed, suggesting, regret, starting, growth
                              one room for each question
"""
