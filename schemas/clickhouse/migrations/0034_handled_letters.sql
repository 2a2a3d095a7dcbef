-- What became of a dead letter, so that it is seen which are still open. Letters from before were handled by nobody.
ALTER TABLE {{both dead_letter_versions}} {{on_cluster}} ADD COLUMN IF NOT EXISTS retries UInt32 COMMENT 'how often the message had been published again when it was refused' AFTER value_bytes;
ALTER TABLE {{both dead_letter_versions}} {{on_cluster}} ADD COLUMN IF NOT EXISTS retry_of Nullable(String) COMMENT 'dead letter for which the message was published again; null where it was not' AFTER retries;
ALTER TABLE {{both dead_letter_versions}} {{on_cluster}} ADD COLUMN IF NOT EXISTS origin Nullable(String) COMMENT 'topic, partition and offset of the message when it was first refused; null where that was now' AFTER retry_of;
ALTER TABLE {{both dead_letter_versions}} {{on_cluster}} ADD COLUMN IF NOT EXISTS handling LowCardinality(String) COMMENT 'what somebody has done about it: retried or discarded; empty: nothing' AFTER failed_at;
ALTER TABLE {{both dead_letter_versions}} {{on_cluster}} ADD COLUMN IF NOT EXISTS handled_at Nullable(DateTime64(3, 'UTC')) COMMENT 'when somebody had it published again or discarded it, UTC; null while nobody has' AFTER handling;
ALTER TABLE {{both dead_letter_versions}} {{on_cluster}} ADD COLUMN IF NOT EXISTS handled_by LowCardinality(Nullable(String)) COMMENT 'account that did it; null while nobody has' AFTER handled_at;
ALTER TABLE {{both dead_letter_versions}} {{on_cluster}} ADD COLUMN IF NOT EXISTS handled_reason LowCardinality(Nullable(String)) COMMENT 'why, as a word; null where none was given' AFTER handled_by;
