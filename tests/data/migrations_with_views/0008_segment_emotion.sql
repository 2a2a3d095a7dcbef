-- How agitated the speaker of each segment is. Segments that were stored before have null in every one of these.
ALTER TABLE transcript_versions ADD COLUMN IF NOT EXISTS `segments.agitated` Array(Nullable(Float32)) COMMENT 'probability that the speaker is agitated, 0 to 1; null: see emotion_gap' AFTER `segments.word_confidence`;
ALTER TABLE transcript_versions ADD COLUMN IF NOT EXISTS `segments.valence` Array(Nullable(Float32)) COMMENT 'unpleasant -1, neutral 0, pleasant 1' AFTER `segments.agitated`;
ALTER TABLE transcript_versions ADD COLUMN IF NOT EXISTS `segments.sound_agitated` Array(Nullable(Float32)) COMMENT 'probability by sound alone; null where the sound said nothing' AFTER `segments.valence`;
ALTER TABLE transcript_versions ADD COLUMN IF NOT EXISTS `segments.text_agitated` Array(Nullable(Float32)) COMMENT 'probability by words alone; null where the words said nothing' AFTER `segments.sound_agitated`;
ALTER TABLE transcript_versions ADD COLUMN IF NOT EXISTS `segments.emotion_source` Array(LowCardinality(Nullable(String))) COMMENT 'sound, text or fused' AFTER `segments.text_agitated`;
ALTER TABLE transcript_versions ADD COLUMN IF NOT EXISTS `segments.emotion_gap` Array(LowCardinality(Nullable(String))) COMMENT 'why there is no emotion: switched_off, too_short, silent, no_voice' AFTER `segments.emotion_source`;

CREATE OR REPLACE VIEW segments
(
    tenant_id LowCardinality(String) COMMENT 'whose call it is',
    call_id String COMMENT 'id of the call in the telephony system',
    ended_at DateTime64(3, 'UTC') COMMENT 'end of the call, UTC',
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
AS SELECT
    tenant_id,
    call_id,
    ended_at,
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
