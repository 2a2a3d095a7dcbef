CREATE OR REPLACE VIEW selected_calls {{on_cluster}}
(
    tenant_id LowCardinality(String) COMMENT 'whose call it is',
    call_id String COMMENT 'id of the call in the telephony system',
    ended_at DateTime64(3, 'UTC') COMMENT 'end of the call, UTC',
    day Date32 COMMENT 'day of the tenant on which the call ended',
    ended_local String COMMENT 'end of the call by the clock of the tenant, such as 2026-03-01 09:30',
    agent_id String COMMENT 'number of the agent',
    agent_team LowCardinality(Nullable(String)) COMMENT 'team of the agent at the time of the call',
    queue LowCardinality(Nullable(String)) COMMENT 'queue that the call came through',
    inquiry_type LowCardinality(Nullable(String)) COMMENT 'inquiry type as the telephony side knows it',
    industry LowCardinality(String) COMMENT 'industry profile',
    trigger LowCardinality(String) COMMENT 'what selected the call',
    reason String COMMENT 'why, in words; nothing that was said',
    finding_ids Array(String) COMMENT 'findings that pulled the trigger',
    measure LowCardinality(Nullable(String)) COMMENT 'measure that pulled the trigger; null where findings alone did',
    is_suspicion Bool COMMENT 'the trigger is what the reading heads or rules with like guess, which nobody has confirmed',
    risk_level LowCardinality(Nullable(String)) COMMENT 'low, medium or high; null when it was not judged',
    risk_score Nullable(Float64) COMMENT 'score behind risk_level',
    analysis_version UInt32 COMMENT 'version of the analysis; a higher one replaces a lower one',
    call_url String COMMENT 'link that opens the call in the console; empty where console_url is not set'
)
SQL SECURITY DEFINER
AS SELECT
    tenant_id,
    call_id,
    ended_at,
    {{day ended_at}} AS day,
    {{clock ended_at}} AS ended_local,
    agent_id,
    agent_team,
    queue,
    inquiry_type,
    industry,
    trigger,
    reason,
    finding_ids,
    measure,
    trigger IN ('customer_upset', 'like', 'reading', 'suspected_violation') AS is_suspicion,
    risk_level,
    risk_score,
    analysis_version,
    {{call_url tenant_id, call_id}} AS call_url
FROM call_versions FINAL
ARRAY JOIN
    selected_by.trigger AS trigger,
    selected_by.reason AS reason,
    selected_by.finding_ids AS finding_ids,
    selected_by.measure AS measure
COMMENT 'One row per call that the newest analysis selected for review and trigger that selected it.';
