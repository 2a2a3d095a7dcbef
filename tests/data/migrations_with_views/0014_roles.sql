-- Who may see what (docs/roles.md): the views are what people are given, row by row, so each has the columns that rows are
-- given by; the tables below are for callstream alone, so each view reads them with the rights of who made it.
ALTER TABLE transcript_versions ADD COLUMN IF NOT EXISTS agent_id String COMMENT 'number of the agent' CODEC(ZSTD(1)) AFTER ended_at;
ALTER TABLE transcript_versions ADD COLUMN IF NOT EXISTS agent_team LowCardinality(Nullable(String)) COMMENT 'team of the agent at the time of the call' AFTER agent_id;

CREATE OR REPLACE VIEW findings
(
    tenant_id LowCardinality(String) COMMENT 'whose call it is',
    call_id String COMMENT 'id of the call in the telephony system',
    ended_at DateTime64(3, 'UTC') COMMENT 'end of the call, UTC',
    agent_id String COMMENT 'number of the agent',
    agent_team LowCardinality(Nullable(String)) COMMENT 'team of the agent at the time of the call',
    finding_id String COMMENT 'the same on every delivery of the same finding',
    detector LowCardinality(String) COMMENT 'detector that found it',
    rule_id LowCardinality(String) COMMENT 'rule that was hit',
    rule_version LowCardinality(String) COMMENT 'version of that rule',
    category LowCardinality(String) COMMENT 'kind of finding',
    role LowCardinality(String) COMMENT 'who spoke: agent, customer or unknown',
    start_ms UInt64 COMMENT 'start in the recording, ms',
    end_ms UInt64 COMMENT 'end in the recording, ms',
    quote String COMMENT 'sentence around the hit as it stands in the transcript',
    matched String COMMENT 'the hit itself',
    severity LowCardinality(String) COMMENT 'info, low, medium, high or critical',
    score_delta Float64 COMMENT 'what the finding adds to the score',
    confidence Float64 COMMENT 'confidence of the detector, 0 to 1',
    attributes Map(LowCardinality(String), String) COMMENT 'what else the detector says, see its documentation',
    analysis_version UInt32 COMMENT 'version of the analysis; a higher one replaces a lower one'
)
SQL SECURITY DEFINER
AS SELECT
    tenant_id,
    call_id,
    ended_at,
    agent_id,
    agent_team,
    finding_id,
    detector,
    rule_id,
    rule_version,
    category,
    role,
    start_ms,
    end_ms,
    quote,
    matched,
    severity,
    score_delta,
    confidence,
    attributes,
    analysis_version
FROM call_versions FINAL
ARRAY JOIN
    findings.finding_id AS finding_id,
    findings.detector AS detector,
    findings.rule_id AS rule_id,
    findings.rule_version AS rule_version,
    findings.category AS category,
    findings.role AS role,
    findings.start_ms AS start_ms,
    findings.end_ms AS end_ms,
    findings.quote AS quote,
    findings.matched AS matched,
    findings.severity AS severity,
    findings.score_delta AS score_delta,
    findings.confidence AS confidence,
    findings.attributes AS attributes
COMMENT 'One row per finding of the newest analysis of each call.';

CREATE OR REPLACE VIEW topics
(
    tenant_id LowCardinality(String) COMMENT 'whose call it is',
    call_id String COMMENT 'id of the call in the telephony system',
    ended_at DateTime64(3, 'UTC') COMMENT 'end of the call, UTC',
    agent_id String COMMENT 'number of the agent',
    agent_team LowCardinality(Nullable(String)) COMMENT 'team of the agent at the time of the call',
    topic_id LowCardinality(String) COMMENT 'demand of the taxonomy',
    name LowCardinality(String) COMMENT 'name of the demand',
    role LowCardinality(String) COMMENT 'who spoke: agent, customer or unknown',
    quote String COMMENT 'words that show the demand',
    confidence Float64 COMMENT 'confidence, 0 to 1',
    analysis_version UInt32 COMMENT 'version of the analysis; a higher one replaces a lower one'
)
SQL SECURITY DEFINER
AS SELECT
    tenant_id,
    call_id,
    ended_at,
    agent_id,
    agent_team,
    topic_id,
    name,
    role,
    quote,
    confidence,
    analysis_version
