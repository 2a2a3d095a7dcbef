-- From the roll-ups, so that it costs little; as far behind as they are.
CREATE OR REPLACE VIEW dim_teams {{on_cluster}}
(
    tenant_id LowCardinality(String) COMMENT 'whose team it is',
    agent_team LowCardinality(Nullable(String)) COMMENT 'team, as calls name it',
    first_day Date32 COMMENT 'first day of the tenant with a call of the team',
    last_day Date32 COMMENT 'last day of the tenant with a call of the team',
    agents UInt64 COMMENT 'agents who took calls for it',
    calls UInt64 COMMENT 'calls of the team'
)
SQL SECURITY DEFINER
AS SELECT
    tenant_id,
    team AS agent_team,
    first_day,
    last_day,
    agents,
    team_calls AS calls
FROM
(
    SELECT
        tenant_id, agent_team AS team, min(day) AS first_day, max(day) AS last_day,
        uniqExact(agent_id) AS agents, sum(calls) AS team_calls
    FROM kpi_rollup_rows
    WHERE grain = 'day' AND dimension = 'agent' AND isNotNull(agent_team)
    GROUP BY tenant_id, team
)
COMMENT 'One row per team that calls name, from the roll-ups. Which agent was in it when: dim_agents.';
