"""Fixtures of the executors' tests."""

import subprocess
import sys
import textwrap

import pytest


@pytest.fixture
def run_script():
    """Run a script in a process of its own."""

    def run(script, **options):
        return subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=60, **options
        )

    return run
