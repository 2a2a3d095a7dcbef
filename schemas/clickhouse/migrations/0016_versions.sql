-- A call is judged from its newest transcript: transcribed_at orders before analysis_version and analyzed_at, as it orders
-- the transcripts themselves. All three in one number need more than 64 bits (docs/adr/0034-one-call-one-analysis.md).
--
-- Rows from before keep their smaller numbers and their order among each other; any that is stored from now on replaces
-- them. A worker that was at a call during the upgrade may still deliver an older hearing of it, so rows of the last days
-- are written once more, under numbers of the new kind. Run again, it writes the same rows, which replace each other.
ALTER TABLE {{both call_versions}} {{on_cluster}} MODIFY COLUMN version UInt128 COMMENT 'orders the versions of one call: transcribed_at in ms * 10^23 + analysis_version * 10^13 + analyzed_at in ms; rows from before 0016 without the first' {{stored CODEC(ZSTD(1))}};
ALTER TABLE {{both outcome_versions}} {{on_cluster}} MODIFY COLUMN version UInt128 COMMENT 'orders the outcomes of one call: pending 0, refused 1, else the version of the analysis' {{stored CODEC(ZSTD(1))}};

INSERT INTO call_versions SELECT * REPLACE (
    toUInt128(toUnixTimestamp64Milli(transcribed_at)) * toUInt128('100000000000000000000000')
        + toUInt128(analysis_version) * toUInt128('10000000000000')
        + toUInt128(toUnixTimestamp64Milli(analyzed_at)) AS version
)
FROM call_versions FINAL
WHERE analyzed_at >= now() - INTERVAL 7 DAY
SETTINGS max_partitions_per_insert_block = 0;

-- Their outcomes, as `store` writes them beside each analysis.
INSERT INTO outcome_versions (tenant_id, call_id, outcome, reason, ended_at, since, version)
SELECT tenant_id, call_id, outcome, outcome_reason, ended_at, analyzed_at, version
FROM call_versions FINAL
WHERE analyzed_at >= now() - INTERVAL 7 DAY;
