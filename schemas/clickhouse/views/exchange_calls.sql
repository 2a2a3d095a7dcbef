CREATE OR REPLACE VIEW exchange_calls {{on_cluster}}
(
    tenant_id LowCardinality(String) COMMENT 'whose call it is',
    call_id String COMMENT 'id of the call in the telephony system',
    recorded Bool COMMENT 'whether, by the list, there must be a recording of the call',
    started_at DateTime64(3, 'UTC') COMMENT 'start of the call, UTC',
    ended_at DateTime64(3, 'UTC') COMMENT 'end of the call, UTC',
    day Date32 COMMENT 'day of the tenant on which the call ended',
    direction LowCardinality(Nullable(String)) COMMENT 'inbound or outbound; null where the list does not say',
    handled_by LowCardinality(String) COMMENT 'human or bot',
    answered Nullable(Bool) COMMENT 'whether the call was answered; null where the list does not say',
    agent_id Nullable(String) COMMENT 'number of the agent, if the list has it',
    queue LowCardinality(Nullable(String)) COMMENT 'queue that the call came through, if the list has it',
    listed_at DateTime64(3, 'UTC') COMMENT 'when the list was written, UTC'
)
SQL SECURITY DEFINER
AS SELECT
    tenant_id,
    call_id,
    recorded,
    started_at,
    ended_at,
    {{day ended_at}} AS day,
    direction,
    handled_by,
    answered,
    agent_id,
    queue,
    listed_at
FROM exchange_call_versions FINAL
COMMENT 'One row per call that the exchange lists; outcomes says what became of those that must have a recording.';
