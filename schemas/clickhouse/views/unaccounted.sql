CREATE OR REPLACE VIEW unaccounted {{on_cluster}}
(
    tenant_id LowCardinality(String) COMMENT 'whose call it is',
    call_id String COMMENT 'id of the call in the telephony system',
    ended_at Nullable(DateTime64(3, 'UTC')) COMMENT 'end of the call, UTC; null where the event could not be read',
    since DateTime64(3, 'UTC') COMMENT 'pending: when the event was written to its topic; else when the outcome was decided, UTC',
    call_url String COMMENT 'link that opens the call in the console; empty where console_url is not set'
)
SQL SECURITY DEFINER
AS SELECT
    tenant_id,
    call_id,
    ended_at,
    since,
    {{call_url tenant_id, call_id}} AS call_url
FROM outcome_versions FINAL
WHERE outcome = 'pending'
COMMENT 'Call events without an outcome; compare since with the processing objective.';
