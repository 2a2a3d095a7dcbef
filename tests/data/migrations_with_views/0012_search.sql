-- What search reads: docs/adr/0022-search.md.
--
-- The text of each side of a call in a narrow table with an index over pairs of characters. Its granules are small,
-- because the calls that a phrase may stand in lie scattered: a granule of 64 calls is read for each of them. It is
-- filled from transcript_versions with the same key and version, so a row that comes twice or again replaces itself.
CREATE TABLE IF NOT EXISTS search_text_versions
(
    tenant_id LowCardinality(String) COMMENT 'whose call it is',
    call_id String COMMENT 'id of the call in the telephony system' CODEC(ZSTD(1)),
    ended_at DateTime64(3, 'UTC') COMMENT 'end of the call, UTC' CODEC(Delta, ZSTD(1)),
    agent_text String COMMENT 'what the agent said, one line per segment' CODEC(ZSTD(3)),
    customer_text String COMMENT 'what the customer said, one line per segment' CODEC(ZSTD(3)),
    unknown_text String COMMENT 'what was said by nobody knows whom, one line per segment' CODEC(ZSTD(3)),
    version UInt64 COMMENT 'orders the versions of one call: transcribed_at in ms' CODEC(ZSTD(1)),
    INDEX agent_text_index agent_text TYPE text(tokenizer = ngrams(2), posting_list_codec = 'bitpacking'),
    INDEX customer_text_index customer_text TYPE text(tokenizer = ngrams(2), posting_list_codec = 'bitpacking'),
    INDEX unknown_text_index unknown_text TYPE text(tokenizer = ngrams(2), posting_list_codec = 'bitpacking')
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(ended_at)
ORDER BY (tenant_id, ended_at, call_id)
SETTINGS index_granularity = 64
COMMENT 'The text of each side of each transcript, for search. Query transcripts and segments instead.';

CREATE MATERIALIZED VIEW IF NOT EXISTS search_text_writer TO search_text_versions
(
    tenant_id LowCardinality(String) COMMENT 'whose call it is',
    call_id String COMMENT 'id of the call in the telephony system',
    ended_at DateTime64(3, 'UTC') COMMENT 'end of the call, UTC',
    agent_text String COMMENT 'what the agent said, one line per segment',
    customer_text String COMMENT 'what the customer said, one line per segment',
    unknown_text String COMMENT 'what was said by nobody knows whom, one line per segment',
    version UInt64 COMMENT 'orders the versions of one call: transcribed_at in ms'
)
AS SELECT
    tenant_id,
    call_id,
    ended_at,
    arrayStringConcat(arrayFilter((text, role) -> role = 'agent', segments.text, segments.role), '\n') AS agent_text,
    arrayStringConcat(arrayFilter((text, role) -> role = 'customer', segments.text, segments.role), '\n') AS customer_text,
    arrayStringConcat(arrayFilter((text, role) -> role NOT IN ('agent', 'customer'), segments.text, segments.role), '\n') AS unknown_text,
    version
FROM transcript_versions
COMMENT 'Fills search_text_versions with every transcript that is stored.';

-- Those that were stored before. Run again, it writes the same rows, which replace each other.
INSERT INTO search_text_versions (tenant_id, call_id, ended_at, agent_text, customer_text, unknown_text, version)
SELECT
    tenant_id,
    call_id,
    ended_at,
    arrayStringConcat(arrayFilter((text, role) -> role = 'agent', segments.text, segments.role), '\n'),
    arrayStringConcat(arrayFilter((text, role) -> role = 'customer', segments.text, segments.role), '\n'),
    arrayStringConcat(arrayFilter((text, role) -> role NOT IN ('agent', 'customer'), segments.text, segments.role), '\n'),
    version
FROM transcript_versions
SETTINGS max_partitions_per_insert_block = 0;

-- What a call is searched by and stands in a map; and what is rare enough that an index leads to it. Rows from before get
-- the columns when they are read, and the indexes when their parts are merged.
ALTER TABLE call_versions ADD COLUMN IF NOT EXISTS agitation Nullable(Float64) MATERIALIZED measures['customer_agitation_max'] COMMENT 'highest probability that the customer is agitated, 0 to 1; null when it could not be measured';
ALTER TABLE call_versions ADD INDEX IF NOT EXISTS topic_id_index topics.topic_id TYPE bloom_filter(0.01) GRANULARITY 1;
ALTER TABLE call_versions ADD INDEX IF NOT EXISTS rule_id_index findings.rule_id TYPE bloom_filter(0.01) GRANULARITY 1;
ALTER TABLE call_versions ADD INDEX IF NOT EXISTS matched_index findings.matched TYPE bloom_filter(0.01) GRANULARITY 1;
