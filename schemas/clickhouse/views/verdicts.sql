-- Agent and team are those of the call as it was judged last: rights of inspectors go by them. A verdict may come before
-- its call; then they are null.
CREATE OR REPLACE VIEW verdicts {{on_cluster}}
(
    tenant_id LowCardinality(String) COMMENT 'whose call it is',
    call_id String COMMENT 'id of the call in the telephony system',
    about LowCardinality(String) COMMENT 'what is judged: call, finding or missed',
    answer LowCardinality(String) COMMENT 'yes (worth hearing, right, missed) or no',
    given_by LowCardinality(String) COMMENT 'inspector who judged it',
    given_at DateTime64(3, 'UTC') COMMENT 'when it was judged, UTC',
    finding_id Nullable(String) COMMENT 'finding or suspicion that was judged',
    detector LowCardinality(Nullable(String)) COMMENT 'detector that found it',
    rule_id LowCardinality(Nullable(String)) COMMENT 'rule that found it; of a suspicion suspected_ and its kind',
    rule_version LowCardinality(Nullable(String)) COMMENT 'version of the rule, or digest of the reading heads, that was judged',
    kind LowCardinality(Nullable(String)) COMMENT 'kind of a missed violation',
    quote Nullable(String) COMMENT 'masked words of a missed violation',
    segment_id Nullable(UInt32) COMMENT 'segment of a missed violation, if known',
    start_ms Nullable(UInt64) COMMENT 'start of the finding in the recording, ms, if told',
    score Nullable(Float64) COMMENT 'score of the person for the call as a whole, 0 to 100; null where none was given',
    note Nullable(String) COMMENT 'why, masked',
    ended_at Nullable(DateTime64(3, 'UTC')) COMMENT 'end of the call, UTC; null where the call is not known yet',
    agent_id Nullable(String) COMMENT 'number of the agent; null where the call is not known yet',
    agent_team LowCardinality(Nullable(String)) COMMENT 'team of the agent at the time of the call',
    call_url String COMMENT 'link that opens the call in the console at that second; empty where console_url is not set'
)
SQL SECURITY DEFINER
AS SELECT
    told.tenant_id AS tenant_id,
    told.call_id AS call_id,
    told.about AS about,
    told.answer AS answer,
    told.given_by AS given_by,
    told.given_at AS given_at,
    told.finding_id AS finding_id,
    told.detector AS detector,
    told.rule_id AS rule_id,
    told.rule_version AS rule_version,
    told.kind AS kind,
    if((told.tenant_id, told.call_id) GLOBAL IN (SELECT tenant_id, call_id FROM blocked_calls), NULL, told.quote) AS quote,
    told.segment_id AS segment_id,
    told.start_ms AS start_ms,
    told.score AS score,
    if((told.tenant_id, told.call_id) GLOBAL IN (SELECT tenant_id, call_id FROM blocked_calls), NULL, told.note) AS note,
    judged.ended_at AS ended_at,
    judged.agent_id AS agent_id,
    judged.agent_team AS agent_team,
    {{call_url told.tenant_id, told.call_id, told.start_ms}} AS call_url
FROM (SELECT * FROM verdict_versions FINAL WHERE answer != 'withdrawn') AS told
LEFT JOIN
(
    SELECT tenant_id, call_id, toNullable(ended_at) AS ended_at, toNullable(agent_id) AS agent_id, agent_team
    FROM call_versions FINAL
    WHERE (tenant_id, call_id) GLOBAL IN (SELECT tenant_id, call_id FROM verdict_versions)
) AS judged ON told.tenant_id = judged.tenant_id AND told.call_id = judged.call_id
COMMENT 'The newest verdict of each person on each call, finding and missed violation.';
