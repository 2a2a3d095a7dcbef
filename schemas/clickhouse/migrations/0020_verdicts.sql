-- What inspectors say of calls, of findings, and of what was missed. Of the verdicts of one person on the same thing the
-- newest stands; one that was withdrawn stays as a row, so that an older one does not come back.
CREATE TABLE IF NOT EXISTS {{local verdict_versions}} {{on_cluster}}
(
    tenant_id LowCardinality(String) COMMENT 'whose call it is',
    call_id String COMMENT 'id of the call in the telephony system' CODEC(ZSTD(1)),
    about LowCardinality(String) COMMENT 'what is judged: call, finding or missed',
    thing String COMMENT 'what of the call: id of the finding, digest of what was missed; empty for the call as a whole' CODEC(ZSTD(1)),
    given_by LowCardinality(String) COMMENT 'inspector who judged it',
    answer LowCardinality(String) COMMENT 'yes (worth hearing, right, missed), no or withdrawn',
    given_at DateTime64(3, 'UTC') COMMENT 'when it was judged, UTC' CODEC(Delta, ZSTD(1)),
    finding_id Nullable(String) COMMENT 'finding or suspicion that was judged' CODEC(ZSTD(1)),
    detector LowCardinality(Nullable(String)) COMMENT 'detector that found it',
    rule_id LowCardinality(Nullable(String)) COMMENT 'rule that found it; of a suspicion suspected_ and its kind',
    rule_version LowCardinality(Nullable(String)) COMMENT 'version of the rule, or digest of the reading heads, that was judged',
    kind LowCardinality(Nullable(String)) COMMENT 'kind of a missed violation',
    quote Nullable(String) COMMENT 'masked words of a missed violation' CODEC(ZSTD(1)),
    segment_id Nullable(UInt32) COMMENT 'segment of a missed violation, if known',
    start_ms Nullable(UInt64) COMMENT 'start of the finding in the recording, ms, if told',
    note Nullable(String) COMMENT 'why, masked' CODEC(ZSTD(1)),
    version UInt128 COMMENT 'orders the verdicts of a person on one thing: given_at in ms * 2^64 + 64 bits of a digest of the verdict' CODEC(ZSTD(1)),
    stored_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'when the row was stored, UTC' CODEC(Delta, ZSTD(1))
)
ENGINE = {{engine ReplacingMergeTree(version)}}
ORDER BY (tenant_id, call_id, about, thing, given_by)
COMMENT 'Verdicts as delivered. Query verdicts instead.';

CREATE TABLE IF NOT EXISTS verdict_versions {{on_cluster}} AS {{local verdict_versions}}
ENGINE = {{distributed verdict_versions by tenant_id, call_id}}
COMMENT 'Verdicts as delivered. Query verdicts instead.';
