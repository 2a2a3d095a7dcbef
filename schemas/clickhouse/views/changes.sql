-- Found in the calls themselves, so it holds after a replay, too: then days are alike that were judged by different rules at first.
-- Of a day counts what judged most of its calls.
CREATE OR REPLACE VIEW changes {{on_cluster}}
(
    tenant_id LowCardinality(String) COMMENT 'whose calls these are',
    day Date32 COMMENT 'first day of the tenant whose calls are judged by the new one',
    industry LowCardinality(String) COMMENT 'industry profile of these calls',
    what LowCardinality(String) COMMENT 'rules, form (score form), risk (rules of the risk), model (recogniser) or code (of the judgement)',
    from_version String COMMENT 'what judged most calls on the last day with calls before it; empty: nothing did',
    to_version String COMMENT 'what judged most calls of this day; empty: nothing did',
    calls UInt64 COMMENT 'analysed calls of this day',
    calls_by_new UInt64 COMMENT 'those of them that were judged by the new one'
)
SQL SECURITY DEFINER
AS SELECT
    tenant_id,
    called_on AS day,
    industry,
    thing AS what,
    before AS from_version,
    most AS to_version,
    day_calls AS calls,
    most_calls AS calls_by_new
FROM
(
    SELECT
        *,
        lagInFrame(most, 1, most) OVER (
            PARTITION BY tenant_id, industry, thing ORDER BY called_on ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS before
    FROM
    (
        SELECT
            tenant_id, industry, called_on, thing,
            argMax(by_version, (version_calls, by_version)) AS most, sum(version_calls) AS day_calls, max(version_calls) AS most_calls
        FROM
        (
            SELECT tenant_id, industry, called_on, judged.1 AS thing, judged.2 AS by_version, sum(group_calls) AS version_calls
            FROM
            (
                SELECT
                    tenant_id, industry, {{day ended_at}} AS called_on, count() AS group_calls,
                    [
                        ('rules', toString(lexicon_version)),
                        ('form', ifNull(concat(score_form, '@', toString(score_form_version)), '')),
                        ('risk', ifNull(toString(risk_rules_version), '')),
                        ('model', trim(concat(engine_name, ' ', engine_version, ' ', engine_model))),
                        ('code', toString(analysis_version))
                    ] AS all_judged
                FROM call_versions FINAL
                WHERE outcome = 'analyzed'
                GROUP BY tenant_id, industry, called_on, lexicon_version, score_form, score_form_version, risk_rules_version,
                    engine_name, engine_version, engine_model, analysis_version
            )
            ARRAY JOIN all_judged AS judged
            GROUP BY tenant_id, industry, called_on, thing, by_version
        )
        GROUP BY tenant_id, industry, called_on, thing
    )
)
WHERE before != most
COMMENT 'Days from which calls are judged by other rules, forms or models than the day before: figures are not to be compared across them.';
