-- State.
CREATE TABLE users (
    uuid       TEXT PRIMARY KEY,
    username   TEXT NOT NULL UNIQUE,
    email      TEXT NOT NULL UNIQUE,
    status     TEXT NOT NULL CHECK (status IN ('active', 'inactive', 'suspended')),
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE TABLE tasks (
    uuid             TEXT PRIMARY KEY,
    title            TEXT NOT NULL,
    description      TEXT,
    priority         TEXT NOT NULL CHECK (priority IN ('low', 'medium', 'high')),
    assigned_to      TEXT NOT NULL,
    created_by       TEXT NOT NULL,
    due_date         TEXT,
    created_at       BIGINT NOT NULL,
    completed_at     BIGINT,
    completed_by     TEXT,
    completion_notes TEXT
);
CREATE TABLE accounts (
    username      TEXT PRIMARY KEY,
    role          TEXT NOT NULL CHECK (role IN ('reader', 'writer', 'admin')),
    password_hash TEXT NOT NULL
);

-- The audit trail. user_id has no foreign key: the history of a user outlives the user.
CREATE TABLE events (
    seq              INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid             TEXT NOT NULL UNIQUE,
    stream           TEXT NOT NULL,
    entry_id         TEXT,
    event_type       TEXT NOT NULL,
    payload          TEXT NOT NULL,
    user_id          TEXT,
    created_at       BIGINT NOT NULL,
    processed        BOOLEAN NOT NULL DEFAULT FALSE,
    processed_at     BIGINT,
    consumer         TEXT,
    attempts         BIGINT NOT NULL DEFAULT 0,
    error            TEXT,
    dead_lettered_at BIGINT,
    UNIQUE (stream, entry_id)
);
CREATE INDEX events_by_user ON events (user_id, seq);
CREATE INDEX events_by_type ON events (event_type, seq);

-- Events that are not known to be on their stream.
CREATE TABLE outbox (
    seq    BIGINT PRIMARY KEY REFERENCES events (seq),
    uuid   TEXT NOT NULL UNIQUE,
    stream TEXT NOT NULL
);
CREATE INDEX outbox_by_stream ON outbox (stream, seq);

-- The custom streams.
CREATE TABLE custom_streams (
    name TEXT PRIMARY KEY
);

-- Which process may append to the streams, and up to which entry each stream is known.
CREATE TABLE relay (
    id         BIGINT PRIMARY KEY CHECK (id = 1),
    holder     TEXT NOT NULL,
    held_until BIGINT NOT NULL
);
INSERT INTO relay (id, holder, held_until) VALUES (1, '', 0);
CREATE TABLE relay_floors (
    stream   TEXT PRIMARY KEY,
    entry_id TEXT NOT NULL
);

-- How far each reader without a group has read, and what it has counted.
CREATE TABLE checkpoints (
    reader   TEXT NOT NULL,
    stream   TEXT NOT NULL,
    entry_id TEXT NOT NULL,
    PRIMARY KEY (reader, stream)
);
CREATE TABLE tallies (
    reader     TEXT NOT NULL,
    stream     TEXT NOT NULL,
    event_type TEXT NOT NULL,
    count      BIGINT NOT NULL,
    PRIMARY KEY (reader, stream, event_type)
);

-- What the consumer groups make of the events.
CREATE TABLE user_projection (
    user_id    TEXT PRIMARY KEY,
    username   TEXT NOT NULL,
    email      TEXT,
    status     TEXT,
    changes    BIGINT NOT NULL,
    entry_ms   BIGINT NOT NULL,
    entry_seq  BIGINT NOT NULL,
    deleted_at TEXT
);
CREATE TABLE chat_history (
    message_id  TEXT PRIMARY KEY,
    room_id     TEXT NOT NULL,
    sender_id   TEXT NOT NULL,
    receiver_id TEXT NOT NULL,
    content     TEXT NOT NULL,
    sent_at     TEXT NOT NULL
);
CREATE TABLE chat_rooms (
    room_id  TEXT PRIMARY KEY,
    messages BIGINT NOT NULL
);
CREATE TABLE task_states (
    task_id      TEXT PRIMARY KEY,
    title        TEXT NOT NULL,
    assigned_to  TEXT NOT NULL,
    state        TEXT NOT NULL CHECK (state IN ('open', 'completed')),
    completed_by TEXT,
    changes      BIGINT NOT NULL
);
CREATE TABLE log_counters (
    service TEXT NOT NULL,
    level   TEXT NOT NULL,
    lines   BIGINT NOT NULL,
    PRIMARY KEY (service, level)
);
