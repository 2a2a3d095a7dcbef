-- Customers by the month of their first call, and how many of them called in each later month. Customers are pseudonyms, of
-- which none is kept here: only counts are.
{{ config(engine='MergeTree()', order_by='(tenant_id, cohort, months_later)') }}

SELECT
    tenant_id,
    cohort,
    dateDiff('month', cohort, month) AS months_later,
    count() AS customers
FROM
(
    SELECT tenant_id, month, min(month) OVER (PARTITION BY tenant_id, customer) AS cohort
    FROM
    (
        SELECT tenant_id, customer_pseudonym AS customer, toStartOfMonth(toDate(day)) AS month
        FROM {{ source('callstream', 'kpi_calls') }}(
            start = '{{ var('first_day') }}', end = '2100-01-01', window_days = {{ var('first_contact_days') }}
        )
        WHERE isNotNull(customer_pseudonym)
        GROUP BY tenant_id, customer, month
    )
)
GROUP BY tenant_id, cohort, months_later
