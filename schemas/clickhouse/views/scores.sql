CREATE OR REPLACE VIEW scores {{on_cluster}}
(
    tenant_id LowCardinality(String) COMMENT 'whose call it is',
    call_id String COMMENT 'id of the call in the telephony system',
    ended_at DateTime64(3, 'UTC') COMMENT 'end of the call, UTC',
    day Date32 COMMENT 'day of the tenant on which the call ended',
    agent_id String COMMENT 'number of the agent',
    agent_team LowCardinality(Nullable(String)) COMMENT 'team of the agent at the time of the call',
    industry LowCardinality(String) COMMENT 'industry profile',
    score_form LowCardinality(Nullable(String)) COMMENT 'form by which the call was scored; null when it was not',
    score_form_version Nullable(UInt32) COMMENT 'version of that form',
    item_id LowCardinality(String) COMMENT 'item of the form',
    name LowCardinality(String) COMMENT 'name of the item',
    item_group LowCardinality(String) COMMENT 'compliance, communication, resolution or experience',
    points Nullable(Float64) COMMENT 'points that the call reached; null when the item was not measurable',
    max_points Float64 COMMENT 'points that it could have reached',
    reason LowCardinality(Nullable(String)) COMMENT 'why the item was not measurable',
    evidence_measures Map(LowCardinality(String), Nullable(Float64)) COMMENT 'measures that the points rest on, booleans as 0 and 1',
    evidence_finding_ids Array(String) COMMENT 'findings that cost points',
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
    industry,
    score_form,
    score_form_version,
    item_id,
    name,
    item_group,
    points,
    max_points,
    reason,
    evidence_measures,
    evidence_finding_ids,
    analysis_version,
    {{call_url tenant_id, call_id}} AS call_url
FROM call_versions FINAL
ARRAY JOIN
    score_items.item_id AS item_id,
    score_items.name AS name,
    score_items.item_group AS item_group,
    score_items.points AS points,
    score_items.max_points AS max_points,
    score_items.reason AS reason,
    score_items.evidence_measures AS evidence_measures,
    score_items.evidence_finding_ids AS evidence_finding_ids
COMMENT 'One row per call and item of its score form, items that were not measurable included.';
