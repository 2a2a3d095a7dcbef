CREATE OR REPLACE VIEW ratings {{on_cluster}}
(
    tenant_id LowCardinality(String) COMMENT 'whose call it is',
    call_id String COMMENT 'id of the call in the telephony system',
    rated_at DateTime64(3, 'UTC') COMMENT 'time of the newest statement about the call, UTC',
    rating Nullable(Float64) COMMENT 'newest answer of the customer, 0 (worst) to 100 (best); null when there is none',
    resolved Nullable(Bool) COMMENT 'newest explicit answer whether the matter is settled',
    order_status Nullable(String) COMMENT 'newest status of the order',
    customer_value_tier Nullable(String) COMMENT 'newest value tier of the customer',
    customer_tags Array(LowCardinality(String)) COMMENT 'newest tags of the customer; see customer_tags_told',
    customer_tags_told Bool COMMENT 'a statement has tags; without it an empty list says nothing'
)
SQL SECURITY DEFINER
AS SELECT
    tenant_id,
    call_id,
    max(each.rated_at) AS rated_at,
    argMax(100 * (each.csat_score - each.csat_scale_min) / (each.csat_scale_max - each.csat_scale_min), (each.rated_at, each.rating_id)) AS rating,
    argMax(each.resolved, (each.rated_at, each.rating_id)) AS resolved,
    argMax(each.order_status, (each.rated_at, each.rating_id)) AS order_status,
    argMax(each.customer_value_tier, (each.rated_at, each.rating_id)) AS customer_value_tier,
    argMaxIf(each.customer_tags, (each.rated_at, each.rating_id), each.customer_tags_told) AS customer_tags,
    max(each.customer_tags_told) AS customer_tags_told
FROM rating_versions AS each
GROUP BY tenant_id, call_id
COMMENT 'What was said of each call after it: of each field the newest statement that has it.';
