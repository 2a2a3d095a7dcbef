-- Calls as the exchange's own list has them (R39). Of the rows of one call the newest list stands, and within it one that
-- is recorded.
CREATE TABLE IF NOT EXISTS {{local exchange_call_versions}} {{on_cluster}}
(
    tenant_id LowCardinality(String) COMMENT 'whose call it is',
    call_id String COMMENT 'id of the call in the telephony system' CODEC(ZSTD(1)),
    recorded Bool COMMENT 'whether, by the list, there must be a recording of the call',
    started_at DateTime64(3, 'UTC') COMMENT 'start of the call, UTC' CODEC(Delta, ZSTD(1)),
    ended_at DateTime64(3, 'UTC') COMMENT 'end of the call, UTC' CODEC(Delta, ZSTD(1)),
    direction LowCardinality(Nullable(String)) COMMENT 'inbound or outbound; null where the list does not say',
    handled_by LowCardinality(String) COMMENT 'human or bot',
    answered Nullable(Bool) COMMENT 'whether the call was answered; null where the list does not say',
    agent_id Nullable(String) COMMENT 'number of the agent, if the list has it' CODEC(ZSTD(1)),
    queue LowCardinality(Nullable(String)) COMMENT 'queue that the call came through, if the list has it',
    customer_key Nullable(String) COMMENT 'keyed hash of the phone number of the customer' CODEC(ZSTD(1)),
    listed_at DateTime64(3, 'UTC') COMMENT 'when the list was written, UTC' CODEC(Delta, ZSTD(1)),
    version UInt128 COMMENT 'orders the rows of one call: listed_at in ms * 2^65 + recorded * 2^64 + 64 bits of a digest' CODEC(ZSTD(1)),
    stored_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'when the row was stored, UTC' CODEC(Delta, ZSTD(1)),
    INDEX stored_at_index stored_at TYPE minmax GRANULARITY 1
)
ENGINE = {{engine ReplacingMergeTree(version)}}
ORDER BY (tenant_id, call_id)
COMMENT 'Calls of the lists of the exchange as delivered. Query exchange_calls instead.';

CREATE TABLE IF NOT EXISTS exchange_call_versions {{on_cluster}} AS {{local exchange_call_versions}}
ENGINE = {{distributed exchange_call_versions by tenant_id, call_id}}
COMMENT 'Calls of the lists of the exchange as delivered. Query exchange_calls instead.';

-- What `reconcile` has found: calls that the exchange has and of which no event came in time. One whose event comes after
-- all stays as a row with missing = false, so that an hour can be told to be complete again.
CREATE TABLE IF NOT EXISTS {{local missing_recording_versions}} {{on_cluster}}
(
    tenant_id LowCardinality(String) COMMENT 'whose call it is',
    call_id String COMMENT 'id of the call in the telephony system' CODEC(ZSTD(1)),
    missing Bool COMMENT 'false since its event came, or the list was corrected',
    reason LowCardinality(String) COMMENT 'why it counts as not received',
    ended_at DateTime64(3, 'UTC') COMMENT 'end of the call by the list, UTC' CODEC(Delta, ZSTD(1)),
    found_at DateTime64(3, 'UTC') COMMENT 'when it was first found missing, UTC' CODEC(Delta, ZSTD(1)),
    since DateTime64(3, 'UTC') COMMENT 'since when this holds, UTC' CODEC(Delta, ZSTD(1)),
    version UInt64 COMMENT 'orders the rows of one call: since in ms' CODEC(ZSTD(1))
)
ENGINE = {{engine ReplacingMergeTree(version)}}
ORDER BY (tenant_id, call_id)
COMMENT 'Calls without a recording as they were found. Query outcomes instead.';

CREATE TABLE IF NOT EXISTS missing_recording_versions {{on_cluster}} AS {{local missing_recording_versions}}
ENGINE = {{distributed missing_recording_versions by tenant_id, call_id}}
COMMENT 'Calls without a recording as they were found. Query outcomes instead.';

-- What columns say of the new outcome and the new kind of alert.
ALTER TABLE {{both outcome_versions}} {{on_cluster}} MODIFY COLUMN outcome LowCardinality(String) COMMENT 'pending, or one of analyzed, too_short, no_audio, bad_audio, unsupported, refused, not_received, purged';
ALTER TABLE {{both alert_versions}} {{on_cluster}} MODIFY COLUMN kind LowCardinality(String) COMMENT 'call, surge, or missing: recordings that did not come';
ALTER TABLE {{both alert_versions}} {{on_cluster}} MODIFY COLUMN call_id Nullable(String) COMMENT 'call that the alert is about; null where it is about several' {{stored CODEC(ZSTD(1))}};
ALTER TABLE {{both alert_versions}} {{on_cluster}} MODIFY COLUMN calls Array(String) COMMENT 'of a surge: calls behind it, newest first; of missing recordings: the first of their calls; fifty at most' {{stored CODEC(ZSTD(1))}};
ALTER TABLE {{both alert_versions}} {{on_cluster}} MODIFY COLUMN calls_count Nullable(UInt64) COMMENT 'of a surge: how many calls in its window; of missing recordings: how many calls';
ALTER TABLE {{both alert_versions}} {{on_cluster}} MODIFY COLUMN happened_at DateTime64(3, 'UTC') COMMENT 'end of the call, of a surge the end of its window, of missing recordings the end of the last of their calls, UTC' {{stored CODEC(Delta, ZSTD(1))}};
