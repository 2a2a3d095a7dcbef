-- The accounting (R39): every call event stands here exactly once. Rows of one call replace each other by version,
-- whatever the order and number of deliveries: pending 0, refused 1, the outcome of an analysis its own version.
-- Neither partitioned nor sorted by time, because a refused message may not tell when its call ended.
CREATE TABLE IF NOT EXISTS {{local outcome_versions}} {{on_cluster}}
(
    tenant_id LowCardinality(String) COMMENT 'whose call it is',
    call_id String COMMENT 'id of the call in the telephony system' CODEC(ZSTD(1)),
    outcome LowCardinality(String) COMMENT 'pending, or one of analyzed, too_short, no_audio, bad_audio, unsupported, refused, purged',
    reason LowCardinality(String) COMMENT 'why; empty while pending',
    ended_at Nullable(DateTime64(3, 'UTC')) COMMENT 'end of the call, UTC; null where the event could not be read' CODEC(Delta, ZSTD(1)),
    since DateTime64(3, 'UTC') COMMENT 'pending: when the event was written to its topic; else when the outcome was decided, UTC' CODEC(Delta, ZSTD(1)),
    version UInt64 COMMENT 'orders the outcomes of one call: pending 0, refused 1, else the version of the analysis' CODEC(ZSTD(1))
)
ENGINE = {{engine ReplacingMergeTree(version)}}
ORDER BY (tenant_id, call_id)
COMMENT 'Outcomes of call events as delivered. Query outcomes and unaccounted instead.';

CREATE TABLE IF NOT EXISTS outcome_versions {{on_cluster}} AS {{local outcome_versions}}
ENGINE = {{distributed outcome_versions by tenant_id, call_id}}
COMMENT 'Outcomes of call events as delivered. Query outcomes and unaccounted instead.';
