"""What several of the fault tests need."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest


@pytest.fixture
def quick_disk(tmp_path):
    """Return where files cost no disk: what is shown here is the order of steps, not what a power cut leaves."""
    memory = Path("/dev/shm")
    if not memory.is_dir():
        yield tmp_path
        return
    made = Path(tempfile.mkdtemp(prefix="alchemy-async-steps-", dir=memory))
    yield made
    shutil.rmtree(made)
