CREATE OR REPLACE VIEW suspicions {{on_cluster}}
(
    tenant_id LowCardinality(String) COMMENT 'whose call it is',
    call_id String COMMENT 'id of the call in the telephony system',
    ended_at DateTime64(3, 'UTC') COMMENT 'end of the call, UTC',
    day Date32 COMMENT 'day of the tenant on which the call ended',
    ended_local String COMMENT 'end of the call by the clock of the tenant, such as 2026-03-01 09:30',
    agent_id String COMMENT 'number of the agent',
    agent_team LowCardinality(Nullable(String)) COMMENT 'team of the agent at the time of the call',
    finding_id String COMMENT 'the same on every delivery of the same suspicion',
    detector LowCardinality(String) COMMENT 'reading, like or second_reader',
    kind LowCardinality(String) COMMENT 'most likely kind of violation',
    model LowCardinality(String) COMMENT 'digest of the weights that read it; of like the rule with the version of its pack; of a second reader its model and prompt',
    role LowCardinality(String) COMMENT 'who spoke: agent, customer or unknown',
    start_ms UInt64 COMMENT 'start in the recording, ms',
    end_ms UInt64 COMMENT 'end in the recording, ms',
    quote String COMMENT 'sentence around the words that weighed most; empty where the call as a whole is suspected',
    matched String COMMENT 'words that weighed most; empty where the call as a whole is suspected',
    probability Float64 COMMENT 'that the utterance, or any of the call, breaks a rule of conduct, 0 to 1; of like the similarity, of a second reader what it claims',
    analysis_version UInt32 COMMENT 'version of the analysis; a higher one replaces a lower one',
    call_url String COMMENT 'link that opens the call in the console at that second; empty where console_url is not set',
    rule_id LowCardinality(String) COMMENT 'what a verdict names: suspected_ and the kind, of a whole call suspected_in_call_ and the kind; of like the rule',
    kind_probability Nullable(Float64) COMMENT 'of reading: that it is of that kind, 0 to 1, by itself; below 0.2 the kind is hardly more than a guess; null of a call as a whole and of others',
    nature LowCardinality(String) COMMENT 'violation of the agent, or customer',
    source LowCardinality(String) COMMENT 'reading (also of rules with like), second_reader or hook'
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
    finding_id,
    detector,
    replaceRegexpOne(category, '^(suspected|second_reader)_', '') AS kind,
    multiIf(detector = 'second_reader', concat(attributes['model'], ' ', rule_version), detector = 'like', concat(rule_id, '@', rule_version), rule_version) AS model,
    role,
    start_ms,
    end_ms,
    quote,
    matched,
    probability,
    analysis_version,
    {{call_url tenant_id, call_id, start_ms}} AS call_url,
    rule_id,
    toFloat64OrNull(attributes['kind_probability']) AS kind_probability,
    {{nature category, role, severity, detector, attributes}} AS nature,
    {{source detector, attributes}} AS source
FROM call_versions FINAL
ARRAY JOIN
    findings.finding_id AS finding_id,
    findings.category AS category,
    findings.rule_id AS rule_id,
    findings.rule_version AS rule_version,
    findings.detector AS detector,
    findings.role AS role,
    findings.severity AS severity,
    findings.start_ms AS start_ms,
    findings.end_ms AS end_ms,
    findings.quote AS quote,
    findings.matched AS matched,
    findings.confidence AS probability,
    findings.attributes AS attributes
WHERE detector IN ('like', 'reading', 'second_reader')
    AND (tenant_id, call_id) GLOBAL NOT IN (SELECT tenant_id, call_id FROM blocked_calls)
COMMENT 'One row per utterance, or kind of violation in a call as a whole, that the reading heads, a rule with like or the second reader of the newest analysis suspect; nobody has confirmed it.';
