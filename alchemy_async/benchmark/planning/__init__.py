"""Planning: how good planners choose, and how quick they answer, through the very daemon in simulated time.

In:    contenders, problems fixed beforehand, numbers of workers, seeds.
Out:   one line for each campaign, kept so that a run can be gone on with; comparisons, figures and goals.
Never: compares latencies that were measured at different times, or claims parity from a lack of evidence.

    problems, contenders    what is compared on what
    reference_qlognei       plain BoTorch, the reference
    trial, store, run       one campaign; its line in a file; all that are wanted
    latency                 asks side by side on the same histories
    comparing, goals        statistics of pairs; what was to be shown, and whether it was
    plots                   regret over time, ask latency over observations
"""
