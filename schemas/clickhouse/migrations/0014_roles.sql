-- Who may see what (docs/roles.md): people are given rows of the views of transcripts by these, as of those of calls.
ALTER TABLE {{both transcript_versions}} {{on_cluster}} ADD COLUMN IF NOT EXISTS agent_id String COMMENT 'number of the agent' {{stored CODEC(ZSTD(1))}} AFTER ended_at;
ALTER TABLE {{both transcript_versions}} {{on_cluster}} ADD COLUMN IF NOT EXISTS agent_team LowCardinality(Nullable(String)) COMMENT 'team of the agent at the time of the call' AFTER agent_id;
