"""Planning: how good planners choose, and how quick they answer, through the very daemon in simulated time.

In:    contenders, problems fixed beforehand, numbers of workers, seeds.
Out:   one line for each campaign, kept so that a run can be gone on with; comparisons, figures and goals.
Never: compares latencies that were measured at different times, or claims parity from a lack of evidence.

    problem                 what every problem is
    problems                those with one optimum
    fronts, failing         those with two objectives; those where experiments fail
    catalogue, contenders   which problems each part has; who is compared on them
    reference_qlognei       plain BoTorch, the reference
    trial, store, run       one campaign; its line in a file; all that are wanted
    latency                 asks side by side on the same histories
    comparing, summary      statistics of pairs; rows of trials
    summary_parts           rows of fronts and of failures
    goals                   what was to be shown, and whether it was
    plots                   regret over time, ask latency over observations
"""
