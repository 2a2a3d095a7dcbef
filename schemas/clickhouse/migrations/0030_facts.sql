-- What other systems know of orders, customers, agents, courses: one row per thing and moment from which it holds. Of two rows of one
-- moment the one that was written to the topic last stands. It is joined to calls where it is needed.
CREATE TABLE IF NOT EXISTS {{local fact_versions}} {{on_cluster}}
(
    tenant_id LowCardinality(String) COMMENT 'whose calls it is joined to',
    entity LowCardinality(String) COMMENT 'what it is about: order, customer, credit, agent, queue, course, call, or another name',
    key String COMMENT 'which one: its id, as the events of calls have it' CODEC(ZSTD(1)),
    valid_from DateTime64(3, 'UTC') COMMENT 'since when it holds, UTC' CODEC(Delta, ZSTD(1)),
    fields Map(LowCardinality(String), String) COMMENT 'what holds: field and value, personal numbers masked' CODEC(ZSTD(1)),
    source LowCardinality(String) COMMENT 'who says so',
    told_at DateTime64(3, 'UTC') COMMENT 'when it was written to its topic, UTC' CODEC(Delta, ZSTD(1)),
    version UInt128 COMMENT 'orders the rows of one thing and moment: told_at in ms * 2^63 + place in the topic' CODEC(ZSTD(1)),
    stored_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'when the row was stored, UTC' CODEC(Delta, ZSTD(1)),
    INDEX stored_at_index stored_at TYPE minmax GRANULARITY 1
)
ENGINE = {{engine ReplacingMergeTree(version)}}
ORDER BY (tenant_id, entity, key, valid_from)
COMMENT 'Facts as delivered. Query facts and call_facts instead.';

CREATE TABLE IF NOT EXISTS fact_versions {{on_cluster}} AS {{local fact_versions}}
ENGINE = {{distributed fact_versions by tenant_id, entity, key, valid_from}}
COMMENT 'Facts as delivered. Query facts and call_facts instead.';
