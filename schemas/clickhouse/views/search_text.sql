-- Where a phrase was said: the index over pairs of characters says which calls may hold it, and each segment as it is now is looked at.
-- A phrase of one character has no pair, so that every text of the days is read. The engine keeps no columns of a view with parameters: they
-- are those of segments.
CREATE OR REPLACE VIEW search_text {{on_cluster}}
SQL SECURITY DEFINER
AS SELECT
    tenant_id,
    call_id,
    ended_at,
    {{day ended_at}} AS day,
    agent_id,
    agent_team,
    segment_id,
    role,
    start_ms,
    end_ms,
    text,
    {{call_url tenant_id, call_id, start_ms}} AS call_url
FROM transcript_versions FINAL
ARRAY JOIN
    segments.segment_id AS segment_id,
    segments.role AS role,
    segments.start_ms AS start_ms,
    segments.end_ms AS end_ms,
    segments.text AS text
WHERE ended_at >= toDateTime64({first:Date32} - 1, 3, 'UTC')
    AND ended_at < toDateTime64({last:Date32} + 2, 3, 'UTC')
    AND {{day ended_at}} BETWEEN {first:Date32} AND {last:Date32}
    AND (tenant_id, ended_at, call_id) GLOBAL IN
    (
        SELECT tenant_id, ended_at, call_id
        FROM search_text_versions
        WHERE ended_at >= toDateTime64({first:Date32} - 1, 3, 'UTC')
            AND ended_at < toDateTime64({last:Date32} + 2, 3, 'UTC')
            AND throwIf(empty(trimBoth({phrase:String})), 'search_text: phrase is empty; give at least one character') = 0
            AND
            (
                lengthUTF8({phrase:String}) < 2
                OR hasAllTokens(agent_text, ngrams({phrase:String}, 2))
                OR hasAllTokens(customer_text, ngrams({phrase:String}, 2))
                OR hasAllTokens(unknown_text, ngrams({phrase:String}, 2))
            )
            AND (tenant_id, call_id) GLOBAL NOT IN (SELECT tenant_id, call_id FROM blocked_calls)
    )
    AND position(text, {phrase:String}) > 0
COMMENT 'Where a phrase stands in what was said, one row per utterance: search_text(phrase = ..., first = ..., last = ...), days of the tenant, both included.';
