-- Of the calls about a topic, how many the customer made about the same again; by week. A call counts once its repeat can be
-- known. Each build makes the last weeks anew, whole ones, and leaves the others as they are.
{{ config(materialized='incremental', incremental_strategy='delete+insert', unique_key=['tenant_id', 'week'],
          engine='MergeTree()', order_by='(tenant_id, week, topic_id)') }}

{% set begin = "'" ~ var('first_day') ~ "'" %}
{% if is_incremental() %}
  {% set begin = "toString(toMonday(today() - " ~ var('looked_at_again_days') ~ "))" %}
{% endif %}
SELECT
    tenant_id,
    toMonday(toDate(day)) AS week,
    arrayJoin(topic_ids) AS topic_id,
    countIf(resolution IN ('resolved', 'unresolved')) AS known_calls,
    countIf(resolution = 'unresolved') AS repeated_calls,
    if(known_calls = 0, NULL, repeated_calls / known_calls) AS repeat_rate
FROM {{ source('callstream', 'kpi_calls') }}(
    start = {{ begin }}, end = '2100-01-01', window_days = {{ var('first_contact_days') }}
)
WHERE day >= toDate({{ begin }})
GROUP BY tenant_id, week, topic_id
