-- An agent's month: calls, talking time, mean score of what was scored.
{{ config(engine='MergeTree()', order_by='(tenant_id, month, agent_id)') }}

SELECT
    tenant_id,
    toStartOfMonth(toDate(day)) AS month,
    agent_id,
    count() AS calls,
    sum(duration_ms) / 60000 AS minutes,
    countIf(isNotNull(score)) AS scored_calls,
    avg(score) AS mean_score
FROM {{ source('callstream', 'calls') }}
WHERE outcome = 'analyzed' AND day >= toDate('{{ var('first_day') }}')
GROUP BY tenant_id, month, agent_id
