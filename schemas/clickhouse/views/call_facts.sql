-- Calls with what other systems know of their order, customer, agent, queue and course: as of the end of the call, and the newest. A
-- call has a row for each entity of which anything is known, also where it became known after the call alone. Of calls that are blocked
-- nothing leads to a customer any more.
CREATE OR REPLACE VIEW call_facts {{on_cluster}}
(
    tenant_id LowCardinality(String) COMMENT 'whose call it is',
    call_id String COMMENT 'id of the call in the telephony system',
    ended_at DateTime64(3, 'UTC') COMMENT 'end of the call, UTC',
    day Date32 COMMENT 'day of the tenant on which the call ended',
    agent_id String COMMENT 'number of the agent',
    agent_team LowCardinality(Nullable(String)) COMMENT 'team of the agent at the time of the call',
    entity LowCardinality(String) COMMENT 'what the facts are about: order, customer, credit, agent, queue, course or call',
    key Nullable(String) COMMENT 'which agent, queue, course or call; null of order, customer and credit, which lead to a person',
    valid_from Nullable(DateTime64(3, 'UTC')) COMMENT 'since when fields hold, UTC; null where nothing held yet when the call ended',
    fields Map(LowCardinality(String), String) COMMENT 'what held when the call ended; empty where nothing did',
    newest_valid_from DateTime64(3, 'UTC') COMMENT 'since when newest_fields hold, UTC',
    newest_fields Map(LowCardinality(String), String) COMMENT 'what holds by now'
)
SQL SECURITY DEFINER
AS WITH
    keys AS
    (
        SELECT tenant_id, call_id, ended_at, agent_id, agent_team, thing.1 AS entity, thing.2 AS thing_key
        FROM
        (
            SELECT
                tenant_id, call_id, ended_at, agent_id, agent_team,
                ifNull(queue, '') AS of_queue,
                (tenant_id, call_id) GLOBAL IN (SELECT tenant_id, call_id FROM blocked_calls) AS is_blocked,
                if(is_blocked, '', ifNull(order_id, '')) AS of_order,
                if(is_blocked, '', ifNull(customer_key, '')) AS of_customer,
                if(is_blocked, '', crm['course_id']) AS of_course
            FROM call_versions FINAL
        )
        ARRAY JOIN [
            ('order', of_order), ('customer', of_customer), ('credit', of_customer), ('agent', agent_id),
            ('queue', of_queue), ('course', of_course), ('call', call_id)
        ] AS thing
        WHERE thing_key != ''
    )
SELECT
    keys.tenant_id AS tenant_id,
    keys.call_id AS call_id,
    keys.ended_at AS ended_at,
    {{day ended_at}} AS day,
    keys.agent_id AS agent_id,
    keys.agent_team AS agent_team,
    keys.entity AS entity,
    if(keys.entity IN ('agent', 'queue', 'course', 'call'), keys.thing_key, NULL) AS key,
    then.held_from AS valid_from,
    then.fields AS fields,
    by_now.newest_from AS newest_valid_from,
    by_now.newest AS newest_fields
FROM keys
INNER JOIN
(
    SELECT tenant_id, entity, key, max(valid_from) AS newest_from, argMax(fields, valid_from) AS newest
    FROM fact_versions FINAL
    GROUP BY tenant_id, entity, key
) AS by_now ON keys.tenant_id = by_now.tenant_id AND keys.entity = by_now.entity AND keys.thing_key = by_now.key
ASOF LEFT JOIN
(
    SELECT tenant_id, entity, key, valid_from AS since, toNullable(valid_from) AS held_from, fields FROM fact_versions FINAL
) AS then ON keys.tenant_id = then.tenant_id AND keys.entity = then.entity AND keys.thing_key = then.key
    AND keys.ended_at >= then.since
COMMENT 'One row per call and thing that it is about of which other systems know something: as of the call, and by now.';
