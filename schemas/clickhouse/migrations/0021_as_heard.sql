-- Search by sound: docs/adr/0045-search-as-heard.md.
--
-- The pairs of syllables that each side said, as `store` writes them, and an index over them where search reads. A
-- transcript from before has none and is not found by sound, until `callstream index-sounds` has read it.
ALTER TABLE {{both transcript_versions}} {{on_cluster}} ADD COLUMN IF NOT EXISTS sounds Map(LowCardinality(String), Array(String)) COMMENT 'what each role said, as it sounds: pairs of neighbouring syllables without tone' {{stored CODEC(ZSTD(3))}} AFTER speech_ms;

ALTER TABLE {{both search_text_versions}} {{on_cluster}} ADD COLUMN IF NOT EXISTS agent_sounds Array(String) COMMENT 'what the agent said, as it sounds: pairs of neighbouring syllables without tone' {{stored CODEC(ZSTD(3))}} AFTER unknown_text;
ALTER TABLE {{both search_text_versions}} {{on_cluster}} ADD COLUMN IF NOT EXISTS customer_sounds Array(String) COMMENT 'the same of the customer' {{stored CODEC(ZSTD(3))}} AFTER agent_sounds;
ALTER TABLE {{both search_text_versions}} {{on_cluster}} ADD COLUMN IF NOT EXISTS unknown_sounds Array(String) COMMENT 'the same of nobody knows whom' {{stored CODEC(ZSTD(3))}} AFTER customer_sounds;
ALTER TABLE {{local search_text_versions}} {{on_cluster}} ADD INDEX IF NOT EXISTS agent_sounds_index agent_sounds TYPE text(tokenizer = array, posting_list_codec = 'bitpacking');
ALTER TABLE {{local search_text_versions}} {{on_cluster}} ADD INDEX IF NOT EXISTS customer_sounds_index customer_sounds TYPE text(tokenizer = array, posting_list_codec = 'bitpacking');
ALTER TABLE {{local search_text_versions}} {{on_cluster}} ADD INDEX IF NOT EXISTS unknown_sounds_index unknown_sounds TYPE text(tokenizer = array, posting_list_codec = 'bitpacking');

-- The view that fills it, under another name until the former one has gone: what is stored in that moment is written by
-- both, not by none. A changed view (MODIFY QUERY) would say no longer what its columns hold.
CREATE MATERIALIZED VIEW IF NOT EXISTS search_text_writer_of_sounds {{on_cluster}} TO {{local search_text_versions}}
(
    tenant_id LowCardinality(String) COMMENT 'whose call it is',
    call_id String COMMENT 'id of the call in the telephony system',
    ended_at DateTime64(3, 'UTC') COMMENT 'end of the call, UTC',
    agent_text String COMMENT 'what the agent said, one line per segment',
    customer_text String COMMENT 'what the customer said, one line per segment',
    unknown_text String COMMENT 'what was said by nobody knows whom, one line per segment',
    agent_sounds Array(String) COMMENT 'what the agent said, as it sounds: pairs of neighbouring syllables without tone',
    customer_sounds Array(String) COMMENT 'the same of the customer',
    unknown_sounds Array(String) COMMENT 'the same of nobody knows whom',
    version UInt64 COMMENT 'orders the versions of one call: transcribed_at in ms'
)
AS SELECT
    tenant_id,
    call_id,
    ended_at,
    arrayStringConcat(arrayFilter((text, role) -> role = 'agent', segments.text, segments.role), '\n') AS agent_text,
    arrayStringConcat(arrayFilter((text, role) -> role = 'customer', segments.text, segments.role), '\n') AS customer_text,
    arrayStringConcat(arrayFilter((text, role) -> role NOT IN ('agent', 'customer'), segments.text, segments.role), '\n') AS unknown_text,
    sounds['agent'] AS agent_sounds,
    sounds['customer'] AS customer_sounds,
    sounds['unknown'] AS unknown_sounds,
    version
FROM {{local transcript_versions}}
COMMENT 'Fills search_text_versions with every transcript that is stored.';
DROP VIEW IF EXISTS search_text_writer {{on_cluster}};
RENAME TABLE IF EXISTS search_text_writer_of_sounds TO search_text_writer {{on_cluster}};
