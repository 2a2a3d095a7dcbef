-- What other systems know, with the stretch of time for which it held. Keys of agents, queues, courses and calls are shown; those of
-- orders, customers and of whatever else somebody sends may lead to a person, and nobody is shown them here.
CREATE OR REPLACE VIEW facts {{on_cluster}}
(
    tenant_id LowCardinality(String) COMMENT 'whose calls it is joined to',
    entity LowCardinality(String) COMMENT 'what it is about: order, customer, credit, agent, queue, course, call, or another name',
    key Nullable(String) COMMENT 'which agent, queue, course or call; null of every other entity, which may lead to a person',
    valid_from DateTime64(3, 'UTC') COMMENT 'since when it holds, UTC',
    valid_until Nullable(DateTime64(3, 'UTC')) COMMENT 'until when it held, exclusive, UTC; null where it holds to this day',
    fields Map(LowCardinality(String), String) COMMENT 'what holds: field and value; a field that is not there holds no more',
    source LowCardinality(String) COMMENT 'who says so',
    told_at DateTime64(3, 'UTC') COMMENT 'when it was told, UTC'
)
SQL SECURITY DEFINER
AS SELECT
    tenant_id,
    entity,
    if(entity IN ('agent', 'queue', 'course', 'call'), each.key, NULL) AS key,
    valid_from,
    leadInFrame(toNullable(each.valid_from)) OVER (
        PARTITION BY each.tenant_id, each.entity, each.key ORDER BY each.valid_from
        ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
    ) AS valid_until,
    fields,
    source,
    told_at
FROM fact_versions AS each FINAL
COMMENT 'What other systems know of orders, customers, agents, courses: one row per thing and moment from which it holds.';
