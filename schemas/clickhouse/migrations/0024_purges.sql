-- Calls that were destroyed, and calls that are erased for every use and still kept by a floor of the law or a hold.
--
-- A destroyed call keeps its row in call_versions: measures, what it is grouped by, and its first outcome, so that the KPIs of
-- a day that is made anew do not change. What was said in it, whose it was and where it lay have gone from the row
-- (docs/adr/0059-purging.md), and purged_at stands in it.
CREATE TABLE IF NOT EXISTS {{local purge_versions}} {{on_cluster}}
(
    tenant_id LowCardinality(String) COMMENT 'whose call it was',
    call_id String COMMENT 'id of the call in the telephony system' CODEC(ZSTD(1)),
    state LowCardinality(String) COMMENT 'blocked: erased for every use, and kept by a floor or a hold; purging: being destroyed; purged: nothing of it is left',
    reason LowCardinality(String) COMMENT 'why, as a word: retention, misdial, erasure, request',
    policy_version LowCardinality(String) COMMENT 'retention policy by which it was destroyed; empty where a person decided it',
    purge_id String COMMENT 'purge that it belongs to, as its receipt says; empty while it is blocked' CODEC(ZSTD(1)),
    ended_at Nullable(DateTime64(3, 'UTC')) COMMENT 'end of the call, UTC; null where it is not known' CODEC(Delta, ZSTD(1)),
    at DateTime64(3, 'UTC') COMMENT 'since when it is in this state, UTC' CODEC(Delta, ZSTD(1)),
    version UInt64 COMMENT 'orders the states of one call: 10^15 for purging, 2 * 10^15 for purged, and at in ms' CODEC(ZSTD(1)),
    INDEX at_index at TYPE minmax GRANULARITY 1
)
ENGINE = {{engine ReplacingMergeTree(version)}}
ORDER BY (tenant_id, call_id)
COMMENT 'States of destroyed and blocked calls as they were written. Query purges instead.';

CREATE TABLE IF NOT EXISTS purge_versions {{on_cluster}} AS {{local purge_versions}}
ENGINE = {{distributed purge_versions by tenant_id, call_id}}
COMMENT 'States of destroyed and blocked calls as they were written. Query purges instead.';

-- The blocked calls of now alone, in a table of their own: every view that quotes what was said looks here, and those that
-- were destroyed become very many. A row is deleted when its call has been destroyed.
CREATE TABLE IF NOT EXISTS {{local blocked_calls}} {{on_cluster}}
(
    tenant_id LowCardinality(String) COMMENT 'whose call it is',
    call_id String COMMENT 'id of the call in the telephony system' CODEC(ZSTD(1))
)
ENGINE = {{engine ReplacingMergeTree}}
ORDER BY (tenant_id, call_id)
COMMENT 'Calls that may be used no more, and are still kept.';

CREATE TABLE IF NOT EXISTS blocked_calls {{on_cluster}} AS {{local blocked_calls}}
ENGINE = {{distributed blocked_calls by tenant_id, call_id}}
COMMENT 'Calls that may be used no more, and are still kept.';

ALTER TABLE {{both call_versions}} {{on_cluster}} ADD COLUMN IF NOT EXISTS purged_at Nullable(DateTime64(3, 'UTC')) COMMENT 'when the call was destroyed, UTC: since then the row has neither words nor customer nor recording; null while it is kept' {{stored CODEC(ZSTD(1))}},
    ADD COLUMN IF NOT EXISTS kept_contact Array(LowCardinality(String)) COMMENT 'what destroyed calls of the same customer said of this one: contact, called_again, repeat' {{stored CODEC(ZSTD(1))}};

-- What a mutation has replaced stays on the disk for so long: as the system writes its cache out within half a minute, a
-- power failure loses nothing by it. Eight minutes, as usual, would be the time that an erasure takes.
ALTER TABLE {{local call_versions}} {{on_cluster}} MODIFY SETTING old_parts_lifetime = 40, cleanup_delay_period = 5, max_cleanup_delay_period = 20;
ALTER TABLE {{local transcript_versions}} {{on_cluster}} MODIFY SETTING old_parts_lifetime = 40, cleanup_delay_period = 5, max_cleanup_delay_period = 20;
ALTER TABLE {{local search_text_versions}} {{on_cluster}} MODIFY SETTING old_parts_lifetime = 40, cleanup_delay_period = 5, max_cleanup_delay_period = 20;
ALTER TABLE {{local alert_versions}} {{on_cluster}} MODIFY SETTING old_parts_lifetime = 40, cleanup_delay_period = 5, max_cleanup_delay_period = 20;
ALTER TABLE {{local verdict_versions}} {{on_cluster}} MODIFY SETTING old_parts_lifetime = 40, cleanup_delay_period = 5, max_cleanup_delay_period = 20;
ALTER TABLE {{local dead_letter_versions}} {{on_cluster}} MODIFY SETTING old_parts_lifetime = 40, cleanup_delay_period = 5, max_cleanup_delay_period = 20;
ALTER TABLE {{local custody_event_versions}} {{on_cluster}} MODIFY SETTING old_parts_lifetime = 40, cleanup_delay_period = 5, max_cleanup_delay_period = 20;
ALTER TABLE {{local exchange_call_versions}} {{on_cluster}} MODIFY SETTING old_parts_lifetime = 40, cleanup_delay_period = 5, max_cleanup_delay_period = 20;
ALTER TABLE {{local rating_versions}} {{on_cluster}} MODIFY SETTING old_parts_lifetime = 40, cleanup_delay_period = 5, max_cleanup_delay_period = 20;
ALTER TABLE {{local blocked_calls}} {{on_cluster}} MODIFY SETTING old_parts_lifetime = 40, cleanup_delay_period = 5, max_cleanup_delay_period = 20;
