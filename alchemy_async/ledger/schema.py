"""The ledger's tables, and the rules that SQLite itself enforces on them.

In:    a path.
Out:   an open connection to a ledger of this version: WAL, and synchronous FULL where it is to be durable.
Never: opens a ledger that a newer version wrote, or alters one that it can't read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from alchemy_async import files
from alchemy_async.errors import LedgerError
from alchemy_async.experiment import TERMINAL, TRANSITIONS, State

VERSION = 2
APPLICATION_ID = 0x616C6379  # "alcy", so that `file campaign.db` and we know whose it is

_STATES = ", ".join(f"'{state}'" for state in State)
_TERMINAL = ", ".join(f"'{state}'" for state in sorted(TERMINAL))
_TRANSITIONS = ", ".join(f"('{before}', '{after}')" for before, after in sorted(TRANSITIONS))

_TABLES = f"""
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE experiments (
    number        INTEGER PRIMARY KEY,
    id            TEXT NOT NULL UNIQUE COLLATE NOCASE,
    state         TEXT NOT NULL CHECK (state IN ({_STATES})),
    parameters    TEXT NOT NULL,
    attempt       INTEGER NOT NULL DEFAULT 1,
    priority      REAL NOT NULL DEFAULT 0,
    origin        TEXT NOT NULL,
    reason        TEXT NOT NULL DEFAULT '',
    iteration     INTEGER,
    pinned        INTEGER NOT NULL DEFAULT 0,
    requires      TEXT NOT NULL DEFAULT '[]',
    is_cancelling INTEGER NOT NULL DEFAULT 0,
    metadata      TEXT NOT NULL DEFAULT '{{}}',
    added_at      TEXT
);
CREATE INDEX experiments_waiting ON experiments (state, requires, priority DESC, number);
CREATE INDEX experiments_revisable ON experiments (priority DESC, number)
    WHERE state = 'queued' AND NOT pinned AND attempt = 1 AND NOT is_cancelling;
CREATE INDEX experiments_cancelling ON experiments (id) WHERE is_cancelling AND state = 'queued';

CREATE TABLE attempts (
    experiment TEXT NOT NULL REFERENCES experiments (id),
    attempt    INTEGER NOT NULL,
    state      TEXT NOT NULL CHECK (state IN ('queued', 'running', 'interrupted', 'ended')),
    parameters TEXT NOT NULL,
    worker     TEXT NOT NULL DEFAULT '',
    instance   TEXT NOT NULL DEFAULT '',
    host       TEXT NOT NULL DEFAULT '',
    pid        INTEGER NOT NULL DEFAULT 0,
    idempotent INTEGER NOT NULL DEFAULT 0,
    is_listed  INTEGER NOT NULL DEFAULT 0,
    claimed_at TEXT,
    ending     TEXT NOT NULL DEFAULT '',
    lease_s    REAL,
    beat       INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (experiment, attempt)
) WITHOUT ROWID;
CREATE INDEX attempts_listed ON attempts (state, is_listed) WHERE state <> 'ended' AND is_listed;
CREATE INDEX attempts_held ON attempts (state) WHERE state IN ('running', 'interrupted');

CREATE TABLE points (experiment TEXT NOT NULL, parameters TEXT NOT NULL);
CREATE INDEX points_of ON points (experiment);

CREATE TABLE outcomes (
    id            INTEGER PRIMARY KEY,
    experiment    TEXT NOT NULL,
    attempt       INTEGER NOT NULL,
    worker        TEXT NOT NULL,
    status        TEXT NOT NULL,
    role          TEXT NOT NULL CHECK (role IN ('result', 'replicate', 'conflict', 'superseded')),
    parameters    TEXT NOT NULL,
    measured      TEXT NOT NULL DEFAULT '{{}}',
    sems          TEXT NOT NULL DEFAULT '{{}}',
    started_at    TEXT NOT NULL,
    finished_at   TEXT NOT NULL,
    error_kind    TEXT NOT NULL DEFAULT '',
    error_message TEXT NOT NULL DEFAULT '',
    metadata      TEXT NOT NULL DEFAULT '{{}}',
    digest        TEXT NOT NULL,
    recorded_at   TEXT NOT NULL,
    FOREIGN KEY (experiment, attempt) REFERENCES attempts (experiment, attempt)
);
CREATE INDEX outcomes_of ON outcomes (experiment, attempt);
CREATE UNIQUE INDEX one_result ON outcomes (experiment) WHERE role = 'result' AND status = 'completed';

CREATE TABLE events (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    at         TEXT NOT NULL,
    kind       TEXT NOT NULL,
    experiment TEXT NOT NULL DEFAULT '',
    attempt    INTEGER NOT NULL DEFAULT 0,
    details    TEXT NOT NULL DEFAULT '{{}}'
);

CREATE TABLE asks (
    id INTEGER PRIMARY KEY, at TEXT NOT NULL, n INTEGER NOT NULL, n_observations INTEGER NOT NULL,
    n_pending INTEGER NOT NULL, seconds REAL NOT NULL
);

