-- The rules of every pack: what they are called, and what they are for, so that findings and topics can be joined to them.
-- `callstream migrate` writes those of the packs that are shipped or lie in rules_folder, `store` those that are published.
CREATE TABLE IF NOT EXISTS {{local rule_versions}} {{on_cluster}}
(
    tenant_id LowCardinality(Nullable(String)) COMMENT 'whose rule it is; null: of everybody who has no pack of that name of their own',
    pack LowCardinality(String) COMMENT 'name of the pack',
    pack_version UInt32 COMMENT 'version of the pack; the rule_version of its findings',
    rule_id LowCardinality(String) COMMENT 'pack and rule, as in findings; of a topic the topic_id of topics',
    section LowCardinality(String) COMMENT 'part of the pack: sensitive_words, mandatory_scripts, procedures, checklists, threats, claims, topics, retention or rules',
    name LowCardinality(String) COMMENT 'name of the rule, as people read it',
    category LowCardinality(Nullable(String)) COMMENT 'category of its findings; null where it makes none',
    severity LowCardinality(Nullable(String)) COMMENT 'severity of its findings: info, low, medium, high or critical; null where it makes none',
    measure LowCardinality(Nullable(String)) COMMENT 'measure that it takes; null where it takes none',
    industry LowCardinality(String) COMMENT 'industry that the pack applies to; general: every call',
    language LowCardinality(String) COMMENT 'language of the pack, ISO 639-1',
    owner LowCardinality(String) COMMENT 'who answers for the rule',
    valid_from Nullable(Date32) COMMENT 'first day of the tenant on which it holds; null: from the start',
    valid_until Nullable(Date32) COMMENT 'last day of the tenant on which it holds; null: without end',
    published_at Nullable(DateTime64(3, 'UTC')) COMMENT 'when the pack was published, UTC; null where it came with callstream or lies in rules_folder',
    version UInt64 COMMENT 'orders the deliveries of one version to this table: when it was published or written, ms'
)
ENGINE = {{engine ReplacingMergeTree(version)}}
ORDER BY (ifNull(tenant_id, ''), pack, pack_version, rule_id)
COMMENT 'Rules of packs as delivered. Query dim_rules and dim_topics instead.';

CREATE TABLE IF NOT EXISTS rule_versions {{on_cluster}} AS {{local rule_versions}}
ENGINE = {{distributed rule_versions by ifNull(tenant_id, ''), pack, pack_version, rule_id}}
COMMENT 'Rules of packs as delivered. Query dim_rules and dim_topics instead.';

-- Every column says its unit.
ALTER TABLE {{both call_versions}} {{on_cluster}} MODIFY COLUMN response_delays_ms Array(UInt64) COMMENT 'how long each answer of the agent took, ms, in the order of the call; none where it could not be measured' {{stored CODEC(ZSTD(1))}};
