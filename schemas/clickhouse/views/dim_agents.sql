-- As the events of calls say, by days: an agent is on a day what the last call of the day says. A period ends the day before the
-- next one begins, also where days without calls lie between them.
CREATE OR REPLACE VIEW dim_agents {{on_cluster}}
(
    tenant_id LowCardinality(String) COMMENT 'whose agent it is',
    agent_id String COMMENT 'number of the agent',
    agent_team LowCardinality(Nullable(String)) COMMENT 'team of the agent in this period; null where events name none',
    agent_seniority LowCardinality(Nullable(String)) COMMENT 'new, regular or senior, in this period',
    agent_hired_on Nullable(Date32) COMMENT 'first day of work of the agent, as events of this period say',
    valid_from Date32 COMMENT 'first day of the tenant with a call of this period',
    valid_until Nullable(Date32) COMMENT 'last day before the next period; null: nothing else was said since',
    last_day Date32 COMMENT 'last day of the tenant with a call of this period',
    calls UInt64 COMMENT 'calls of the days of this period'
)
SQL SECURITY DEFINER
AS SELECT
    tenant_id,
    agent_id,
    as_said.1 AS agent_team,
    as_said.2 AS agent_seniority,
    as_said.3 AS agent_hired_on,
    from_day AS valid_from,
    if(next_day > from_day, toNullable(next_day - 1), NULL) AS valid_until,
    to_day AS last_day,
    period_calls AS calls
FROM
(
    SELECT
        tenant_id, agent_id, as_said, from_day, to_day, period_calls,
        leadInFrame(from_day, 1, from_day) OVER (
            PARTITION BY tenant_id, agent_id ORDER BY from_day ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
        ) AS next_day
    FROM
    (
        SELECT
            tenant_id, agent_id, period, any(said) AS as_said,
            min(called_on) AS from_day, max(called_on) AS to_day, sum(day_calls) AS period_calls
        FROM
        (
            SELECT *, sum(is_new) OVER (PARTITION BY tenant_id, agent_id ORDER BY called_on) AS period
            FROM
            (
                SELECT
                    tenant_id, agent_id, called_on, said, day_calls,
                    toString(said) != lagInFrame(toString(said), 1, '') OVER (
                        PARTITION BY tenant_id, agent_id ORDER BY called_on
                        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
                    ) AS is_new
                FROM
                (
                    SELECT
                        tenant_id, agent_id, {{day ended_at}} AS called_on, count() AS day_calls,
                        argMax((agent_team, agent_seniority, agent_hired_on), ended_at) AS said
                    FROM call_versions FINAL
                    WHERE handled_by = 'human' AND agent_id != ''
                    GROUP BY tenant_id, agent_id, called_on
                )
            )
        )
        GROUP BY tenant_id, agent_id, period
    )
)
COMMENT 'One row per agent and period in which events said the same of team, seniority and first day of work.';
