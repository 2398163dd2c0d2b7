"""One pool of processes for all tests of a module: each takes a second to load what it needs."""

from __future__ import annotations

import pytest

from alchemy_async.service.models import minds
from alchemy_async.service.models.thinking import Pool


@pytest.fixture(scope="module")
def pool():
    made = Pool(1, loads=False)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def one_pool(pool, monkeypatch):
    monkeypatch.setattr(minds, "pool_of", lambda _: pool)
    return pool
