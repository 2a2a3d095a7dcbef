-- What baselines of durations are made of, added up by ten minutes and by day (docs/adr/0082-aggregated-by-ten-minutes.md). A
-- materialised view would count every delivery and every judgement again; so the worker `rollup` makes the row of a bucket anew
-- from the calls, and a newer row replaces an older one whole. A row without a tenant says that a bucket was made: for tenants
-- that have none there were no calls. What was never made is read from the calls.
CREATE TABLE IF NOT EXISTS {{everywhere duration_buckets}} {{on_cluster}}
(
    span_s UInt32 COMMENT 'length of the bucket, s: 600 or 86400',
    tenant_id LowCardinality(String) COMMENT 'whose calls they are; empty in the row that says that the bucket was made',
    start DateTime('UTC') COMMENT 'start of the bucket, in which the calls ended, UTC' CODEC(Delta, ZSTD(1)),
    as_of DateTime64(3, 'UTC') COMMENT 'everything stored until then is in it, UTC' CODEC(Delta, ZSTD(1)),
    `steps.queue` Array(LowCardinality(Nullable(String))) COMMENT 'queue that the calls came through' CODEC(ZSTD(1)),
    `steps.inquiry_type` Array(LowCardinality(Nullable(String))) COMMENT 'inquiry type as the telephony side knows it' CODEC(ZSTD(1)),
    `steps.step` Array(UInt16) COMMENT 'length of the calls as a step of its logarithm: floor of 256 * ln(ms)' CODEC(Delta, ZSTD(1)),
    `steps.calls` Array(UInt64) COMMENT 'analysed calls of that length' CODEC(ZSTD(1))
)
ENGINE = {{engine ReplacingMergeTree(as_of)}}
PARTITION BY toYYYYMM(start)
ORDER BY (span_s, tenant_id, start)
SETTINGS index_granularity = 256
COMMENT 'How many calls were how long, by queue and inquiry type: one row per tenant and bucket of time.';
