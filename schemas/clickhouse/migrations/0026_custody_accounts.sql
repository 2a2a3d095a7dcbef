-- Whose account changed, which role was given or taken, and which case a hold is of, among the changes of custody.
ALTER TABLE {{both custody_event_versions}} {{on_cluster}} ADD COLUMN IF NOT EXISTS account_id LowCardinality(Nullable(String)) COMMENT 'of an account: whose it is that changed' AFTER export_id;
ALTER TABLE {{both custody_event_versions}} {{on_cluster}} ADD COLUMN IF NOT EXISTS role LowCardinality(Nullable(String)) COMMENT 'of an account: the role that was given or taken' AFTER account_id;
ALTER TABLE {{both custody_event_versions}} {{on_cluster}} ADD COLUMN IF NOT EXISTS case_id Nullable(String) COMMENT 'of a hold: the case' {{stored CODEC(ZSTD(1))}} AFTER role;
