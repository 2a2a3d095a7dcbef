-- What a person scores a call, beside the machine's score. Verdicts of before have none.
ALTER TABLE {{both verdict_versions}} {{on_cluster}} ADD COLUMN IF NOT EXISTS score Nullable(Float64) COMMENT 'score of the person for the call as a whole, 0 to 100; null where none was given' AFTER start_ms;
