-- A ledger as alchemy_async wrote them before version 2 of its tables.
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE experiments (
    number        INTEGER PRIMARY KEY,
    id            TEXT NOT NULL UNIQUE COLLATE NOCASE,
    state         TEXT NOT NULL CHECK (state IN ('queued', 'running', 'interrupted', 'completed', 'failed', 'infeasible', 'cancelled', 'abandoned')),
    parameters    TEXT NOT NULL,
    attempt       INTEGER NOT NULL DEFAULT 1,
    priority      REAL NOT NULL DEFAULT 0,
    origin        TEXT NOT NULL,
    reason        TEXT NOT NULL DEFAULT '',
    iteration     INTEGER,
    pinned        INTEGER NOT NULL DEFAULT 0,
    requires      TEXT NOT NULL DEFAULT '[]',
    is_cancelling INTEGER NOT NULL DEFAULT 0,
    metadata      TEXT NOT NULL DEFAULT '{}'
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
    measured      TEXT NOT NULL DEFAULT '{}',
    sems          TEXT NOT NULL DEFAULT '{}',
    started_at    TEXT NOT NULL,
    finished_at   TEXT NOT NULL,
    error_kind    TEXT NOT NULL DEFAULT '',
    error_message TEXT NOT NULL DEFAULT '',
    metadata      TEXT NOT NULL DEFAULT '{}',
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
    details    TEXT NOT NULL DEFAULT '{}'
);

CREATE TABLE asks (
    id INTEGER PRIMARY KEY, at TEXT NOT NULL, n INTEGER NOT NULL, n_observations INTEGER NOT NULL,
    n_pending INTEGER NOT NULL, seconds REAL NOT NULL
);

CREATE TABLE tallies (name TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO tallies VALUES ('queued', 0), ('running', 0), ('interrupted', 0), ('completed', 0), ('failed', 0), ('infeasible', 0), ('cancelled', 0), ('abandoned', 0), ('starts', 0);
CREATE TRIGGER tally_insert AFTER INSERT ON experiments BEGIN
    UPDATE tallies SET n = n + 1 WHERE name = NEW.state;
END;
CREATE TRIGGER tally_update AFTER UPDATE OF state ON experiments WHEN OLD.state <> NEW.state BEGIN
    UPDATE tallies SET n = n - 1 WHERE name = OLD.state;
    UPDATE tallies SET n = n + 1 WHERE name = NEW.state;
END;

CREATE TABLE transitions (before TEXT, after TEXT, PRIMARY KEY (before, after)) WITHOUT ROWID;
INSERT INTO transitions VALUES ('interrupted', 'abandoned'), ('interrupted', 'cancelled'), ('interrupted', 'completed'), ('interrupted', 'failed'), ('interrupted', 'infeasible'), ('interrupted', 'queued'), ('interrupted', 'running'), ('queued', 'cancelled'), ('queued', 'completed'), ('queued', 'queued'), ('queued', 'running'), ('running', 'cancelled'), ('running', 'completed'), ('running', 'failed'), ('running', 'infeasible'), ('running', 'interrupted'), ('running', 'queued');
CREATE TRIGGER legal_transition BEFORE UPDATE OF state ON experiments
WHEN OLD.state <> NEW.state AND NOT EXISTS (
    SELECT 1 FROM transitions WHERE before = OLD.state AND after = NEW.state
) BEGIN SELECT RAISE(ABORT, 'illegal transition'); END;
CREATE TRIGGER terminal_is_final BEFORE UPDATE ON experiments
WHEN OLD.state IN ('abandoned', 'cancelled', 'completed', 'failed', 'infeasible') BEGIN SELECT RAISE(ABORT, 'a terminal experiment never changes'); END;
CREATE TRIGGER ended_is_final BEFORE UPDATE ON attempts
WHEN OLD.state = 'ended' BEGIN SELECT RAISE(ABORT, 'an ended attempt never changes'); END;
CREATE TRIGGER experiments_stay BEFORE DELETE ON experiments BEGIN SELECT RAISE(ABORT, 'nothing is deleted'); END;
CREATE TRIGGER attempts_stay BEFORE DELETE ON attempts BEGIN SELECT RAISE(ABORT, 'nothing is deleted'); END;
CREATE TRIGGER outcomes_stay BEFORE DELETE ON outcomes BEGIN SELECT RAISE(ABORT, 'nothing is deleted'); END;
CREATE TRIGGER events_stay BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'nothing is deleted'); END;
CREATE TRIGGER events_final BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'an event never changes'); END;
PRAGMA application_id = 1634493305;
PRAGMA user_version = 1;
