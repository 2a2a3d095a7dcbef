-- Exports among the changes of custody (R38, R93).
ALTER TABLE {{both custody_event_versions}} {{on_cluster}} ADD COLUMN IF NOT EXISTS export_id LowCardinality(Nullable(String)) COMMENT 'id of an export' AFTER keys_count;
ALTER TABLE {{both custody_event_versions}} {{on_cluster}} MODIFY COLUMN content_bytes Nullable(UInt64) COMMENT 'of an intake: its length; of a download of an export: of its files; bytes' {{stored CODEC(ZSTD(1))}};
ALTER TABLE {{both custody_event_versions}} {{on_cluster}} MODIFY COLUMN keys_count Nullable(UInt64) COMMENT 'how many keys it was about; of an export: how many calls' {{stored CODEC(ZSTD(1))}};
