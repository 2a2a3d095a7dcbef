CREATE OR REPLACE VIEW findings {{on_cluster}}
(
    tenant_id LowCardinality(String) COMMENT 'whose call it is',
    call_id String COMMENT 'id of the call in the telephony system',
    ended_at DateTime64(3, 'UTC') COMMENT 'end of the call, UTC',
    day Date32 COMMENT 'day of the tenant on which the call ended',
    ended_local String COMMENT 'end of the call by the clock of the tenant, such as 2026-03-01 09:30',
    agent_id String COMMENT 'number of the agent',
    agent_team LowCardinality(Nullable(String)) COMMENT 'team of the agent at the time of the call',
    finding_id String COMMENT 'the same on every delivery of the same finding',
    detector LowCardinality(String) COMMENT 'detector that found it',
    rule_id LowCardinality(String) COMMENT 'rule that was hit',
    rule_version LowCardinality(String) COMMENT 'version of that rule',
    category LowCardinality(String) COMMENT 'kind of finding',
    role LowCardinality(String) COMMENT 'who spoke: agent, customer or unknown',
    start_ms UInt64 COMMENT 'start in the recording, ms',
    end_ms UInt64 COMMENT 'end in the recording, ms',
    quote String COMMENT 'sentence around the hit as it stands in the transcript',
    matched String COMMENT 'the hit itself',
    severity LowCardinality(String) COMMENT 'info, low, medium, high or critical',
    score_delta Float64 COMMENT 'what the finding adds to the score',
    confidence Float64 COMMENT 'confidence of the detector, 0 to 1',
    attributes Map(LowCardinality(String), String) COMMENT 'what else the detector says, see its documentation',
    analysis_version UInt32 COMMENT 'version of the analysis; a higher one replaces a lower one'
)
SQL SECURITY DEFINER
AS WITH
    (tenant_id, call_id) GLOBAL IN (SELECT tenant_id, call_id FROM blocked_calls) AS is_blocked
SELECT
    tenant_id,
    call_id,
    ended_at,
    {{day ended_at}} AS day,
    {{clock ended_at}} AS ended_local,
    agent_id,
    agent_team,
    finding_id,
    detector,
    rule_id,
    rule_version,
    category,
    role,
    start_ms,
    end_ms,
    if(is_blocked, '', said) AS quote,
    if(is_blocked, '', hit) AS matched,
    severity,
    score_delta,
    confidence,
    if(is_blocked, CAST(map(), 'Map(LowCardinality(String), String)'), told) AS attributes,
    analysis_version
FROM call_versions FINAL
ARRAY JOIN
    findings.finding_id AS finding_id,
    findings.detector AS detector,
    findings.rule_id AS rule_id,
    findings.rule_version AS rule_version,
    findings.category AS category,
    findings.role AS role,
    findings.start_ms AS start_ms,
    findings.end_ms AS end_ms,
    findings.quote AS said,
    findings.matched AS hit,
    findings.severity AS severity,
    findings.score_delta AS score_delta,
    findings.confidence AS confidence,
    findings.attributes AS told
WHERE detector NOT IN ('like', 'reading', 'second_reader')
COMMENT 'One row per finding of the newest analysis of each call; what reading, rules with like and the second reader suspect is in suspicions.';
