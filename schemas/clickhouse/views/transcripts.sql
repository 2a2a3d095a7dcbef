CREATE OR REPLACE VIEW transcripts {{on_cluster}}
(
    tenant_id LowCardinality(String) COMMENT 'whose call it is',
    call_id String COMMENT 'id of the call in the telephony system',
    ended_at DateTime64(3, 'UTC') COMMENT 'end of the call, UTC',
    day Date32 COMMENT 'day of the tenant on which the call ended',
    agent_id String COMMENT 'number of the agent',
    agent_team LowCardinality(Nullable(String)) COMMENT 'team of the agent at the time of the call',
    outcome LowCardinality(Nullable(String)) COMMENT 'terminal outcome of a call that could not be heard; null when it was heard',
    outcome_reason LowCardinality(Nullable(String)) COMMENT 'why it could not be heard',
    language LowCardinality(Nullable(String)) COMMENT 'language that was heard, ISO 639-1 (yue for Cantonese)',
    language_confidence Nullable(Float64) COMMENT 'confidence of language, 0 to 1',
    engine_name LowCardinality(String) COMMENT 'recogniser',
    engine_version LowCardinality(String) COMMENT 'version of the recogniser',
    engine_model LowCardinality(String) COMMENT 'model of the recogniser',
    engine_settings Map(LowCardinality(String), String) COMMENT 'settings of the recogniser that change its output',
    real_time_factor Nullable(Float64) COMMENT 'seconds of work per second of recording',
    roles_inferred Bool COMMENT 'who spoke was guessed, not told by the telephony side',
    speech_ms Map(LowCardinality(String), UInt64) COMMENT 'speech of each role, ms',
    rejected_count UInt32 COMMENT 'stretches of text that were not believed and are not stored',
    segments_count UInt64 COMMENT 'number of segments',
    text String COMMENT 'what was said, one line per segment',
    transcribed_at DateTime64(3, 'UTC') COMMENT 'when the call was transcribed, UTC'
)
SQL SECURITY DEFINER
AS SELECT
    tenant_id,
    call_id,
    ended_at,
    {{day ended_at}} AS day,
    agent_id,
    agent_team,
    outcome,
    outcome_reason,
    language,
    language_confidence,
    engine_name,
    engine_version,
    engine_model,
    engine_settings,
    real_time_factor,
    roles_inferred,
    speech_ms,
    rejected_count,
    length(segments.segment_id) AS segments_count,
    arrayStringConcat(segments.text, '\n') AS text,
    transcribed_at
FROM transcript_versions FINAL
WHERE (tenant_id, call_id) GLOBAL NOT IN (SELECT tenant_id, call_id FROM blocked_calls)
COMMENT 'One row per call that was listened to: what was said in it as one text.';
