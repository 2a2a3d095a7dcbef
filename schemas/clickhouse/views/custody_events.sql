CREATE OR REPLACE VIEW custody_events {{on_cluster}}
(
    event_id String COMMENT 'the same on every delivery of the same event',
    at DateTime64(3, 'UTC') COMMENT 'when it changed, UTC',
    tenant_id LowCardinality(String) COMMENT 'whose recording or key; * where it is of no tenant',
    kind LowCardinality(String) COMMENT 'what has changed, such as intake_announced, day_keys_rewrapped or call_keys_destroyed',
    call_id Nullable(String) COMMENT 'call that it is about; null where no single call is meant',
    actor LowCardinality(String) COMMENT 'who did it: an account, the id of an API key, or a part of callstream',
    source LowCardinality(Nullable(String)) COMMENT 'of an intake: how it came, such as http, folder or cdr',
    reason LowCardinality(Nullable(String)) COMMENT 'why, as a word',
    content_sha256 Nullable(FixedString(64)) COMMENT 'of an intake: SHA-256 of what came, as it came',
    content_bytes Nullable(UInt64) COMMENT 'of an intake: its length; of a download of an export: of its files; bytes',
    capture_ms Nullable(UInt64) COMMENT 'of an intake: from its last byte to the acknowledgement of its event, ms',
    object_version Nullable(String) COMMENT 'version of the sealed object in the store',
    purpose LowCardinality(Nullable(String)) COMMENT 'of a key: what it opens: audio, transcript or received',
    key_version LowCardinality(Nullable(String)) COMMENT 'version of the wrapping key',
    key_day Nullable(Date) COMMENT 'UTC day by which keys are filed',
    api_key_id LowCardinality(Nullable(String)) COMMENT 'id of an API key',
    keys_count Nullable(UInt64) COMMENT 'how many keys it was about; of an export: how many calls',
    export_id LowCardinality(Nullable(String)) COMMENT 'id of an export',
    account_id LowCardinality(Nullable(String)) COMMENT 'of an account: whose it is that changed',
    role LowCardinality(Nullable(String)) COMMENT 'of an account: the role that was given or taken',
    case_id Nullable(String) COMMENT 'of a hold: the case'
)
SQL SECURITY DEFINER
AS SELECT
    event_id,
    at,
    tenant_id,
    kind,
    call_id,
    actor,
    source,
    reason,
    content_sha256,
    content_bytes,
    capture_ms,
    object_version,
    purpose,
    key_version,
    key_day,
    api_key_id,
    keys_count,
    export_id,
    account_id,
    role,
    case_id
FROM custody_event_versions FINAL
COMMENT 'One row per change of what is kept exactly: recordings, keys, accounts, holds, exports.';
