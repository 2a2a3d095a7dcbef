-- Every version of every rule pack that was published, so that the rule and version of a finding can be joined to who put
-- it into force, when and why. The packs themselves stay in the topic.
CREATE TABLE IF NOT EXISTS rule_pack_versions
(
    pack LowCardinality(String) COMMENT 'name of the pack',
    pack_version UInt32 COMMENT 'version of the pack; the rule_version of its findings',
    tenant_id LowCardinality(Nullable(String)) COMMENT 'whose pack it is; null: for everybody',
    industry LowCardinality(String) COMMENT 'industry that it applies to; general: every call',
    language LowCardinality(String) COMMENT 'language of its rules',
    owner String COMMENT 'who answers for it',
    rules UInt32 COMMENT 'number of its rules',
    sha256 String COMMENT 'SHA-256 of its content',
    published_at DateTime64(3, 'UTC') COMMENT 'when it was published, UTC' CODEC(Delta, ZSTD(1)),
    published_by LowCardinality(String) COMMENT 'who published it',
    note String COMMENT 'why',
    version UInt64 COMMENT 'orders the deliveries of one version to this table: published_at in ms'
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (ifNull(tenant_id, ''), pack, pack_version)
COMMENT 'Published rule packs as delivered. Query rule_packs instead.';

CREATE OR REPLACE VIEW rule_packs
(
    pack LowCardinality(String) COMMENT 'name of the pack',
    pack_version UInt32 COMMENT 'version of the pack; the rule_version of its findings',
    tenant_id LowCardinality(Nullable(String)) COMMENT 'whose pack it is; null: for everybody',
    industry LowCardinality(String) COMMENT 'industry that it applies to; general: every call',
    language LowCardinality(String) COMMENT 'language of its rules',
    owner String COMMENT 'who answers for it',
    rules UInt32 COMMENT 'number of its rules',
    sha256 String COMMENT 'SHA-256 of its content',
    published_at DateTime64(3, 'UTC') COMMENT 'when it was published, UTC',
    published_by LowCardinality(String) COMMENT 'who published it',
    note String COMMENT 'why'
)
AS SELECT
    pack,
    pack_version,
    tenant_id,
    industry,
    language,
    owner,
    rules,
    sha256,
    published_at,
    published_by,
    note
FROM rule_pack_versions FINAL
COMMENT 'One row per version of a rule pack that was published.';
