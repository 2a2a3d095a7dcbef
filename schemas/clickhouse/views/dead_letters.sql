CREATE OR REPLACE VIEW dead_letters {{on_cluster}}
(
    dead_letter_id String COMMENT 'the same on every delivery of the same refusal',
    step LowCardinality(String) COMMENT 'step that refused the message',
    source_topic LowCardinality(String) COMMENT 'topic in which the message still lies',
    source_partition UInt32 COMMENT 'partition of that topic',
    source_offset UInt64 COMMENT 'offset in that partition',
    exception_class LowCardinality(String) COMMENT 'kind of error',
    problems Array(String) COMMENT 'schema fields and kinds of error, never a value',
    tenant_id LowCardinality(Nullable(String)) COMMENT 'whose call it is; null when the message does not tell',
    call_id Nullable(String) COMMENT 'call that the message is about; null when the message does not tell',
    value_sha256 Nullable(String) COMMENT 'SHA-256 of the message',
    value_bytes UInt64 COMMENT 'size of the message, bytes',
    failed_at DateTime64(3, 'UTC') COMMENT 'when the message was refused, UTC',
    day Date32 COMMENT 'day on which the message was refused, of the tenant where it is known'
)
SQL SECURITY DEFINER
AS SELECT
    dead_letter_id,
    step,
    source_topic,
    source_partition,
    source_offset,
    exception_class,
    problems,
    tenant_id,
    call_id,
    value_sha256,
    value_bytes,
    failed_at,
    {{day failed_at}} AS day
FROM dead_letter_versions FINAL
COMMENT 'One row per message that can never be processed.';
