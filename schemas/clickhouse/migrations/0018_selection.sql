-- Whether a call was selected for review, and what selected it (R49). Calls that were judged before do not know, until they are
-- judged again (callstream replay).
ALTER TABLE {{both call_versions}} {{on_cluster}} ADD COLUMN IF NOT EXISTS selected Nullable(Bool) COMMENT 'a trigger selected the call for review; null when that is not known',
    ADD COLUMN IF NOT EXISTS `selected_by.trigger` Array(LowCardinality(String)) COMMENT 'what selected the call',
    ADD COLUMN IF NOT EXISTS `selected_by.reason` Array(String) COMMENT 'why, in words; nothing that was said' {{stored CODEC(ZSTD(1))}},
    ADD COLUMN IF NOT EXISTS `selected_by.finding_ids` Array(Array(String)) COMMENT 'findings that pulled the trigger' {{stored CODEC(ZSTD(1))}},
    ADD COLUMN IF NOT EXISTS `selected_by.measure` Array(LowCardinality(Nullable(String))) COMMENT 'measure that pulled the trigger; null where findings alone did';
