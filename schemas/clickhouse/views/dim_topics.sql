-- made after: dim_rules
CREATE OR REPLACE VIEW dim_topics {{on_cluster}}
(
    tenant_id LowCardinality(Nullable(String)) COMMENT 'whose topic it is; null: of everybody who has no pack of that name of their own',
    topic_id LowCardinality(String) COMMENT 'topic, as in topics',
    name LowCardinality(String) COMMENT 'name of the topic, as people read it',
    name_en String COMMENT 'the topic in English: the words of its id',
    pack LowCardinality(String) COMMENT 'name of the pack',
    pack_version UInt32 COMMENT 'version of the pack that is in force',
    industry LowCardinality(String) COMMENT 'industry that the pack applies to; general: every call'
)
SQL SECURITY DEFINER
AS SELECT
    tenant_id,
    rule_id AS topic_id,
    name,
    name_en,
    pack,
    pack_version,
    industry
FROM dim_rules
WHERE section = 'topics'
COMMENT 'One row per topic that calls can be about, by the packs in force. Old calls may have topics that have gone: use LEFT JOIN.';
