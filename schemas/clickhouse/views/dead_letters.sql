-- A call that was analysed after its message was refused needs nobody any more, whoever saw to that; not so where another
-- event under the same id was refused, of which that says nothing, and not for what is no call on its way.
CREATE OR REPLACE VIEW dead_letters {{on_cluster}}
(
    dead_letter_id String COMMENT 'the same on every delivery of the same refusal',
    step LowCardinality(String) COMMENT 'step that refused the message',
    source_topic LowCardinality(String) COMMENT 'topic in which the message still lies',
    source_partition UInt32 COMMENT 'partition of that topic',
    source_offset UInt64 COMMENT 'offset in that partition',
    exception_class LowCardinality(String) COMMENT 'kind of error',
    problems Array(String) COMMENT 'schema fields and kinds of error, never a value',
    tenant_id LowCardinality(Nullable(String)) COMMENT 'whose call it is; null when the message does not tell',
    call_id Nullable(String) COMMENT 'call that the message is about; null when the message does not tell',
    value_sha256 Nullable(String) COMMENT 'SHA-256 of the message',
    value_bytes UInt64 COMMENT 'size of the message, bytes',
    failed_at DateTime64(3, 'UTC') COMMENT 'when the message was refused, UTC',
    day Date32 COMMENT 'day on which the message was refused, of the tenant where it is known',
    state LowCardinality(String) COMMENT 'open, retried (published again, and nothing tells yet what came of it), resolved (its call was analysed since), discarded, or purged (its call was destroyed)',
    retries UInt32 COMMENT 'how often the message had been published again when it was refused',
    retry_of Nullable(String) COMMENT 'dead letter for which the message was published again; null where it was not',
    origin Nullable(String) COMMENT 'topic, partition and offset of the message when it was first refused; null where that was now',
    handled_at Nullable(DateTime64(3, 'UTC')) COMMENT 'when somebody had it published again or discarded it, UTC; null while nobody has',
    handled_reason LowCardinality(Nullable(String)) COMMENT 'why, as a word; null where none was given'
)
SQL SECURITY DEFINER
AS SELECT
    dead_letter_id,
    step,
    source_topic,
    source_partition,
    source_offset,
    exception_class,
    problems,
    tenant_id,
    call_id,
    value_sha256,
    value_bytes,
    failed_at,
    {{day failed_at}} AS day,
    state,
    retries,
    retry_of,
    origin,
    handled_at,
    handled_reason
FROM (
    SELECT
        letters.*,
        multiIf(
            handling = 'discarded', 'discarded',
            outcome = 'purged', 'purged',
            outcome NOT IN ('', 'pending', 'refused') AND since >= failed_at
                AND source_topic IN ('calls.ended.v1', 'calls.backfilled.v1', 'calls.reannounced.v1', 'transcripts.received.v1',
                    'calls.transcribed.v1', 'calls.analyzed.v1', 'calls.reanalyzed.v1')
                AND step IN ('listen', 'receive', 'judge', 'store')
                AND exception_class != 'ConflictingCallError', 'resolved',
            handling = 'retried', 'retried',
            'open') AS state
    FROM (SELECT * FROM dead_letter_versions FINAL) AS letters
    GLOBAL LEFT JOIN
    (
        SELECT tenant_id AS of_tenant, call_id AS of_call, outcome, since
        FROM outcome_versions FINAL
        WHERE (tenant_id, call_id) GLOBAL IN
        (
            SELECT assumeNotNull(tenant_id), assumeNotNull(call_id) FROM dead_letter_versions
            WHERE isNotNull(tenant_id) AND isNotNull(call_id)
        )
    ) AS calls_of_letters ON letters.tenant_id = calls_of_letters.of_tenant AND letters.call_id = calls_of_letters.of_call
)
COMMENT 'One row per message that was refused: where it lies, and what became of it.';
