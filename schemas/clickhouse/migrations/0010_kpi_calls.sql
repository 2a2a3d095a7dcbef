-- When a row was stored, so that roll-ups know which days to make anew. Rows from before take the time of their judgement,
-- and only then becomes the present the default: a default is worked out at each reading where a part lacks the column.
ALTER TABLE {{both call_versions}} {{on_cluster}} ADD COLUMN IF NOT EXISTS stored_at DateTime64(3, 'UTC') DEFAULT analyzed_at COMMENT 'when the row was stored, UTC' {{stored CODEC(Delta, ZSTD(1))}};
ALTER TABLE {{local call_versions}} {{on_cluster}} MATERIALIZE COLUMN stored_at SETTINGS mutations_sync = 2;
ALTER TABLE {{both call_versions}} {{on_cluster}} MODIFY COLUMN stored_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'when the row was stored, UTC' {{stored CODEC(Delta, ZSTD(1))}};
ALTER TABLE {{local call_versions}} {{on_cluster}} ADD INDEX IF NOT EXISTS stored_at_index stored_at TYPE minmax GRANULARITY 1;
