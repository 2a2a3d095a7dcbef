-- In force is the highest version of a pack, as it was written last: all of its rules bear the same `version`. A tenant's own pack takes the place of the one of everybody of that name, for
-- that tenant: join by rule_id, and where a tenant has packs of its own by tenant_id, too.
CREATE OR REPLACE VIEW dim_rules {{on_cluster}}
(
    tenant_id LowCardinality(Nullable(String)) COMMENT 'whose rule it is; null: of everybody who has no pack of that name of their own',
    rule_id LowCardinality(String) COMMENT 'pack and rule, as in findings; of a topic the topic_id of topics',
    section LowCardinality(String) COMMENT 'part of the pack: sensitive_words, mandatory_scripts, procedures, checklists, threats, claims, topics, retention or rules',
    name LowCardinality(String) COMMENT 'name of the rule, as people read it',
    name_en String COMMENT 'the rule in English: the words of its id',
    category LowCardinality(Nullable(String)) COMMENT 'category of its findings; null where it makes none',
    severity LowCardinality(Nullable(String)) COMMENT 'severity of its findings: info, low, medium, high or critical; null where it makes none',
    measure LowCardinality(Nullable(String)) COMMENT 'measure that it takes; null where it takes none',
    pack LowCardinality(String) COMMENT 'name of the pack',
    pack_version UInt32 COMMENT 'version of the pack; the rule_version of its findings',
    industry LowCardinality(String) COMMENT 'industry that the pack applies to; general: every call',
    language LowCardinality(String) COMMENT 'language of the pack, ISO 639-1',
    owner LowCardinality(String) COMMENT 'who answers for the rule',
    valid_from Nullable(Date32) COMMENT 'first day of the tenant on which it holds; null: from the start',
    valid_until Nullable(Date32) COMMENT 'last day of the tenant on which it holds; null: without end',
    published_at Nullable(DateTime64(3, 'UTC')) COMMENT 'when the pack was published, UTC; null where it came with callstream or lies in rules_folder'
)
SQL SECURITY DEFINER
AS SELECT
    tenant_id,
    rule_id,
    section,
    name,
    replaceAll(substring(rule_id, length(pack) + 2), '_', ' ') AS name_en,
    category,
    severity,
    measure,
    pack,
    pack_version,
    industry,
    language,
    owner,
    valid_from,
    valid_until,
    published_at
FROM (
    SELECT *, max((pack_version, version)) OVER (PARTITION BY tenant_id, pack, language) AS in_force
    FROM rule_versions FINAL
)
WHERE (pack_version, version) = in_force
COMMENT 'One row per rule of the packs in force: what it is called, and what it is for. Topics are among them.';