FROM call_versions FINAL
ARRAY JOIN
    topics.topic_id AS topic_id,
    topics.name AS name,
    topics.role AS role,
    topics.quote AS quote,
    topics.confidence AS confidence
COMMENT 'One row per demand that was heard in a call, by its newest analysis.';

CREATE OR REPLACE VIEW transcripts
(
    tenant_id LowCardinality(String) COMMENT 'whose call it is',
    call_id String COMMENT 'id of the call in the telephony system',
    ended_at DateTime64(3, 'UTC') COMMENT 'end of the call, UTC',
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
COMMENT 'One row per call that was listened to: what was said in it as one text.';

CREATE OR REPLACE VIEW segments
(
    tenant_id LowCardinality(String) COMMENT 'whose call it is',
    call_id String COMMENT 'id of the call in the telephony system',
    ended_at DateTime64(3, 'UTC') COMMENT 'end of the call, UTC',
    agent_id String COMMENT 'number of the agent',
    agent_team LowCardinality(Nullable(String)) COMMENT 'team of the agent at the time of the call',
    segment_id UInt32 COMMENT 'position in the order of start_ms, from 0',
    channel UInt32 COMMENT 'channel of the recording, from 0',
    role LowCardinality(String) COMMENT 'who spoke: agent, customer or unknown',
    start_ms UInt64 COMMENT 'start in the recording, ms',
    end_ms UInt64 COMMENT 'end in the recording, ms, exclusive',
    text String COMMENT 'what was said',
    confidence Float32 COMMENT 'mean confidence of the words, 0 to 1',
    word_text Array(String) COMMENT 'words in order',
    word_start_ms Array(UInt64) COMMENT 'start of each word, ms',
    word_end_ms Array(UInt64) COMMENT 'end of each word, ms, exclusive',
    word_confidence Array(Float32) COMMENT 'confidence of each word, 0 to 1',
    agitated Nullable(Float32) COMMENT 'probability that the speaker is agitated, 0 to 1; null: see emotion_gap',
    valence Nullable(Float32) COMMENT 'unpleasant -1, neutral 0, pleasant 1',
    sound_agitated Nullable(Float32) COMMENT 'probability by sound alone; null where the sound said nothing',
    text_agitated Nullable(Float32) COMMENT 'probability by words alone; null where the words said nothing',
    emotion_source LowCardinality(Nullable(String)) COMMENT 'sound, text or fused',
    emotion_gap LowCardinality(Nullable(String)) COMMENT 'why there is no emotion: switched_off, too_short, silent, no_voice'
)
SQL SECURITY DEFINER
AS SELECT
    tenant_id,
    call_id,
    ended_at,
    agent_id,
    agent_team,
    segment_id,
    channel,
    role,
    start_ms,
    end_ms,
    text,
    confidence,
    word_text,
    word_start_ms,
    word_end_ms,
    word_confidence,
    agitated,
    valence,
    sound_agitated,
    text_agitated,
    emotion_source,
    emotion_gap
FROM transcript_versions FINAL
ARRAY JOIN
    segments.segment_id AS segment_id,
    segments.channel AS channel,
    segments.role AS role,
    segments.start_ms AS start_ms,
    segments.end_ms AS end_ms,
    segments.text AS text,
    segments.confidence AS confidence,
    segments.word_text AS word_text,
    segments.word_start_ms AS word_start_ms,
    segments.word_end_ms AS word_end_ms,
    segments.word_confidence AS word_confidence,
    segments.agitated AS agitated,
    segments.valence AS valence,
    segments.sound_agitated AS sound_agitated,
    segments.text_agitated AS text_agitated,
    segments.emotion_source AS emotion_source,
    segments.emotion_gap AS emotion_gap
COMMENT 'One row per utterance of the newest transcript of each call.';

ALTER TABLE calls MODIFY SQL SECURITY DEFINER;
ALTER TABLE scores MODIFY SQL SECURITY DEFINER;
ALTER TABLE outcomes MODIFY SQL SECURITY DEFINER;
ALTER TABLE unaccounted MODIFY SQL SECURITY DEFINER;
ALTER TABLE dead_letters MODIFY SQL SECURITY DEFINER;
ALTER TABLE alerts MODIFY SQL SECURITY DEFINER;
ALTER TABLE alert_deliveries MODIFY SQL SECURITY DEFINER;
ALTER TABLE rule_packs MODIFY SQL SECURITY DEFINER;
