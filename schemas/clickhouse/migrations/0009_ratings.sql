-- What becomes known of a call after it: the answer of the customer, the state of the order, CRM data. One row per
-- statement; the view holds the newest of each field. It is joined to calls where it is needed, and not through a
-- dictionary: a dictionary would need a user and a password in this file, and would be behind for its lifetime.
CREATE TABLE IF NOT EXISTS {{local rating_versions}} {{on_cluster}}
(
    tenant_id LowCardinality(String) COMMENT 'whose call it is',
    call_id String COMMENT 'id of the call in the telephony system' CODEC(ZSTD(1)),
    rated_at DateTime64(3, 'UTC') COMMENT 'when the customer answered, or when the other system knew it, UTC' CODEC(Delta, ZSTD(1)),
    rating_id String COMMENT 'the same on every delivery of the same statement' CODEC(ZSTD(1)),
    source LowCardinality(String) COMMENT 'who says so',
    csat_score Nullable(Float64) COMMENT 'answer of the customer, on the scale csat_scale_min to csat_scale_max',
    csat_scale_min Nullable(Float64) COMMENT 'lowest possible csat_score',
    csat_scale_max Nullable(Float64) COMMENT 'highest possible csat_score',
    resolved Nullable(Bool) COMMENT 'explicit answer whether the matter is settled',
    order_status LowCardinality(Nullable(String)) COMMENT 'status of the order',
    customer_value_tier LowCardinality(Nullable(String)) COMMENT 'value tier of the customer',
    customer_tags Array(LowCardinality(String)) COMMENT 'tags of the customer; see customer_tags_told',
    customer_tags_told Bool COMMENT 'the statement has tags; without it an empty list says nothing',
    stored_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'when the row was stored, UTC' CODEC(Delta, ZSTD(1)),
    INDEX stored_at_index stored_at TYPE minmax GRANULARITY 1
)
ENGINE = {{engine ReplacingMergeTree}}
ORDER BY (tenant_id, call_id, rated_at, rating_id)
COMMENT 'Statements about calls as delivered. Query ratings instead.';

CREATE TABLE IF NOT EXISTS rating_versions {{on_cluster}} AS {{local rating_versions}}
ENGINE = {{distributed rating_versions by tenant_id, call_id}}
COMMENT 'Statements about calls as delivered. Query ratings instead.';
