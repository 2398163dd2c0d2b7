"""Starting processes while the server that they are forked from dies."""

import os
import signal
import sys

import pytest
from multiprocess import forkserver

from alchemy_async.worker_pool import processes


@pytest.mark.skipif(sys.platform != "linux", reason="only there is a server that workers are forked from")
@pytest.mark.fault(3)
def test_a_process_starts_though_the_server_is_killed_at_that_very_moment():
    for _ in range(10):
        processes.prepare()
        os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL)

        process = processes.start(print, "ready", name="a-worker")

        process.join(30)
        assert process.exitcode == 0
