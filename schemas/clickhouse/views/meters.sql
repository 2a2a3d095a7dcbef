-- One month after the other for each tenant, from its first to this one, so that what is stored is told of months without
-- calls, too. What is stored is counted from the rows of calls, which stay when a recording is destroyed.
CREATE OR REPLACE VIEW meters {{on_cluster}}
(
    tenant_id LowCardinality(String) COMMENT 'whose it is',
    month Date COMMENT 'first day of the month of the tenant',
    recordings_taken_in UInt64 COMMENT 'recordings that were taken in',
    taken_in_bytes UInt64 COMMENT 'size of these as they came, bytes',
    stored_bytes Int64 COMMENT 'size of the recordings that were stored at the end of the month, or are now, as they came, bytes',
    calls_analyzed UInt64 COMMENT 'calls of the month that were analysed',
    analyzed_minutes Float64 COMMENT 'length of these, minutes',
    searches UInt64 COMMENT 'searches that were allowed',
    texts_viewed UInt64 COMMENT 'transcripts that were shown',
    plays UInt64 COMMENT 'recordings that were listened to, each session once',
    exports UInt64 COMMENT 'downloads of exports',
    exported_calls UInt64 COMMENT 'calls in these, a call as often as it was downloaded',
    exported_bytes UInt64 COMMENT 'size of the files that were handed out in these, bytes'
)
SQL SECURITY DEFINER
AS WITH counted AS
(
    SELECT
        tenant_id,
        toStartOfMonth({{day at}}) AS month,
        countIf(kind = 'intake_announced') AS recordings_taken_in,
        sumIf(ifNull(content_bytes, 0), kind = 'intake_announced') AS taken_in_bytes,
        0::Int64 AS stored_bytes,
        0::UInt64 AS calls_analyzed,
        0::UInt64 AS analyzed_ms,
        0::UInt64 AS searches,
        0::UInt64 AS texts_viewed,
        0::UInt64 AS plays,
        countIf(kind = 'export_download_ended') AS exports,
        sumIf(ifNull(keys_count, 0), kind = 'export_download_ended') AS exported_calls,
        sumIf(ifNull(content_bytes, 0), kind = 'export_download_ended') AS exported_bytes
    FROM custody_event_versions FINAL
    WHERE kind IN ('intake_announced', 'export_download_ended')
    GROUP BY tenant_id, month
    UNION ALL
    SELECT
        tenant_id,
        toStartOfMonth({{day ended_at}}) AS month,
        0, 0,
        sum(audio_bytes)::Int64,
        countIf(outcome = 'analyzed'),
        sumIf(ifNull(duration_ms, 0), outcome = 'analyzed'),
        0, 0, 0, 0, 0, 0
    FROM call_versions FINAL
    GROUP BY tenant_id, month
    UNION ALL
    SELECT tenant_id, toStartOfMonth({{day gone_at}}) AS month, 0, 0, -sum(audio_bytes)::Int64, 0, 0, 0, 0, 0, 0, 0, 0
    FROM (SELECT tenant_id, audio_bytes, assumeNotNull(purged_at) AS gone_at FROM call_versions FINAL WHERE isNotNull(purged_at))
    GROUP BY tenant_id, month
    UNION ALL
    SELECT
        tenant_id,
        toStartOfMonth({{day accessed_at}}) AS month,
        0, 0, 0, 0, 0,
        countIf(action = 'searched'),
        countIf(action IN ('viewed_transcript', 'viewed_text')),
        countIf(action = 'listened'),
        0, 0, 0
    FROM access_log_versions FINAL
    WHERE result = 'allowed'
    GROUP BY tenant_id, month
    UNION ALL
    SELECT tenant_id, addMonths(first, number) AS month, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
    FROM
    (
        SELECT tenant_id, toStartOfMonth(min({{day ended_at}})) AS first, toStartOfMonth({{day now64(3, 'UTC')}}) AS last
        FROM call_versions GROUP BY tenant_id
    )
    ARRAY JOIN range(toUInt64(greatest(0, dateDiff('month', first, last) + 1))) AS number
)
SELECT
    tenant_id,
    month,
    sum(counted.recordings_taken_in) AS recordings_taken_in,
    sum(counted.taken_in_bytes) AS taken_in_bytes,
    sum(sum(counted.stored_bytes)) OVER (PARTITION BY tenant_id ORDER BY month) AS stored_bytes,
    sum(counted.calls_analyzed) AS calls_analyzed,
    sum(analyzed_ms) / 60000 AS analyzed_minutes,
    sum(counted.searches) AS searches,
    sum(counted.texts_viewed) AS texts_viewed,
    sum(counted.plays) AS plays,
    sum(counted.exports) AS exports,
    sum(counted.exported_calls) AS exported_calls,
    sum(counted.exported_bytes) AS exported_bytes
FROM counted
GROUP BY tenant_id, month
COMMENT 'What each tenant has used in each month.';
