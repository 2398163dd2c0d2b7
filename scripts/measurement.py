#!/usr/bin/env python3
"""Run the instruments of the campaign in the root of this checkout."""

from in_venv import run

if __name__ == "__main__":
    run("work")
