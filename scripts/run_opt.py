#!/usr/bin/env python3
"""Plan the campaign in the root of this checkout: choose experiments, learn from their results."""

from in_venv import run

if __name__ == "__main__":
    run("plan")
