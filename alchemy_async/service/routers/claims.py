"""Claims: to be written.

In:    -
Out:   -
Never: -
"""

from __future__ import annotations

from fastapi import APIRouter

router = APIRouter(tags=["claims"])
