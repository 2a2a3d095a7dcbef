CREATE OR REPLACE VIEW access_log {{on_cluster}}
(
    access_id String COMMENT 'the same on every delivery of the same access',
    accessed_at DateTime64(3, 'UTC') COMMENT 'when it was, UTC',
    tenant_id LowCardinality(String) COMMENT 'whose recordings; * when no tenant was asked for',
    user_id LowCardinality(String) COMMENT 'who did it: the account',
    user_role LowCardinality(String) COMMENT 'in which role',
    action LowCardinality(String) COMMENT 'searched, viewed_call, viewed_transcript, listened, reviewed, exported, approved or deleted',
    call_id Nullable(String) COMMENT 'call that it was about; null for a search, and an export of many calls',
    filters Array(LowCardinality(String)) COMMENT 'of a search or an export: the names of what was asked by, no values',
    calls_count Nullable(UInt64) COMMENT 'of a search or an export: how many calls it gave',
    reason LowCardinality(Nullable(String)) COMMENT 'why, as a word',
    ticket Nullable(String) COMMENT 'case that it was done for',
    client LowCardinality(String) COMMENT 'through what: cli, console, api',
    address LowCardinality(Nullable(String)) COMMENT 'IP address that it was asked from; null where none is known',
    result LowCardinality(String) COMMENT 'allowed or refused',
    refusal LowCardinality(Nullable(String)) COMMENT 'why it was refused'
)
SQL SECURITY DEFINER
AS SELECT
    access_id,
    accessed_at,
    tenant_id,
    user_id,
    user_role,
    action,
    call_id,
    filters,
    calls_count,
    reason,
    ticket,
    client,
    address,
    result,
    refusal
FROM access_log_versions FINAL
COMMENT 'One row per access to a recording, its transcript or its judgement, and per attempt that was refused.';
