CREATE OR REPLACE VIEW kpi_freshness {{on_cluster}}
(
    tenant_id LowCardinality(String) COMMENT 'whose calls these are',
    day Date32 COMMENT 'day of the tenant on which they ended',
    calls UInt64 COMMENT 'calls with an outcome',
    pending_calls UInt64 COMMENT 'calls whose event has come and that have no outcome yet',
    newest_call_at Nullable(DateTime64(3, 'UTC')) COMMENT 'end of the newest call with an outcome, UTC',
    newest_stored_at Nullable(DateTime64(3, 'UTC')) COMMENT 'when a call of the day was stored last, UTC',
    rolled_up_at Nullable(DateTime64(3, 'UTC')) COMMENT 'when the roll-up of the day was made: all that was stored before is in it, UTC; null: never',
    is_waiting Bool COMMENT 'the roll-up of the day is to be made, or made anew: kpi_daily does not have all of its calls',
    is_partial Bool COMMENT 'the day is not over, or is_waiting, or pending_calls is not 0: do not compare it with whole days'
)
SQL SECURITY DEFINER
AS SELECT
    tenant_id,
    day,
    judged_calls AS calls,
    waiting_calls AS pending_calls,
    newest_end AS newest_call_at,
    newest_stored AS newest_stored_at,
    nullIf(made.as_of, toDateTime64(0, 3, 'UTC')) AS rolled_up_at,
    CAST(judged_calls > 0 AND ifNull(newest_stored >= made.as_of, true), 'Bool') AS is_waiting,
    CAST(is_waiting OR waiting_calls > 0 OR day >= {{day now64(3, 'UTC')}}, 'Bool') AS is_partial
FROM
(
    SELECT
        tenant_id, day, countIf(is_judged) AS judged_calls, countIf(NOT is_judged) AS waiting_calls,
        maxIf(toNullable(ended), is_judged) AS newest_end, maxIf(toNullable(stored), is_judged) AS newest_stored
    FROM
    (
        SELECT tenant_id, {{day ended_at}} AS day, ended_at AS ended, stored_at AS stored, true AS is_judged
        FROM call_versions FINAL
        WHERE ended_at >= now64(3, 'UTC') - toIntervalDay(100)
        UNION ALL
        SELECT tenant_id, {{day ended}} AS day, ended, toDateTime64(0, 3, 'UTC') AS stored, false AS is_judged
        FROM
        (
            SELECT tenant_id, call_id, assumeNotNull(max(ended_at)) AS ended
            FROM outcome_versions
            WHERE (tenant_id, call_id) GLOBAL IN
            (
                SELECT tenant_id, call_id FROM outcome_versions
                WHERE outcome = 'pending' AND ended_at >= now64(3, 'UTC') - toIntervalDay(100)
            )
            GROUP BY tenant_id, call_id
            HAVING argMax(outcome, version) = 'pending'
        )
    )
    GROUP BY tenant_id, day
) AS of_day
LEFT JOIN (SELECT day AS made_day, as_of FROM kpi_rollup_days FINAL) AS made ON of_day.day = made.made_day
COMMENT 'How fresh figures are: one row per tenant and day of the last 100 days with calls.';
