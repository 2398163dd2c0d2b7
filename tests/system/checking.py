"""Checking: whether a campaign that was killed again and again has kept its promises.

In:    the ledger, the two folders, the drivers' own tally, and what a witness saw in ``dump/``.
Out:   violations, as sentences.
Never: uses the product's code, or writes to what it checks.

``look`` may come at any moment and demands what must hold always; ``close`` demands what must hold at the end.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import sqlite3
from collections import Counter
from pathlib import Path

TERMINAL = {"completed", "failed", "infeasible", "cancelled", "abandoned"}
PLACES = {"queued", "running", "interrupted", "completed"}
NEVER_AGAIN = ("id", "experiment", "attempt", "worker", "status", "role", "measured", "digest")
RESULT_NAME = re.compile(r"worker_result_(?P<worker>.+)_(?P<experiment>[^_]+)\.(?P<attempt>\d+)\.json")

Rows = list[sqlite3.Row]


class Checker:
    """Remembers what it saw: what has vanished or changed since is a violation.

    Args:
        folder: The campaign folder.
        budget: How many experiments it may complete.
        witness: What told which results were published, and keeps links to them.
        aside: A folder for copies of the ledger.
        spoiled: Names that a test wrote into ``dump/`` and that are no results.
    """

    def __init__(self, folder: Path, budget: int, witness, aside: Path, *, spoiled: set[str] | None = None) -> None:
        self.folder, self.budget, self.witness, self.aside = folder, budget, witness, aside
        self.spoiled = spoiled if spoiled is not None else set()
        self.violations: list[str] = []
        self.n_looks = 0
        self._terminal: dict[str, str] = {}
        self._attempts: dict[str, int] = {}
        self._outcomes: dict[int, tuple] = {}
        self._n_allowed: Counter[str] = Counter()

    def allow_again(self, experiment: str) -> None:
        """Take note that a person let an experiment run once more."""
        self._n_allowed[experiment] += 1

    # -- at any moment -----------------------------------------------------

    def look(self, *, is_planner_dead: bool) -> None:
        """Check what must always hold.

        A dead planner's ledger is looked at as a copy: whoever opens it last writes its journal into it, and
        that is left to the planner that follows.
        """
        published = self.witness.published() - self.spoiled
        waiting = {path.name for path in (self.folder / "dump").glob("worker_result_*")}
        try:
            ledger = self._copy() if is_planner_dead else f"file:{self.folder / 'campaign.db'}?mode=ro"
            if ledger is None:
                return
            with contextlib.closing(sqlite3.connect(ledger, timeout=30, uri=True)) as opened:
                opened.row_factory = sqlite3.Row
                opened.execute("BEGIN")
                experiments = opened.execute("SELECT id, state, attempt, parameters FROM experiments").fetchall()
                outcomes = opened.execute(f"SELECT {', '.join(NEVER_AGAIN)} FROM outcomes").fetchall()
                if is_planner_dead:
                    self._check_integrity(opened)
        except sqlite3.OperationalError as error:
            if is_planner_dead and "no such table" not in str(error):
                self._bad(f"the ledger of a killed planner does not open: {error}")
            return  # a planner that opens or closes it at this moment; the next look comes soon
        self.n_looks += 1
        self._check_experiments(experiments)
        self._check_outcomes(outcomes)
        self._check_published(published - waiting, outcomes, "is neither in dump/ nor in the ledger")
        self._check_folders()
        self._check_starts(self._tally()[0], outcomes)

    def _copy(self) -> str | None:
        self.aside.mkdir(exist_ok=True)
        for name in ("campaign.db", "campaign.db-wal"):
            (self.aside / name).unlink(missing_ok=True)
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(self.folder / name, self.aside / name)
        copied = self.aside / "campaign.db"
        return f"file:{copied}" if copied.exists() else None

    def _check_integrity(self, opened: sqlite3.Connection) -> None:
        found = opened.execute("PRAGMA integrity_check").fetchone()[0]
        if found != "ok":
            self._bad(f"the ledger is not intact: {found}")

    def _check_experiments(self, experiments: Rows) -> None:
        present = {row["id"]: row for row in experiments}
        for name, state in self._terminal.items():
            if name in present and present[name]["state"] != state:
                self._bad(f"{name} was {state} for good and is {present[name]['state']}")
        for name, attempt in self._attempts.items():
            if name not in present:
                self._bad(f"{name} has vanished")
            elif present[name]["attempt"] < attempt:
                self._bad(f"{name} went back from attempt {attempt} to {present[name]['attempt']}")
        self._terminal |= {row["id"]: row["state"] for row in experiments if row["state"] in TERMINAL}
        self._attempts |= {row["id"]: row["attempt"] for row in experiments}
        if sum(row["state"] in PLACES for row in experiments) > self.budget:
            self._bad("more places are taken than the budget has")
        proposed: dict[str, str] = {}
        for row in experiments:
            if row["state"] not in PLACES:  # given up, so that its point may be tried under another id
                continue
            other = proposed.setdefault(row["parameters"], row["id"])
            if other != row["id"]:
                self._bad(f"{other} and {row['id']} have the same parameters")

    def _check_outcomes(self, outcomes: Rows) -> None:
        present = {row["id"]: tuple(row) for row in outcomes}
        for number, outcome in self._outcomes.items():
            if present.get(number) != outcome:
                self._bad(f"the outcome {outcome} became {present.get(number)}")
        self._outcomes |= present
        counted = [row["experiment"] for row in outcomes if (row["role"], row["status"]) == ("result", "completed")]
        for name in {name for name in counted if counted.count(name) > 1}:
            self._bad(f"{name} was counted twice")
        recorded = Counter(f"{row['experiment']}.{row['attempt']} of {row['worker']}" for row in outcomes)
        for name in (name for name, n in recorded.items() if n > 1):
            self._bad(f"{name} was recorded twice")
        for row in outcomes:
            if row["role"] == "conflict":
                self._bad(f"{row['experiment']}.{row['attempt']} has a conflict")

    def _check_published(self, names: set[str], outcomes: Rows, what: str) -> None:
        recorded = {(row["worker"], row["experiment"], row["attempt"]) for row in outcomes}
        for name in names:
            found = RESULT_NAME.fullmatch(name)
            if found is None or (found["worker"], found["experiment"], int(found["attempt"])) not in recorded:
                self._bad(f"{name} was published and {what}")

    def _check_folders(self) -> None:
        """Whatever has a final name is whole at every moment."""
        dump = self.folder / "dump"
        finals = [*dump.glob("claims/*"), *dump.glob("workers/*"), *dump.glob("worker_result_*")]
        for path in [*finals, *self.folder.glob("pickup/*")]:
            if path.name in self.spoiled or path.name.startswith("."):  # a probe is empty, and no message
                continue
            try:
                json.loads(path.read_bytes())
            except FileNotFoundError:
                continue  # ingested meanwhile
            except ValueError:
                self._bad(f"{path.name} is torn")

    def _tally(self) -> tuple[list[str], dict[str, float]]:
        """Return what was started and what was measured; no attempt is started twice."""
        started, measured = [], {}
        with contextlib.suppress(FileNotFoundError):
            for line in (self.folder / "tally.txt").read_text().splitlines():
                word, key, x = line.split()
                if word == "started":
                    started.append(key)
                else:
                    measured[key] = float(x) ** 2
        for key in (key for key, n in Counter(started).items() if n > 1):
            self._bad(f"{key} was started twice")
        return started, measured

    def _check_starts(self, started: list[str], outcomes: Rows) -> int:
        """Return how many attempts were started after an experiment's first; somebody must have allowed each."""
        allowed = self._n_allowed + Counter(row["experiment"] for row in outcomes if row["status"] == "released")
        again = Counter(key.partition(".")[0] for key in set(started))
        for name, n in again.items():
            if n > 1 + allowed[name]:
                self._bad(f"{name} was started {n} times, and nobody allowed more than {1 + allowed[name]}")
        return sum(n - 1 for n in again.values())

    def _bad(self, what: str) -> None:
        if what not in self.violations:
            self.violations.append(what)

    # -- at the end --------------------------------------------------------

    def close(self) -> dict[str, int]:
        """Check a campaign that has ended by itself; return how many experiments are in which state.

        Every daemon must have ended. Also counts attempts that were started, measured and published.
        """
        with contextlib.closing(sqlite3.connect(self.folder / "campaign.db", timeout=30)) as ledger:
            ledger.row_factory = sqlite3.Row
            experiments = ledger.execute("SELECT id, state, attempt, parameters FROM experiments").fetchall()
            outcomes = ledger.execute(f"SELECT {', '.join(NEVER_AGAIN)} FROM outcomes").fetchall()
            self._check_integrity(ledger)
        self._check_experiments(experiments)
        self._check_outcomes(outcomes)
        published = self.witness.published() - self.spoiled
        self._check_published(published, outcomes, "is not in the ledger")
        self._check_kept(outcomes)
        self._check_folders()
        started, measured = self._tally()
        self._check_terminal(experiments, outcomes)
        self._check_values(outcomes, measured)
        left = [*(self.folder / "dump").glob("worker_result_*"), *(self.folder / "dump" / "rejected").glob("*")]
        for path in left:
            name = re.sub(r"-\d+\.json$", ".json", path.name.removesuffix(".reason.txt"))  # a second of that name
            if path.parent.name == "dump" or name not in self.spoiled:
                self._bad(f"{path.name} was left in {path.parent.name}/")
        if self.witness.has_missed:
            self._bad("the witness missed something, so that this run proves nothing")
        counts = {"attempts_started": len(started), "measured": len(measured), "published": len(published)}
        counts["allowed_again"] = self._n_allowed.total()
        counts["started_again"] = self._check_starts(started, outcomes)
        counts["replicates"] = sum(row["role"] == "replicate" for row in outcomes)
        for row in experiments:
            counts[row["state"]] = counts.get(row["state"], 0) + 1
        return counts

    def _check_terminal(self, experiments: Rows, outcomes: Rows) -> None:
        """Every accepted experiment has exactly one terminal record, and a completed one its one measurement."""
        results = {row["experiment"] for row in outcomes if (row["role"], row["status"]) == ("result", "completed")}
        for row in experiments:
            if row["state"] not in TERMINAL:
                self._bad(f"{row['id']} has no terminal record: {row['state']}")
            if (row["state"] == "completed") != (row["id"] in results):
                self._bad(f"{row['id']} is {row['state']}, and its measurement says otherwise")
        n_completed = sum(row["state"] == "completed" for row in experiments)
        if n_completed != self.budget:
            self._bad(f"{n_completed} of {self.budget} completed")

    def _check_values(self, outcomes: Rows, measured: dict[str, float]) -> None:
        for row in outcomes:
            key = f"{row['experiment']}.{row['attempt']}"
            if row["status"] == "completed" and json.loads(row["measured"])["y"] != measured.get(key):
                self._bad(f"{key} has a value that no driver measured")

    def _check_kept(self, outcomes: Rows) -> None:
        """What the ledger says of a result is what its file said."""
        recorded = {(row["experiment"], row["attempt"], row["status"], row["measured"]) for row in outcomes}
        said = {(name, n, status, json.dumps(json.loads(text), sort_keys=True)) for name, n, status, text in recorded}
        for path in self.witness.kept.iterdir():
            if path.name in self.spoiled:
                continue
            document = json.loads(path.read_bytes())
            values = json.dumps(document.get("values", {}), sort_keys=True)
            if (document["experiment"], document["attempt"], document["status"], values) not in said:
                self._bad(f"{path.name} says {document['status']} {values}, and the ledger does not")
