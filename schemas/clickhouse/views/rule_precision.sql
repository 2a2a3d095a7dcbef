-- Of a finding that several have judged the majority decides; where as many say right as wrong, nobody has decided.
-- low and high as `wilson` of processors/kpi/statistics.py; tests/integration/test_verdicts.py compares them.
CREATE OR REPLACE VIEW rule_precision {{on_cluster}}
(
    tenant_id LowCardinality(String) COMMENT 'whose verdicts they are',
    detector LowCardinality(Nullable(String)) COMMENT 'detector that found it',
    rule_id LowCardinality(Nullable(String)) COMMENT 'rule that found it; of a suspicion suspected_ and its kind',
    rule_version LowCardinality(Nullable(String)) COMMENT 'version of the rule, or digest of the reading heads',
    judged UInt64 COMMENT 'findings that inspectors call right or wrong',
    right UInt64 COMMENT 'those that more inspectors call right than wrong',
    disputed UInt64 COMMENT 'findings that as many call right as wrong; they are in no other count',
    precision Nullable(Float64) COMMENT 'right / judged; null where nothing is decided',
    low Nullable(Float64) COMMENT 'lower 95 % limit of precision, by Wilson',
    high Nullable(Float64) COMMENT 'upper 95 % limit of precision, by Wilson'
)
SQL SECURITY DEFINER
AS WITH
    3.841458820694124 AS square,
    right / nullIf(judged, 0) AS share,
    share + square / (2 * judged) AS middle,
    sqrt(square) * sqrt(share * (1 - share) / judged + square / (4 * judged * judged)) AS half,
    1 + square / judged AS below
SELECT
    tenant_id,
    detector,
    rule_id,
    rule_version,
    countIf(said_right != said_wrong) AS judged,
    countIf(said_right > said_wrong) AS right,
    countIf(said_right = said_wrong) AS disputed,
    share AS precision,
    if(judged = 0, NULL, greatest((middle - half) / below, 0.)) AS low,
    if(judged = 0, NULL, least((middle + half) / below, 1.)) AS high
FROM
(
    SELECT
        tenant_id,
        detector,
        rule_id,
        rule_version,
        countIf(answer = 'yes') AS said_right,
        countIf(answer = 'no') AS said_wrong
    FROM verdict_versions FINAL
    WHERE about = 'finding' AND answer != 'withdrawn'
    GROUP BY tenant_id, call_id, thing, detector, rule_id, rule_version
)
GROUP BY tenant_id, detector, rule_id, rule_version
COMMENT 'How often each version of each rule, and of reading, is right by the verdicts of inspectors.';
