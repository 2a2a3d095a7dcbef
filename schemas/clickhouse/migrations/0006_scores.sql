-- The score of a call with its items, the parts of its risk, and how long its recording is kept. They stand in the row
-- of the call, so that they are written, replaced and deleted with it.
ALTER TABLE {{both call_versions}} {{on_cluster}} ADD COLUMN IF NOT EXISTS score_form LowCardinality(Nullable(String)) COMMENT 'form by which the call was scored; null when it was not',
    ADD COLUMN IF NOT EXISTS score_form_version Nullable(UInt32) COMMENT 'version of that form',
    ADD COLUMN IF NOT EXISTS score Nullable(Float64) COMMENT 'score of the call, 0 to 100, over the items that were measurable; null when none was',
    ADD COLUMN IF NOT EXISTS score_groups Map(LowCardinality(String), Nullable(Float64)) COMMENT 'score of each group, 0 to 100: compliance, communication, resolution, experience; null when nothing of it was measurable' {{stored CODEC(ZSTD(1))}},
    ADD COLUMN IF NOT EXISTS `score_items.item_id` Array(LowCardinality(String)) COMMENT 'item of the form',
    ADD COLUMN IF NOT EXISTS `score_items.name` Array(LowCardinality(String)) COMMENT 'name of the item',
    ADD COLUMN IF NOT EXISTS `score_items.item_group` Array(LowCardinality(String)) COMMENT 'compliance, communication, resolution or experience',
    ADD COLUMN IF NOT EXISTS `score_items.points` Array(Nullable(Float64)) COMMENT 'points that the call reached; null when the item was not measurable',
    ADD COLUMN IF NOT EXISTS `score_items.max_points` Array(Float64) COMMENT 'points that it could have reached' {{stored CODEC(ZSTD(1))}},
    ADD COLUMN IF NOT EXISTS `score_items.reason` Array(LowCardinality(Nullable(String))) COMMENT 'why the item was not measurable',
    ADD COLUMN IF NOT EXISTS `score_items.evidence_measures` Array(Map(LowCardinality(String), Nullable(Float64))) COMMENT 'measures that the points rest on, booleans as 0 and 1' {{stored CODEC(ZSTD(1))}},
    ADD COLUMN IF NOT EXISTS `score_items.evidence_finding_ids` Array(Array(String)) COMMENT 'findings that cost points' {{stored CODEC(ZSTD(1))}},
    ADD COLUMN IF NOT EXISTS risk_parts Map(LowCardinality(String), Float64) COMMENT 'what risk_score is the sum of: part and its points, the heaviest first, in the order of risk_reasons' {{stored CODEC(ZSTD(1))}},
    ADD COLUMN IF NOT EXISTS risk_unmeasured Array(LowCardinality(String)) COMMENT 'parts of the risk that could not be looked for',
    ADD COLUMN IF NOT EXISTS risk_rules_version Nullable(UInt32) COMMENT 'version of the rules that the risk was counted by',
    ADD COLUMN IF NOT EXISTS retention_class LowCardinality(Nullable(String)) COMMENT 'class by which the recording is kept; null in analyses from before there were classes',
    ADD COLUMN IF NOT EXISTS retention_days Nullable(UInt32) COMMENT 'days for which it is kept at least';
