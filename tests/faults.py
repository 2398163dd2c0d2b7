"""Faults: run every test of the fault table, keep what passed, and print the table.

In:    the tests that carry ``@pytest.mark.fault(row)``, and the slow ones without a row.
Out:   a table, the same as JSON, and an exit code that is not 0 if anything failed or a row was not shown.
Never: runs again what passed on the same tree with the same settings.

Started by `python3 run.py faults`. What passed is kept in ``.faults/``, named after
the settings and the content of the tree, so that whatever changes starts anew.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.fault_table import ROWS, Test, as_document, as_text, missing_rows

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / ".faults"
GRACE_S = 60.0  # for a test that is told to stop: it has daemons of its own to end
SLOW_S = 3600
TAIL_LINES = 40


def main(arguments: list[str] | None = None) -> int:
    """Run what has not passed yet, print the table, and return the exit code."""
    settings = read_arguments(arguments)
    for number in (signal.SIGTERM, signal.SIGINT):  # a shell starts its background jobs deaf to the second
        signal.signal(number, signal.default_int_handler)
    store = Store(key_of(settings), settings)
    try:
        tests = collect(settings, store.folder)
    except CollectionError as error:
        print(error, file=sys.stderr)
        return 2
    wanted = [test for test in tests if is_wanted(test, settings.only)]
    if not wanted:
        print(f"No fault test matches {settings.only!r}: give a row (1 to {max(ROWS)}) or a part of a test's name.")
        return 2
    store.fill(wanted)
    left = [test for test in wanted if test.outcome != "passed"]
    print(store.greeting(len(wanted), len(wanted) - len(left)), flush=True)
    began = time.monotonic()
    is_broken_off = Run(settings, store, units(left)).run()
    missing = missing_rows(wanted, ROWS) if settings.only is None else []
    print(as_text(wanted, missing))
    document = as_document(wanted, missing) | {
        "command": f"python3 run.py faults {shlex.join(sys.argv[1:] if arguments is None else arguments)}".strip(),
        "rounds": settings.rounds, "seed": settings.seed, "fuzz_cases": settings.fuzz_cases,
        "tree": store.key, "ended_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }  # fmt: skip
    store.table.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    with contextlib.suppress(OSError):  # not empty: the words of what failed
        store.folder.rmdir()
    print(f"\n{time.monotonic() - began:.0f} s of this start; the table as JSON: {store.table.relative_to(ROOT)}")
    if is_broken_off:
        print("Broken off. The same command goes on from here.")
        return 130
    return 1 if missing or any(test.outcome not in ("passed", "skipped") for test in wanted) else 0


def read_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python3 run.py faults", description="Run every test of the fault table.")
    parser.add_argument("--rounds", type=int, default=200, help="random kills (the full run: 1000)")
    parser.add_argument("--seed", type=int, default=0, help="seed of all that is drawn")
    parser.add_argument("--fuzz-cases", type=int, default=1000, help="damaged files for each test (full: 100000)")
    parser.add_argument("--only", metavar="ROW|PART", help="one row, or the tests whose name holds this")
    parser.add_argument("--jobs", type=int, default=1, help="how many test processes run at once")
    parser.add_argument("--fresh", action="store_true", help="forget what passed with these settings")
    settings = parser.parse_args(arguments)
    if min(settings.rounds, settings.fuzz_cases, settings.jobs) < 1:
        parser.error("--rounds, --fuzz-cases and --jobs are at least 1")
    return settings


def key_of(settings: argparse.Namespace) -> str:
    """Return a digest of what the tests are told and of the tree that they test."""
    digest = hashlib.sha256(f"{settings.seed} {settings.rounds} {settings.fuzz_cases} {sys.version}".encode())
    sources = [path for top in ("alchemy_async", "tests") for path in (ROOT / top).rglob("*") if is_source(path)]
    for path in [*sorted(sources), ROOT / "pyproject.toml", ROOT / "constraints.txt"]:
        with contextlib.suppress(FileNotFoundError):
            digest.update(f"\0{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def is_source(path: Path) -> bool:
    """Whether a file belongs to the tree, not to what Python makes of it."""
    return path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"


def is_wanted(test: Test, only: str | None) -> bool:
    """Whether a test is in the row, or has the part of a name, that was asked for."""
    if only is None:
        return True
    return int(only) in test.rows if only.isdecimal() else only in test.name


class CollectionError(Exception):
    """The tests can't be collected; the message holds pytest's own words."""


def collect(settings: argparse.Namespace, folder: Path) -> list[Test]:
    """Return all tests of the table, in pytest's order.

    Raises:
        CollectionError: If pytest can't read one of the files.
    """
    listed = folder / f"collected-{os.getpid()}.jsonl"
    command = [*pytest_command(settings), "--collect-only", "-q", "--fault-list", str(listed), str(ROOT / "tests")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    try:
        if done.returncode != 0:
            tail = "\n".join((done.stdout + done.stderr).splitlines()[-TAIL_LINES:])
            raise CollectionError(f"{tail}\nThe tests can't be collected; mend the file named above.")
        entries = [json.loads(line) for line in listed.read_text(encoding="utf-8").splitlines()]
    finally:
        listed.unlink(missing_ok=True)
    return [Test(entry["test"], tuple(entry["rows"]), entry["slow"], entry["what"]) for entry in entries]


def pytest_command(settings: argparse.Namespace) -> list[str]:
    """Return how pytest is started, with all that the tests are told."""
    told = {"--rounds": settings.rounds, "--fault-seed": settings.seed, "--fuzz-cases": settings.fuzz_cases}
    options = [text for name, value in told.items() for text in (name, str(value))]
    return [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options]


def units(tests: list[Test]) -> list[list[Test]]:
    """Return what runs in one process: the quick tests of a file together, each slow one alone."""
    quick: dict[str, list[Test]] = {}
    for test in tests:
        if not test.is_slow:
            quick.setdefault(test.file, []).append(test)
    return [*quick.values(), *([test] for test in tests if test.is_slow)]


class Store:
    """What passed on this tree with these settings; one line of JSON for each test that ended."""

    def __init__(self, key: str, settings: argparse.Namespace):
        self.key = key
        self.folder, self.lines = KEPT / f"{key}.logs", KEPT / f"{key}.jsonl"
        self.table = KEPT / (f"{key}.json" if settings.only is None else f"{key}.only.json")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.has_others = any(path != self.lines for path in KEPT.glob("*.jsonl"))
        if settings.fresh:
            self.lines.unlink(missing_ok=True)

    def greeting(self, n: int, n_passed: int) -> str:
        """Say what is to run, and why it is not more or less."""
        if n_passed:
            return f"{n} tests; {n_passed} of them passed before on this tree with these settings and are not run again"
        if self.has_others and not self.lines.exists():
            return f"{n} tests; the tree or the settings are not those of an earlier run, so all of them run"
        return f"{n} tests"

    def fill(self, tests: list[Test]) -> None:
        """Write into each test how it ended before."""
        if not self.lines.exists():
            return
        kept = {}
        for line in self.lines.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):  # a torn last line, after a kill
                entry = json.loads(line)
                kept[entry["test"]] = entry
        for test in tests:
            if kept.get(test.name, {}).get("outcome") == "passed":
                test.take(kept[test.name])

    def keep(self, test: Test) -> None:
        """Remember how a test ended."""
        with self.lines.open("a", encoding="utf-8") as file:
            file.write(json.dumps(test.entry()) + "\n")


@dataclass
class Unit:
    """One pytest process and its tests."""

    tests: list[Test]
    process: subprocess.Popen
    log: Path
    figures: Path
    ends_at: float

    @property
    def title(self) -> str:
        """What a person reads while it runs."""
        first = self.tests[0]
        return first.name if first.is_slow else f"{first.file} ({len(self.tests)})"


class Run:
    """Runs the units one after the other, or a few at once, and takes note of each that ended."""

    def __init__(self, settings: argparse.Namespace, store: Store, waiting: list[list[Test]]):
        self.settings, self.store = settings, store
        self.waiting, self.n, self.n_ended = deque(waiting), len(waiting), 0
        self.running: list[Unit] = []

    def run(self) -> bool:
        """Run all; True if somebody broke it off. What had ended by then counts."""
        try:
            while self.waiting or self.running:
                while self.waiting and len(self.running) < self.settings.jobs:
                    self.running.append(self._start(self.waiting.popleft()))
                time.sleep(0.05)
                for unit in [unit for unit in self.running if is_over(unit)]:
                    self.running.remove(unit)
                    self._take(unit)
        except KeyboardInterrupt:
            print("\nBreaking off; the tests that run end their own processes first.", flush=True)
            self._break_off()
            return True
        return False

    def _start(self, tests: list[Test]) -> Unit:
        base = self.store.folder / f"{os.getpid()}-{self.n - len(self.waiting):03}"
        names, figures, log = base.with_suffix(".names"), base.with_suffix(".figures"), base.with_suffix(".log")
        names.write_text("".join(f"{test.name}\n" for test in tests), encoding="utf-8")
        limit_s = SLOW_S if tests[0].is_slow else 180
        options = ["-q", "--no-header", "--figures", str(figures)]
        if tests[0].is_slow:
            options += ["--timeout", str(SLOW_S)]
        command = [*pytest_command(self.settings), *options, f"@{names}"]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches it once, from here
            )  # fmt: skip
        return Unit(tests, process, log, figures, time.monotonic() + limit_s * len(tests) + GRACE_S)

    def _take(self, unit: Unit) -> None:
        self.n_ended += 1
        self._read(unit, is_complete=True)
        for test in unit.tests:
            self.store.keep(test)
        bad = [test for test in unit.tests if test.outcome not in ("passed", "skipped")]
        seconds = sum(test.seconds for test in unit.tests)
        told = f"{len(bad)} FAILED" if bad else "passed"
        print(f"[{self.n_ended}/{self.n}] {unit.title}: {told} in {seconds:.1f} s", flush=True)
        if bad:
            tail = unit.log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]
            print("\n".join(f"    {line}" for line in tail))
            print(f"    all of it: {unit.log}")
        for test in bad:
            again = [".venv/bin/python", *pytest_command(self.settings)[1:], test.name]
            print(f"    that alone again: {shlex.join(again)}", flush=True)
        if not bad:
            unit.log.unlink(missing_ok=True)

    def _read(self, unit: Unit, *, is_complete: bool) -> None:
        """Put what pytest noted into the tests; a test without an ending died with its process."""
        by_name = {test.name: test for test in unit.tests}
        with contextlib.suppress(FileNotFoundError):
            for line in unit.figures.read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(ValueError):
                    entry = json.loads(line)
                    if entry["test"] in by_name:
                        by_name[entry["test"]].take(entry)
        if is_complete:
            for test in unit.tests:
                if test.outcome is None:
                    test.outcome, test.reason = "failed", f"pytest ended with {unit.process.returncode} before it"
        for path in (unit.figures, unit.log.with_suffix(".names")):
            path.unlink(missing_ok=True)

    def _break_off(self) -> None:
        with contextlib.suppress(KeyboardInterrupt):  # the second one waits for nothing
            for unit in self.running:
                unit.process.send_signal(signal.SIGINT)
            until = time.monotonic() + GRACE_S
            while any(unit.process.poll() is None for unit in self.running) and time.monotonic() < until:
                time.sleep(0.05)
        for unit in self.running:
            kill(unit)
            self._read(unit, is_complete=False)
            for test in unit.tests:
                if test.outcome == "passed":
                    self.store.keep(test)
                else:
                    test.outcome = None
            unit.log.unlink(missing_ok=True)


def is_over(unit: Unit) -> bool:
    """Whether a unit has ended; one that is far beyond its tests' own limits is ended here."""
    if unit.process.poll() is None and time.monotonic() > unit.ends_at:
        kill(unit)
    return unit.process.poll() is not None


def kill(unit: Unit) -> None:
    """End a unit with all that it started in its own session."""
    if unit.process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(unit.process.pid, signal.SIGKILL)
        unit.process.wait()


if __name__ == "__main__":
    sys.exit(main())
