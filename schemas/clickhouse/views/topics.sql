CREATE OR REPLACE VIEW topics {{on_cluster}}
(
    tenant_id LowCardinality(String) COMMENT 'whose call it is',
    call_id String COMMENT 'id of the call in the telephony system',
    ended_at DateTime64(3, 'UTC') COMMENT 'end of the call, UTC',
    day Date32 COMMENT 'day of the tenant on which the call ended',
    agent_id String COMMENT 'number of the agent',
    agent_team LowCardinality(Nullable(String)) COMMENT 'team of the agent at the time of the call',
    topic_id LowCardinality(String) COMMENT 'demand of the taxonomy',
    name LowCardinality(String) COMMENT 'name of the demand',
    role LowCardinality(String) COMMENT 'who spoke: agent, customer or unknown',
    quote String COMMENT 'words that show the demand',
    confidence Float64 COMMENT 'confidence, 0 to 1',
    analysis_version UInt32 COMMENT 'version of the analysis; a higher one replaces a lower one',
    call_url String COMMENT 'link that opens the call in the console; empty where console_url is not set'
)
SQL SECURITY DEFINER
AS SELECT
    tenant_id,
    call_id,
    ended_at,
    {{day ended_at}} AS day,
    agent_id,
    agent_team,
    topic_id,
    name,
    role,
    if((tenant_id, call_id) GLOBAL IN (SELECT tenant_id, call_id FROM blocked_calls), '', said) AS quote,
    confidence,
    analysis_version,
    {{call_url tenant_id, call_id}} AS call_url
FROM call_versions FINAL
ARRAY JOIN
    topics.topic_id AS topic_id,
    topics.name AS name,
    topics.role AS role,
    topics.quote AS said,
    topics.confidence AS confidence
COMMENT 'One row per demand that was heard in a call, by its newest analysis.';
