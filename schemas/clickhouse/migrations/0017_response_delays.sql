-- The delay of every answer: a percentile over calls is not the mean of the percentiles of calls. Calls that were judged
-- before have none, until they are judged again (callstream replay).
ALTER TABLE {{both call_versions}} {{on_cluster}} ADD COLUMN IF NOT EXISTS response_delays_ms Array(UInt64) COMMENT 'how long each answer of the agent took, in the order of the call; none where it could not be measured' {{stored CODEC(ZSTD(1))}} AFTER measures;
