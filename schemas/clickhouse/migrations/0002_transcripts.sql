-- A transcript is one row with its segments inside it: a shorter transcript of the same call leaves no segment behind.
CREATE TABLE IF NOT EXISTS {{local transcript_versions}} {{on_cluster}}
(
    tenant_id LowCardinality(String) COMMENT 'whose call it is',
    call_id String COMMENT 'id of the call in the telephony system' CODEC(ZSTD(1)),
    ended_at DateTime64(3, 'UTC') COMMENT 'end of the call, UTC' CODEC(Delta, ZSTD(1)),
    outcome LowCardinality(Nullable(String)) COMMENT 'terminal outcome of a call that could not be heard; null when it was heard',
    outcome_reason LowCardinality(Nullable(String)) COMMENT 'why it could not be heard',
    language LowCardinality(Nullable(String)) COMMENT 'language that was heard, ISO 639-1 (yue for Cantonese)',
    language_confidence Nullable(Float64) COMMENT 'confidence of language, 0 to 1',
    engine_name LowCardinality(String) COMMENT 'recogniser',
    engine_version LowCardinality(String) COMMENT 'version of the recogniser',
    engine_model LowCardinality(String) COMMENT 'model of the recogniser',
    engine_settings Map(LowCardinality(String), String) COMMENT 'settings of the recogniser that change its output' CODEC(ZSTD(1)),
    real_time_factor Nullable(Float64) COMMENT 'seconds of work per second of recording',
    roles_inferred Bool COMMENT 'who spoke was guessed, not told by the telephony side',
    speech_ms Map(LowCardinality(String), UInt64) COMMENT 'speech of each role, ms',
    rejected_count UInt32 COMMENT 'stretches of text that were not believed and are not stored',
    `segments.segment_id` Array(UInt32) COMMENT 'position in the order of start_ms, from 0',
    `segments.channel` Array(UInt32) COMMENT 'channel of the recording, from 0',
    `segments.role` Array(LowCardinality(String)) COMMENT 'who spoke: agent, customer or unknown',
    `segments.start_ms` Array(UInt64) COMMENT 'start in the recording, ms' CODEC(Delta, ZSTD(1)),
    `segments.end_ms` Array(UInt64) COMMENT 'end in the recording, ms, exclusive' CODEC(Delta, ZSTD(1)),
    `segments.text` Array(String) COMMENT 'what was said' CODEC(ZSTD(3)),
    `segments.confidence` Array(Float32) COMMENT 'mean confidence of the words, 0 to 1',
    `segments.word_text` Array(Array(String)) COMMENT 'words in order' CODEC(ZSTD(3)),
    `segments.word_start_ms` Array(Array(UInt64)) COMMENT 'start of each word, ms' CODEC(ZSTD(1)),
    `segments.word_end_ms` Array(Array(UInt64)) COMMENT 'end of each word, ms, exclusive' CODEC(ZSTD(1)),
    `segments.word_confidence` Array(Array(Float32)) COMMENT 'confidence of each word, 0 to 1' CODEC(ZSTD(1)),
    transcribed_at DateTime64(3, 'UTC') COMMENT 'when the call was transcribed, UTC' CODEC(Delta, ZSTD(1)),
    version UInt64 COMMENT 'orders the versions of one call: transcribed_at in ms' CODEC(ZSTD(1)),
    INDEX call_id_index call_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = {{engine ReplacingMergeTree(version)}}
PARTITION BY toYYYYMM(ended_at)
ORDER BY (tenant_id, ended_at, call_id)
COMMENT 'One row per transcript of a call, segments included. Query transcripts and segments instead.';

CREATE TABLE IF NOT EXISTS transcript_versions {{on_cluster}} AS {{local transcript_versions}}
ENGINE = {{distributed transcript_versions by tenant_id, call_id}}
COMMENT 'One row per transcript of a call, segments included. Query transcripts and segments instead.';
