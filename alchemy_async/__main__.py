"""`python -m alchemy_async`: the same commands as `alchemy-async`."""

from alchemy_async.cli import main

if __name__ == "__main__":  # a spawned process imports this module once more, and must not start a second daemon
    main()
