-- A call that was missing has its outcome from its event as soon as one has come, before anybody looks again.
CREATE OR REPLACE VIEW outcomes {{on_cluster}}
(
    tenant_id LowCardinality(String) COMMENT 'whose call it is',
    call_id String COMMENT 'id of the call in the telephony system',
    outcome LowCardinality(String) COMMENT 'pending, or one of analyzed, too_short, no_audio, bad_audio, unsupported, refused, not_received, purged',
    reason LowCardinality(String) COMMENT 'why; empty while pending',
    ended_at Nullable(DateTime64(3, 'UTC')) COMMENT 'end of the call, UTC; null where the event could not be read',
    since DateTime64(3, 'UTC') COMMENT 'pending: when the event was written to its topic; else when the outcome was decided, UTC',
    day Date32 COMMENT 'day of the tenant on which the call ended; of since, where the event could not be read',
    call_url String COMMENT 'link that opens the call in the console; empty where console_url is not set'
)
SQL SECURITY DEFINER
AS SELECT
    tenant_id,
    call_id,
    outcome,
    reason,
    ended_at,
    since,
    {{day coalesce(ended_at, since)}} AS day,
    {{call_url tenant_id, call_id}} AS call_url
FROM (
    SELECT tenant_id, call_id, outcome, reason, ended_at, since FROM outcome_versions FINAL
    UNION ALL
    SELECT tenant_id, call_id, 'not_received' AS outcome, reason, toNullable(ended_at) AS ended_at, since
    FROM missing_recording_versions FINAL
    WHERE missing AND (tenant_id, call_id) GLOBAL NOT IN
    (
        SELECT tenant_id, call_id FROM outcome_versions
        WHERE (tenant_id, call_id) GLOBAL IN (SELECT tenant_id, call_id FROM missing_recording_versions WHERE missing)
    )
)
COMMENT 'One row per call that ended: where it ended, that it is still pending, or that the exchange has it and we have not.';
