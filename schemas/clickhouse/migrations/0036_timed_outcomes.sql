-- Outcomes by time, for what is asked every minute (docs/adr/0088-outcomes-by-time.md): outcome_versions is sorted by call, so
-- whoever asks for the last days reads those of years. All versions of a call whose end is known have that end in the key and
-- replace each other; a refusal does not tell the end, and lies apart under the moment of the refusal. known_end is in the key
-- so that FINAL need not read the other half.
CREATE TABLE IF NOT EXISTS {{local timed_outcome_versions}} {{on_cluster}}
(
    tenant_id LowCardinality(String) COMMENT 'whose call it is',
    call_id String COMMENT 'id of the call in the telephony system' CODEC(ZSTD(1)),
    outcome LowCardinality(String) COMMENT 'pending, or one of analyzed, too_short, no_audio, bad_audio, unsupported, refused, not_received, purged',
    known_end Bool COMMENT 'whether it is known when the call ended',
    moment DateTime64(3, 'UTC') COMMENT 'end of the call, UTC; since, where that is not known' CODEC(Delta, ZSTD(1)),
    since DateTime64(3, 'UTC') COMMENT 'pending: when the event was written to its topic; else when the outcome was decided, UTC' CODEC(Delta, ZSTD(1)),
    pending_since DateTime64(3, 'UTC') COMMENT 'since, while pending; 1970 for any other outcome' CODEC(Delta, ZSTD(1)),
    version UInt128 COMMENT 'orders the outcomes of one call: pending 0, refused 1, else the version of the analysis' CODEC(ZSTD(1)),
    INDEX since_index since TYPE minmax GRANULARITY 1,
    INDEX pending_since_index pending_since TYPE minmax GRANULARITY 1
)
ENGINE = {{engine ReplacingMergeTree(version)}}
PARTITION BY (known_end, toYYYYMM(moment))
PRIMARY KEY moment
ORDER BY (moment, tenant_id, call_id, known_end)
SETTINGS index_granularity = 1024
COMMENT 'Outcomes of call events by time, for what is asked every minute. Query outcomes and unaccounted instead.';

CREATE TABLE IF NOT EXISTS timed_outcome_versions {{on_cluster}} AS {{local timed_outcome_versions}}
ENGINE = {{distributed timed_outcome_versions by tenant_id, call_id}}
COMMENT 'Outcomes of call events by time, for what is asked every minute. Query outcomes and unaccounted instead.';

CREATE MATERIALIZED VIEW IF NOT EXISTS timed_outcome_writer {{on_cluster}} TO {{local timed_outcome_versions}}
(
    tenant_id LowCardinality(String) COMMENT 'whose call it is',
    call_id String COMMENT 'id of the call in the telephony system',
    outcome LowCardinality(String) COMMENT 'pending, or one of analyzed, too_short, no_audio, bad_audio, unsupported, refused, not_received, purged',
    known_end Bool COMMENT 'whether it is known when the call ended',
    moment DateTime64(3, 'UTC') COMMENT 'end of the call, UTC; since, where that is not known',
    since DateTime64(3, 'UTC') COMMENT 'pending: when the event was written to its topic; else when the outcome was decided, UTC',
    pending_since DateTime64(3, 'UTC') COMMENT 'since, while pending; 1970 for any other outcome',
    version UInt128 COMMENT 'orders the outcomes of one call: pending 0, refused 1, else the version of the analysis'
)
AS SELECT
    tenant_id,
    call_id,
    outcome,
    isNotNull(ended_at) AS known_end,
    coalesce(ended_at, since) AS moment,
    since,
    if(outcome = 'pending', since, toDateTime64(0, 3, 'UTC')) AS pending_since,
    version
FROM {{local outcome_versions}}
COMMENT 'Fills timed_outcome_versions with every outcome that is stored.';

-- Those that were stored before. Run again, it writes the same rows, which replace each other.
INSERT INTO timed_outcome_versions (tenant_id, call_id, outcome, known_end, moment, since, pending_since, version)
SELECT
    tenant_id,
    call_id,
    outcome,
    isNotNull(ended_at),
    coalesce(ended_at, since),
    since,
    if(outcome = 'pending', since, toDateTime64(0, 3, 'UTC')),
    version
FROM outcome_versions
SETTINGS max_partitions_per_insert_block = 0;
