-- What became of recordings and keys, as the register told it. Kept for 400 days as the log of access is (0013); to keep
-- it longer: ALTER TABLE custody_event_versions MODIFY TTL toDateTime(at) + INTERVAL 3 YEAR
CREATE TABLE IF NOT EXISTS {{local custody_event_versions}} {{on_cluster}}
(
    event_id String COMMENT 'the same on every delivery of the same event' CODEC(ZSTD(1)),
    at DateTime64(3, 'UTC') COMMENT 'when it changed, UTC' CODEC(Delta, ZSTD(1)),
    tenant_id LowCardinality(String) COMMENT 'whose recording or key; * where it is of no tenant',
    kind LowCardinality(String) COMMENT 'what has changed, such as intake_announced, day_keys_rewrapped or call_keys_destroyed',
    call_id Nullable(String) COMMENT 'call that it is about; null where no single call is meant' CODEC(ZSTD(1)),
    actor LowCardinality(String) COMMENT 'who did it: an account, the id of an API key, or a part of callstream',
    source LowCardinality(Nullable(String)) COMMENT 'of an intake: how it came, such as http, folder or cdr',
    reason LowCardinality(Nullable(String)) COMMENT 'why, as a word',
    content_sha256 Nullable(FixedString(64)) COMMENT 'of an intake: SHA-256 of what came, as it came' CODEC(ZSTD(1)),
    content_bytes Nullable(UInt64) COMMENT 'of an intake: its length in bytes' CODEC(ZSTD(1)),
    capture_ms Nullable(UInt64) COMMENT 'of an intake: from its last byte to the acknowledgement of its event, ms' CODEC(ZSTD(1)),
    object_version Nullable(String) COMMENT 'version of the sealed object in the store' CODEC(ZSTD(1)),
    purpose LowCardinality(Nullable(String)) COMMENT 'of a key: what it opens: audio, transcript or received',
    key_version LowCardinality(Nullable(String)) COMMENT 'version of the wrapping key',
    key_day Nullable(Date) COMMENT 'UTC day by which keys are filed',
    api_key_id LowCardinality(Nullable(String)) COMMENT 'id of an API key',
    keys_count Nullable(UInt64) COMMENT 'how many keys it was about' CODEC(ZSTD(1)),
    version UInt64 COMMENT 'orders the deliveries of one event to this table: at in ms' CODEC(ZSTD(1)),
    INDEX call_id_index call_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = {{engine ReplacingMergeTree(version)}}
PARTITION BY toYYYYMM(at)
ORDER BY (tenant_id, at, event_id)
TTL toDateTime(at) + INTERVAL 400 DAY
SETTINGS ttl_only_drop_parts = 1
COMMENT 'Events of custody as delivered. Query custody_events instead.';

CREATE TABLE IF NOT EXISTS custody_event_versions {{on_cluster}} AS {{local custody_event_versions}}
ENGINE = {{distributed custody_event_versions by tenant_id, at, event_id}}
COMMENT 'Events of custody as delivered. Query custody_events instead.';