CREATE TABLE tallies (name TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO tallies VALUES {", ".join(f"('{state}', 0)" for state in State)}, ('starts', 0);
CREATE TRIGGER tally_insert AFTER INSERT ON experiments BEGIN
    UPDATE tallies SET n = n + 1 WHERE name = NEW.state;
END;
CREATE TRIGGER tally_update AFTER UPDATE OF state ON experiments WHEN OLD.state <> NEW.state BEGIN
    UPDATE tallies SET n = n - 1 WHERE name = OLD.state;
    UPDATE tallies SET n = n + 1 WHERE name = NEW.state;
END;

CREATE TABLE transitions (before TEXT, after TEXT, PRIMARY KEY (before, after)) WITHOUT ROWID;
INSERT INTO transitions VALUES {_TRANSITIONS};
CREATE TRIGGER legal_transition BEFORE UPDATE OF state ON experiments
WHEN OLD.state <> NEW.state AND NOT EXISTS (
    SELECT 1 FROM transitions WHERE before = OLD.state AND after = NEW.state
) BEGIN SELECT RAISE(ABORT, 'illegal transition'); END;
CREATE TRIGGER terminal_is_final BEFORE UPDATE ON experiments
WHEN OLD.state IN ({_TERMINAL}) BEGIN SELECT RAISE(ABORT, 'a terminal experiment never changes'); END;
CREATE TRIGGER ended_is_final BEFORE UPDATE ON attempts
WHEN OLD.state = 'ended' BEGIN SELECT RAISE(ABORT, 'an ended attempt never changes'); END;
CREATE TRIGGER experiments_stay BEFORE DELETE ON experiments BEGIN SELECT RAISE(ABORT, 'nothing is deleted'); END;
CREATE TRIGGER attempts_stay BEFORE DELETE ON attempts BEGIN SELECT RAISE(ABORT, 'nothing is deleted'); END;
CREATE TRIGGER outcomes_stay BEFORE DELETE ON outcomes BEGIN SELECT RAISE(ABORT, 'nothing is deleted'); END;
CREATE TRIGGER events_stay BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'nothing is deleted'); END;
CREATE TRIGGER events_final BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'an event never changes'); END;
"""  # noqa: S608 - made of constants alone

_SINCE_2 = """
CREATE INDEX experiments_iteration ON experiments (iteration) WHERE iteration IS NOT NULL;

CREATE TABLE corrections (
    id         INTEGER PRIMARY KEY,
    outcome    INTEGER NOT NULL REFERENCES outcomes (id),
    at         TEXT NOT NULL,
    who        TEXT NOT NULL,
    why        TEXT NOT NULL,
    is_outlier INTEGER NOT NULL,
    measured   TEXT NOT NULL,
    sems       TEXT NOT NULL
);
CREATE INDEX corrections_of ON corrections (outcome, id);
CREATE TRIGGER corrections_stay BEFORE DELETE ON corrections BEGIN SELECT RAISE(ABORT, 'nothing is deleted'); END;
CREATE TRIGGER corrections_final BEFORE UPDATE ON corrections
BEGIN SELECT RAISE(ABORT, 'a correction never changes; another one follows it'); END;
CREATE VIEW measurements AS
SELECT outcomes.id, outcomes.experiment, outcomes.attempt, outcomes.worker, outcomes.status,
    CASE WHEN corrections.is_outlier THEN 'outlier' ELSE outcomes.role END AS role, outcomes.parameters,
    coalesce(corrections.measured, outcomes.measured) AS measured, coalesce(corrections.sems, outcomes.sems) AS sems,
    outcomes.started_at, outcomes.finished_at, outcomes.error_kind, outcomes.error_message, outcomes.metadata,
    outcomes.digest, outcomes.recorded_at
FROM outcomes LEFT JOIN corrections
    ON corrections.id = (SELECT max(id) FROM corrections WHERE outcome = outcomes.id);

