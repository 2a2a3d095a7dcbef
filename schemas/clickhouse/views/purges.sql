CREATE OR REPLACE VIEW purges {{on_cluster}}
(
    tenant_id LowCardinality(String) COMMENT 'whose call it was',
    call_id String COMMENT 'id of the call in the telephony system',
    state LowCardinality(String) COMMENT 'blocked: erased for every use, and kept by a floor or a hold; purging: being destroyed; purged: nothing of it is left',
    reason LowCardinality(String) COMMENT 'why, as a word: retention, misdial, erasure, request',
    policy_version LowCardinality(String) COMMENT 'retention policy by which it was destroyed; empty where a person decided it',
    purge_id String COMMENT 'purge that it belongs to, as its receipt says; empty while it is blocked',
    ended_at Nullable(DateTime64(3, 'UTC')) COMMENT 'end of the call, UTC; null where it is not known',
    at DateTime64(3, 'UTC') COMMENT 'since when it is in this state, UTC',
    day Date32 COMMENT 'day of the tenant on which the call ended; of at, where that is not known'
)
SQL SECURITY DEFINER
AS SELECT
    tenant_id,
    call_id,
    state,
    reason,
    policy_version,
    purge_id,
    ended_at,
    at,
    {{day coalesce(ended_at, at)}} AS day
FROM purge_versions FINAL
COMMENT 'One row per call that was destroyed, is being destroyed, or is blocked. Its outcome is in outcomes, as it was.';
