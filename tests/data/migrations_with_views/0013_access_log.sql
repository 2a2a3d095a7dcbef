-- Who accessed which recording (R36). Kept for 400 days, longer than the year that it must be (R92); whole months are
-- dropped at a time, each when its last line is that old. To keep it longer:
--     ALTER TABLE access_log_versions MODIFY TTL toDateTime(accessed_at) + INTERVAL 3 YEAR
CREATE TABLE IF NOT EXISTS access_log_versions
(
    access_id String COMMENT 'the same on every delivery of the same access' CODEC(ZSTD(1)),
    accessed_at DateTime64(3, 'UTC') COMMENT 'when it was, UTC' CODEC(Delta, ZSTD(1)),
    tenant_id LowCardinality(String) COMMENT 'whose recordings; * when no tenant was asked for',
    user_id LowCardinality(String) COMMENT 'who did it: the account',
    user_role LowCardinality(String) COMMENT 'in which role',
    action LowCardinality(String) COMMENT 'searched, viewed_call, viewed_transcript, listened, reviewed, exported, approved or deleted',
    call_id Nullable(String) COMMENT 'call that it was about; null for a search, and an export of many calls' CODEC(ZSTD(1)),
    filters Array(LowCardinality(String)) COMMENT 'of a search or an export: the names of what was asked by, no values',
    calls_count Nullable(UInt64) COMMENT 'of a search or an export: how many calls it gave',
    reason LowCardinality(Nullable(String)) COMMENT 'why, as a word',
    ticket Nullable(String) COMMENT 'case that it was done for' CODEC(ZSTD(1)),
    client LowCardinality(String) COMMENT 'through what: cli, console, api',
    address LowCardinality(Nullable(String)) COMMENT 'IP address that it was asked from; null where none is known',
    result LowCardinality(String) COMMENT 'allowed or refused',
    refusal LowCardinality(Nullable(String)) COMMENT 'why it was refused',
    version UInt64 COMMENT 'orders the deliveries of one line to this table: accessed_at in ms' CODEC(ZSTD(1)),
    INDEX call_id_index call_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(accessed_at)
ORDER BY (tenant_id, accessed_at, access_id)
TTL toDateTime(accessed_at) + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1
COMMENT 'The log of access as delivered. Query access_log instead.';

CREATE OR REPLACE VIEW access_log
(
    access_id String COMMENT 'the same on every delivery of the same access',
    accessed_at DateTime64(3, 'UTC') COMMENT 'when it was, UTC',
    tenant_id LowCardinality(String) COMMENT 'whose recordings; * when no tenant was asked for',
    user_id LowCardinality(String) COMMENT 'who did it: the account',
    user_role LowCardinality(String) COMMENT 'in which role',
    action LowCardinality(String) COMMENT 'searched, viewed_call, viewed_transcript, listened, reviewed, exported, approved or deleted',
    call_id Nullable(String) COMMENT 'call that it was about; null for a search, and an export of many calls',
    filters Array(LowCardinality(String)) COMMENT 'of a search or an export: the names of what was asked by, no values',
    calls_count Nullable(UInt64) COMMENT 'of a search or an export: how many calls it gave',
    reason LowCardinality(Nullable(String)) COMMENT 'why, as a word',
    ticket Nullable(String) COMMENT 'case that it was done for',
    client LowCardinality(String) COMMENT 'through what: cli, console, api',
    address LowCardinality(Nullable(String)) COMMENT 'IP address that it was asked from; null where none is known',
    result LowCardinality(String) COMMENT 'allowed or refused',
    refusal LowCardinality(Nullable(String)) COMMENT 'why it was refused'
)
SQL SECURITY DEFINER
AS SELECT
    access_id,
    accessed_at,
    tenant_id,
    user_id,
    user_role,
    action,
    call_id,
    filters,
    calls_count,
    reason,
    ticket,
    client,
    address,
    result,
    refusal
FROM access_log_versions FINAL
COMMENT 'One row per access to a recording, its transcript or its judgement, and per attempt that was refused.';
