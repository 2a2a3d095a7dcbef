-- A judged call is one row with its findings inside it, so that a judgement is written, replaced and deleted whole:
-- findings that a newer analysis no longer has vanish with the row that held them. The names that people query are
-- views over it, which are right after re-delivery and re-analysis without FINAL on their side.
--
-- Sorted by time, because everything but a look-up by id asks for a stretch of time, and because calls that arrive
-- in order of time rarely overlap in the key, which makes FINAL cheap. All key columns come from the call event, so a
-- call never changes its place.
CREATE TABLE IF NOT EXISTS {{local call_versions}} {{on_cluster}}
(
    tenant_id LowCardinality(String) COMMENT 'whose call it is',
    call_id String COMMENT 'id of the call in the telephony system' CODEC(ZSTD(1)),
    direction LowCardinality(String) COMMENT 'inbound or outbound',
    handled_by LowCardinality(String) COMMENT 'human or bot',
    started_at DateTime64(3, 'UTC') COMMENT 'start of the call, UTC' CODEC(Delta, ZSTD(1)),
    ended_at DateTime64(3, 'UTC') COMMENT 'end of the call, UTC' CODEC(Delta, ZSTD(1)),
    agent_id String COMMENT 'number of the agent' CODEC(ZSTD(1)),
    agent_team LowCardinality(Nullable(String)) COMMENT 'team of the agent at the time of the call',
    agent_hired_on Nullable(Date32) COMMENT 'first day of work of the agent',
    agent_seniority LowCardinality(Nullable(String)) COMMENT 'new, regular or senior',
    customer_key Nullable(String) COMMENT 'HMAC-SHA-256 of the phone number of the customer; null when the number was withheld' CODEC(ZSTD(1)),
    customer_tags Array(LowCardinality(String)) COMMENT 'tags of the customer',
    customer_value_tier LowCardinality(Nullable(String)) COMMENT 'value tier of the customer',
    queue LowCardinality(Nullable(String)) COMMENT 'queue that the call came through',
    inquiry_type LowCardinality(Nullable(String)) COMMENT 'inquiry type as the telephony side knows it',
    industry LowCardinality(String) COMMENT 'industry profile',
    course_type LowCardinality(Nullable(String)) COMMENT 'course type (education)',
    order_id Nullable(String) COMMENT 'order that the call is about' CODEC(ZSTD(1)),
    order_status LowCardinality(Nullable(String)) COMMENT 'status of that order at the time of the call',
    crm Map(LowCardinality(String), String) COMMENT 'free references into other systems' CODEC(ZSTD(1)),
    recording_notice_played Nullable(Bool) COMMENT 'the telephony side played the recording notice; null when it does not say',
    csat_score Nullable(Float64) COMMENT 'answer of the customer after the call, on the scale csat_scale_min to csat_scale_max',
    csat_scale_min Nullable(Float64) COMMENT 'lowest possible csat_score',
    csat_scale_max Nullable(Float64) COMMENT 'highest possible csat_score',
    legal_hold Bool COMMENT 'the recording must not be deleted',
    language_hint LowCardinality(Nullable(String)) COMMENT 'language that the telephony side expects',
    audio_uri String COMMENT 'where the recording lies' CODEC(ZSTD(1)),
    audio_sha256 String COMMENT 'SHA-256 of the recording as stored' CODEC(ZSTD(1)),
    audio_bytes UInt64 COMMENT 'size of the recording as stored, bytes',
    audio_encryption LowCardinality(Nullable(String)) COMMENT 'encryption of the recording at rest; null when it is not encrypted',
    audio_encryption_key_id LowCardinality(Nullable(String)) COMMENT 'key that the recording is encrypted with',
    audio_container LowCardinality(Nullable(String)) COMMENT 'container that the file turned out to have; null when it could not be read',
    audio_codec LowCardinality(Nullable(String)) COMMENT 'codec that the file turned out to have; null when it could not be read',
    audio_sample_rate_hz Nullable(UInt32) COMMENT 'sample rate of the file, Hz; null when it could not be read',
    audio_channels Nullable(UInt32) COMMENT 'channels of the file; null when it could not be read',
    audio_identical_channels Nullable(Bool) COMMENT 'all channels hold the same sound; null when the file could not be read',
    audio_truncated Nullable(Bool) COMMENT 'the file ends before it should; null when it could not be read',
    outcome LowCardinality(String) COMMENT 'analyzed, too_short, no_audio, bad_audio, unsupported, refused or purged',
    outcome_reason LowCardinality(String) COMMENT 'why the call ended in this outcome',
    language LowCardinality(Nullable(String)) COMMENT 'language that was heard, ISO 639-1 (yue for Cantonese)',
    engine_name LowCardinality(String) COMMENT 'recogniser',
    engine_version LowCardinality(String) COMMENT 'version of the recogniser',
    engine_model LowCardinality(String) COMMENT 'model of the recogniser',
    real_time_factor Nullable(Float64) COMMENT 'seconds of work per second of recording',
    duration_ms Nullable(UInt64) COMMENT 'length of the recording, ms; null when it could not be measured',
    duration_in_band Nullable(Bool) COMMENT 'the length lies in the quality band (R42); null when it could not be measured',
    measures Map(LowCardinality(String), Nullable(Float64)) COMMENT 'every measure by name, booleans as 0 and 1; null when it could not be measured' CODEC(ZSTD(1)),
    `skipped.measure` Array(LowCardinality(String)) COMMENT 'measures that could not be taken',
    `skipped.reason` Array(LowCardinality(String)) COMMENT 'why, for each of them',
    risk_level LowCardinality(Nullable(String)) COMMENT 'low, medium or high; null when it was not judged',
    risk_score Nullable(Float64) COMMENT 'score behind risk_level',
    risk_reasons Array(LowCardinality(String)) COMMENT 'what the risk is made of',
    `findings.finding_id` Array(String) COMMENT 'the same on every delivery of the same finding' CODEC(ZSTD(1)),
    `findings.detector` Array(LowCardinality(String)) COMMENT 'detector that found it',
    `findings.rule_id` Array(LowCardinality(String)) COMMENT 'rule that was hit',
    `findings.rule_version` Array(LowCardinality(String)) COMMENT 'version of that rule',
    `findings.category` Array(LowCardinality(String)) COMMENT 'kind of finding',
    `findings.role` Array(LowCardinality(String)) COMMENT 'who spoke: agent, customer or unknown',
    `findings.start_ms` Array(UInt64) COMMENT 'start in the recording, ms',
    `findings.end_ms` Array(UInt64) COMMENT 'end in the recording, ms',
    `findings.quote` Array(String) COMMENT 'sentence around the hit as it stands in the transcript' CODEC(ZSTD(3)),
    `findings.matched` Array(String) COMMENT 'the hit itself' CODEC(ZSTD(1)),
    `findings.severity` Array(LowCardinality(String)) COMMENT 'info, low, medium, high or critical',
    `findings.score_delta` Array(Float64) COMMENT 'what the finding adds to the score',
    `findings.confidence` Array(Float64) COMMENT 'confidence of the detector, 0 to 1',
    `findings.attributes` Array(Map(LowCardinality(String), String)) COMMENT 'what else the detector says, see its documentation' CODEC(ZSTD(1)),
    `topics.topic_id` Array(LowCardinality(String)) COMMENT 'demand of the taxonomy',
    `topics.name` Array(LowCardinality(String)) COMMENT 'name of the demand',
    `topics.role` Array(LowCardinality(String)) COMMENT 'who spoke: agent, customer or unknown',
    `topics.quote` Array(String) COMMENT 'words that show the demand' CODEC(ZSTD(3)),
    `topics.confidence` Array(Float64) COMMENT 'confidence, 0 to 1',
    transcribed_at DateTime64(3, 'UTC') COMMENT 'when the call was transcribed, UTC' CODEC(Delta, ZSTD(1)),
    analyzed_at DateTime64(3, 'UTC') COMMENT 'when the call was judged, UTC' CODEC(Delta, ZSTD(1)),
    analysis_version UInt32 COMMENT 'version of the analysis; a higher one replaces a lower one',
    lexicon_version LowCardinality(String) COMMENT 'version of the word lists',
    version UInt64 COMMENT 'orders the versions of one call: analysis_version * 10^13 + analyzed_at in ms' CODEC(ZSTD(1)),
    INDEX call_id_index call_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX agent_id_index agent_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX customer_key_index customer_key TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX order_id_index order_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = {{engine ReplacingMergeTree(version)}}
PARTITION BY toYYYYMM(ended_at)
ORDER BY (tenant_id, ended_at, call_id)
COMMENT 'One row per judged call, findings included. Query calls, findings and topics instead.';

CREATE TABLE IF NOT EXISTS call_versions {{on_cluster}} AS {{local call_versions}}
ENGINE = {{distributed call_versions by tenant_id, call_id}}
COMMENT 'One row per judged call, findings included. Query calls, findings and topics instead.';
