-- Joined to calls where it is needed (USING (tenant_id, call_id)), as ratings are: every query on calls would pay for it.
CREATE OR REPLACE VIEW captures {{on_cluster}}
(
    tenant_id LowCardinality(String) COMMENT 'whose call it is',
    call_id String COMMENT 'id of the call in the telephony system',
    captured_at DateTime64(3, 'UTC') COMMENT 'when recording and event were durable, UTC',
    day Date32 COMMENT 'day of the tenant on which that was',
    source LowCardinality(Nullable(String)) COMMENT 'how the recording came, such as serve, folder or publish',
    bytes Nullable(UInt64) COMMENT 'size of the recording as it came, bytes',
    capture_ms Nullable(UInt64) COMMENT 'from its last byte until it was sealed, durable and announced, ms (R11)'
)
SQL SECURITY DEFINER
AS SELECT
    tenant_id,
    assumeNotNull(call_id) AS call_id,
    at AS captured_at,
    {{day at}} AS day,
    source,
    content_bytes AS bytes,
    capture_ms
FROM custody_event_versions FINAL
WHERE kind = 'intake_announced' AND isNotNull(call_id)
COMMENT 'One row per recording that was taken in, and how long that took.';
