"""The exchange, measured: floor, ours and peers side by side, in one run on one disk.

In:    a folder on the disk in question; which parts, how many workers and jobs.
Out:   one document of figures, each with its unit in its key, and which goals they meet.
Never: a figure that was not measured in this run, or a goal that is left out because it was missed.

    run                       the order of the parts; the floor is sampled between all of them
    goals                     what the figures should reach (pure)
    floor, machine            what the disk can do; where all this was measured
    campaign, daemons, processes
                              folders full of no-op experiments; the two real daemons; what /proc says of them
    throughput, backlog, restart, standing, starting
                              one room for each question
    contenders                the peers' figures in the shape of ours
"""