CREATE TABLE replies (
    key TEXT PRIMARY KEY, request TEXT NOT NULL, status INTEGER NOT NULL, body TEXT NOT NULL, at TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX replies_at ON replies (at);

CREATE TABLE counters (name TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO counters VALUES ('queue', 0), ('observations', 0), ('noisy', 0), ('recorded', 0);
CREATE TRIGGER queue_insert AFTER INSERT ON experiments WHEN NEW.state = 'queued' BEGIN
    UPDATE counters SET n = n + 1 WHERE name = 'queue';
END;
CREATE TRIGGER queue_update AFTER UPDATE OF state, parameters, priority, attempt, is_cancelling ON experiments
WHEN OLD.state = 'queued' OR NEW.state = 'queued' BEGIN
    UPDATE counters SET n = n + 1 WHERE name = 'queue';
END;
CREATE TRIGGER count_recorded AFTER INSERT ON experiments WHEN NEW.origin = 'record' BEGIN
    UPDATE counters SET n = n + 1 WHERE name = 'recorded';
END;
CREATE TRIGGER count_measured AFTER INSERT ON outcomes
WHEN NEW.status = 'completed' AND NEW.role IN ('result', 'replicate') BEGIN
    UPDATE counters SET n = n + CASE name WHEN 'noisy' THEN NEW.sems <> '{}' ELSE 1 END
    WHERE name IN ('observations', 'noisy');
END;
CREATE TRIGGER count_corrected AFTER INSERT ON corrections
WHEN (SELECT role FROM outcomes WHERE id = NEW.outcome) IN ('result', 'replicate') BEGIN
    UPDATE counters SET n = n - NEW.is_outlier + coalesce((SELECT is_outlier FROM corrections
        WHERE outcome = NEW.outcome AND id < NEW.id ORDER BY id DESC LIMIT 1), 0)
    WHERE name = 'observations';
    UPDATE counters SET n = n + 1 WHERE name = 'noisy' AND NEW.sems <> '{}';
END;
"""

_FROM_1 = f"""
ALTER TABLE attempts ADD COLUMN lease_s REAL;
ALTER TABLE attempts ADD COLUMN beat INTEGER NOT NULL DEFAULT 0;
ALTER TABLE experiments ADD COLUMN added_at TEXT;
{_SINCE_2}
UPDATE counters SET n = (SELECT count(*) FROM outcomes WHERE status = 'completed' AND role IN ('result', 'replicate'))
WHERE name = 'observations';
UPDATE counters SET n = (SELECT count(*) FROM outcomes WHERE status = 'completed' AND role IN ('result', 'replicate')
    AND sems <> '{{}}') WHERE name = 'noisy';
"""  # noqa: S608 - made of constants alone


def connect(path: Path, *, create: bool, durable: bool = True, shared: bool = False) -> sqlite3.Connection:
    """Open a ledger, making its tables if it is empty and ``create`` says so; one of an older version is brought up.

    Without ``durable`` a commit does not wait for the disk: a power cut may take
    the last ones back, and leaves the ledger whole all the same. What is ``shared``
    may be used by several threads, one at a time.

    Raises:
        LedgerError: If there is none, or it is no ledger, or of a newer version.
    """
    if not create and not path.is_file():
        raise LedgerError(f"{path} does not exist: the campaign was never started. `alchemy-async plan` starts it.")
    try:
        connection = sqlite3.connect(path, timeout=30.0, isolation_level=None, check_same_thread=not shared)
    except sqlite3.Error as error:
        raise LedgerError(
            f"{path} can't be opened: {error}. Check that its folder exists and can be written."
        ) from error
    connection.row_factory = sqlite3.Row
    try:
        _prepare(connection, path, create=create, durable=durable)
    except sqlite3.Error as error:
        connection.close()
        raise LedgerError(unreadable(path, error)) from error
    except BaseException:
        connection.close()
        raise
    return connection


def unreadable(path: Path, error: sqlite3.Error) -> str:
    """Return the message for a file that SQLite can't make sense of."""
    return f"{path} can't be read as a ledger: {error}. Put it aside, or restore a copy."


def _prepare(connection: sqlite3.Connection, path: Path, *, create: bool, durable: bool) -> None:
    connection.execute("PRAGMA busy_timeout = 30000")
    version = _check_version(connection, path)
    if version == 0 and not create:
        raise LedgerError(f"{path} is empty: the campaign was never started. `alchemy-async plan` starts it.")
    if 0 < version < VERSION:
        _bring_up(connection)  # before anything is written that a refusal would leave behind
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
    connection.execute("PRAGMA fullfsync = ON")  # macOS: fsync alone leaves data in the drive's cache
    connection.execute("PRAGMA foreign_keys = ON")
    if version == 0:
        # One transaction: after a power cut there is either no table or every table.
        signature = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION};"
        connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} {_SINCE_2} {signature} COMMIT;")
        files.fsync_folder(path.parent)


def _bring_up(connection: sqlite3.Connection) -> None:
    """Give a ledger of version 1 the tables that it lacks; whoever comes second finds that it has them."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        if connection.execute("PRAGMA user_version").fetchone()[0] < VERSION:
            for statement in _statements(_FROM_1):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {VERSION}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _statements(script: str) -> Iterator[str]:
    """Yield the statements of a script; `executescript` would commit before it began."""
    statement = ""
    for line in script.splitlines():
        statement += f"{line}\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _check_version(connection: sqlite3.Connection, path: Path) -> int:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    application = int(connection.execute("PRAGMA application_id").fetchone()[0])
    if version > VERSION and application == APPLICATION_ID:
        raise LedgerError(
            f"{path} is a ledger of version {version}, and this alchemy_async reads version {VERSION}. "
            "Install a newer alchemy_async; nothing was changed."
        )
    if version == 0 and application == APPLICATION_ID:
        raise LedgerError(f"{path} is a ledger whose first page is damaged. Put it aside, or restore a copy.")
    if (version != 0 and application != APPLICATION_ID) or (
        version == 0 and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    ):
        raise LedgerError(f"{path} is an SQLite file of another program. Name another one as campaign.ledger.")
    if version:  # a damaged schema is met here, before anything is written
        connection.execute("SELECT 1 FROM meta, experiments, attempts, outcomes, events, tallies LIMIT 0")
        connection.execute("SELECT value FROM meta WHERE key = 'campaign'").fetchone()
    return version
