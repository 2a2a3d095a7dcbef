-- Contacts of several calls: a customer who was transferred, or who called back. A call leads to the first call of its contact, where
-- telephony tells it; else to the call that it continues; else to the one that was handed on to it. From there on again, 32 steps at
-- most. Related calls make no chain. A chain is of a tenant and of no team, because its calls may be of several: who sees only teams
-- is not given the view.
CREATE OR REPLACE VIEW contact_chains {{on_cluster}}
(
    tenant_id LowCardinality(String) COMMENT 'whose calls they are',
    chain_id String COMMENT 'id of the first call of the contact, also where that call never came',
    started_at DateTime64(3, 'UTC') COMMENT 'start of the first of its calls that came, UTC',
    ended_at DateTime64(3, 'UTC') COMMENT 'end of the last one, UTC',
    day Date32 COMMENT 'day of the tenant on which the last one ended',
    legs UInt64 COMMENT 'number of its calls that came',
    call_ids Array(String) COMMENT 'these calls, in the order in which they began',
    agents UInt64 COMMENT 'number of different agents',
    first_agent_id String COMMENT 'agent of the first call',
    first_agent_team LowCardinality(Nullable(String)) COMMENT 'team of that agent at the time of the call',
    last_agent_id String COMMENT 'agent of the last call',
    last_agent_team LowCardinality(Nullable(String)) COMMENT 'team of that agent at the time of the call',
    handling_ms Nullable(UInt64) COMMENT 'time of the calls and of the work after them, of those of which the latter is told, ms; null when it is told of none',
    handling_told UInt64 COMMENT 'number of calls of which the after-call work is told',
    hold_ms Nullable(UInt64) COMMENT 'time on hold in all calls that tell it, ms; null when none does',
    queue_wait_ms Nullable(UInt64) COMMENT 'time in queues before all calls that tell it, ms; null when none does',
    last_disconnected_by LowCardinality(Nullable(String)) COMMENT 'who ended the last call: agent, customer, system or transfer; null when the telephony side does not tell'
)
SQL SECURITY DEFINER
AS WITH RECURSIVE
    links AS
    (
        SELECT tenant_id, later, argMin(earlier, (rank, earlier)) AS leads_to
        FROM
        (
            SELECT tenant_id, link.1 AS later, link.2 AS earlier, link.3 AS rank
            FROM call_versions FINAL
            ARRAY JOIN [
                (call_id, ifNull(initial_call_id, ''), 1),
                (call_id, ifNull(previous_call_id, ''), 2),
                (ifNull(transferred_to, ''), call_id, 3)
            ] AS link
            WHERE isNotNull(initial_call_id) OR isNotNull(previous_call_id) OR isNotNull(transferred_to)
        )
        WHERE later != '' AND earlier != '' AND later != earlier
        GROUP BY tenant_id, later
    ),
    walk AS
    (
        SELECT tenant_id, later AS call_id, leads_to AS reached, toUInt8(1) AS steps FROM links
        UNION ALL
        SELECT walk.tenant_id, walk.call_id, links.leads_to, toUInt8(walk.steps + 1)
        FROM walk INNER JOIN links ON walk.tenant_id = links.tenant_id AND walk.reached = links.later
        WHERE walk.steps < 32
    ),
    firsts AS
    (
        SELECT tenant_id, call_id, if(max(steps) = 32, min(reached), argMax(reached, steps)) AS chain
        FROM walk GROUP BY tenant_id, call_id
    ),
    members AS
    (
        SELECT tenant_id, call_id, chain FROM firsts
        UNION DISTINCT
        SELECT tenant_id, chain AS call_id, chain FROM firsts
    )
SELECT
    chain.1 AS tenant_id,
    chain.2 AS chain_id,
    begins AS started_at,
    ends AS ended_at,
    {{day ends}} AS day,
    calls_of_chain AS legs,
    arrayMap(leg -> leg.2, legs_in_order) AS call_ids,
    different_agents AS agents,
    first_leg.1 AS first_agent_id,
    first_leg.2 AS first_agent_team,
    last_leg.1 AS last_agent_id,
    last_leg.2 AS last_agent_team,
    handling AS handling_ms,
    told AS handling_told,
    on_hold AS hold_ms,
    waited AS queue_wait_ms,
    last_leg.3 AS last_disconnected_by
FROM
(
    SELECT
        (members.tenant_id, members.chain) AS chain,
        min(leg.started_at) AS begins,
        max(leg.ended_at) AS ends,
        count() AS calls_of_chain,
        arraySort(groupArray((leg.started_at, leg.call_id))) AS legs_in_order,
        uniqExact(leg.agent_id) AS different_agents,
        argMin((leg.agent_id, leg.agent_team), (leg.started_at, leg.call_id)) AS first_leg,
        argMax((leg.agent_id, leg.agent_team, leg.disconnected_by), (leg.started_at, leg.call_id)) AS last_leg,
        sum(toUInt64(dateDiff('millisecond', leg.started_at, leg.ended_at)) + leg.after_call_work_ms) AS handling,
        count(leg.after_call_work_ms) AS told,
        sum(leg.hold_ms) AS on_hold,
        sum(leg.queue_wait_ms) AS waited
    FROM members
    INNER JOIN
    (
        SELECT
            tenant_id, call_id, started_at, ended_at, agent_id, agent_team, after_call_work_ms, hold_ms, queue_wait_ms,
            disconnected_by
        FROM call_versions FINAL
    ) AS leg ON members.tenant_id = leg.tenant_id AND members.call_id = leg.call_id
    GROUP BY members.tenant_id, members.chain
)
COMMENT 'One row per contact that telephony tells of several calls: its calls, agents and times.';
