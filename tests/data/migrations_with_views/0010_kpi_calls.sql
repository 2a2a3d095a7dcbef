-- When a row was stored, so that roll-ups know which days to make anew. Rows from before take the time of their judgement,
-- and only then becomes the present the default: a default is worked out at each reading where a part lacks the column.
ALTER TABLE call_versions ADD COLUMN IF NOT EXISTS stored_at DateTime64(3, 'UTC') DEFAULT analyzed_at COMMENT 'when the row was stored, UTC' CODEC(Delta, ZSTD(1));
ALTER TABLE call_versions MATERIALIZE COLUMN stored_at SETTINGS mutations_sync = 2;
ALTER TABLE call_versions MODIFY COLUMN stored_at DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC') COMMENT 'when the row was stored, UTC' CODEC(Delta, ZSTD(1));
ALTER TABLE call_versions ADD INDEX IF NOT EXISTS stored_at_index stored_at TYPE minmax GRANULARITY 1;

-- All that a KPI can be made of, for the calls of a stretch of time: the call as judged, what became known of it later, and
-- whether the matter was settled at the first contact (R44). A view with parameters, because the last needs the calls of
-- the days after the stretch, which no condition on a plain view would reach.
--
-- A later call of the customer within the window is a repeat when both share a topic, or, where one of the two has none,
-- when both have the same inquiry type. Where a call has neither, nobody can tell, and resolution is null; so it is for
-- outbound calls, unknown customers and misdials. Until the window has passed a call is pending, also where the customer has
-- called again already: else the newest days would know of repeats alone, and nothing of them would be resolved. The key of the customer is not shown: analysts may read this view.
CREATE OR REPLACE VIEW kpi_calls
SQL SECURITY DEFINER
AS WITH
    contacts AS
    (
        SELECT
            tenant_id,
            customer_key,
            groupArray((started_at, topics.topic_id, inquiry_type)) AS contacts_of_customer
        FROM call_versions FINAL
        WHERE ended_at >= {start:DateTime64(3, 'UTC')}
            AND ended_at < {end:DateTime64(3, 'UTC')} + toIntervalDay({window_days:UInt32} + 1)
            AND isNotNull(customer_key) AND direction = 'inbound' AND outcome != 'too_short'
        GROUP BY tenant_id, customer_key
    ),
    told AS
    (
        SELECT * FROM ratings
        WHERE (tenant_id, call_id) IN (
            SELECT tenant_id, call_id FROM call_versions
            WHERE ended_at >= {start:DateTime64(3, 'UTC')} AND ended_at < {end:DateTime64(3, 'UTC')}
        )
    ),
    judged AS
    (
        SELECT
            *,
            customer_key IS NOT NULL AND direction = 'inbound' AND outcome != 'too_short'
                AND (notEmpty(topic_ids) OR isNotNull(inquiry_type)) AS is_contact
        FROM
        (
            SELECT
                tenant_id,
                call_id,
                direction,
                handled_by,
                started_at,
                ended_at,
                agent_id,
                agent_team,
                agent_hired_on,
                agent_seniority,
                customer_key,
                queue,
                inquiry_type,
                industry,
                course_type,
                order_id,
                outcome,
                outcome_reason,
                language,
                duration_ms,
                duration_in_band,
                measures,
                score,
                score_groups,
                risk_level,
                risk_score,
                risk_parts,
                transcribed_at,
                analyzed_at,
                analysis_version,
                order_status,
                customer_tags,
                customer_value_tier,
                csat_score,
                csat_scale_min,
                csat_scale_max,
                recording_notice_played,
                topics.topic_id AS topic_ids,
                findings.category AS finding_categories,
                findings.rule_id AS finding_rule_ids,
                findings.role AS finding_roles,
                findings.severity AS finding_severities
            FROM call_versions FINAL
            WHERE ended_at >= {start:DateTime64(3, 'UTC')} AND ended_at < {end:DateTime64(3, 'UTC')}
        )
    )
SELECT
    judged.tenant_id AS tenant_id,
    judged.call_id AS call_id,
    judged.direction AS direction,
    judged.handled_by AS handled_by,
    judged.started_at AS started_at,
    judged.ended_at AS ended_at,
    judged.agent_id AS agent_id,
    judged.agent_team AS agent_team,
    judged.agent_hired_on AS agent_hired_on,
    judged.agent_seniority AS agent_seniority,
    judged.queue AS queue,
    judged.inquiry_type AS inquiry_type,
    judged.industry AS industry,
    judged.course_type AS course_type,
    judged.outcome AS outcome,
    judged.outcome_reason AS outcome_reason,
    judged.language AS language,
    judged.duration_ms AS duration_ms,
    judged.duration_in_band AS duration_in_band,
    judged.measures AS measures,
    judged.score AS score,
    judged.score_groups AS score_groups,
    judged.risk_level AS risk_level,
    judged.risk_score AS risk_score,
    judged.risk_parts AS risk_parts,
    judged.transcribed_at AS transcribed_at,
    judged.analyzed_at AS analyzed_at,
    judged.analysis_version AS analysis_version,
    judged.recording_notice_played AS recording_notice_played,
    judged.topic_ids AS topic_ids,
    judged.finding_categories AS finding_categories,
    judged.finding_rule_ids AS finding_rule_ids,
    judged.finding_roles AS finding_roles,
    judged.finding_severities AS finding_severities,
    coalesce(told.order_status, judged.order_status) AS order_status,
    coalesce(told.customer_value_tier, judged.customer_value_tier) AS customer_value_tier,
    if(told.customer_tags_told, told.customer_tags, judged.customer_tags) AS customer_tags,
    coalesce(told.rating, 100 * (judged.csat_score - judged.csat_scale_min) / (judged.csat_scale_max - judged.csat_scale_min)) AS rating,
    told.resolved AS resolved_answer,
    if(is_contact, arrayExists(
        later -> later.1 > judged.started_at
            AND later.1 <= judged.ended_at + toIntervalDay({window_days:UInt32})
            AND (hasAny(later.2, judged.topic_ids)
                OR ((empty(later.2) OR empty(judged.topic_ids)) AND ifNull(later.3 = judged.inquiry_type, false))),
        contacts.contacts_of_customer
    ), NULL) AS customer_called_again,
    multiIf(
        isNotNull(resolved_answer), if(resolved_answer, 'resolved', 'unresolved'),
        isNull(customer_called_again), NULL,
        now64(3, 'UTC') < judged.ended_at + toIntervalDay({window_days:UInt32}), 'pending',
        customer_called_again, 'unresolved',
        'resolved'
    ) AS resolution
FROM judged
LEFT JOIN contacts ON judged.tenant_id = contacts.tenant_id AND judged.customer_key = contacts.customer_key
LEFT JOIN told ON judged.tenant_id = told.tenant_id AND judged.call_id = told.call_id
COMMENT 'One row per call of a stretch of time with all that a KPI is made of: kpi_calls(start, end, window_days).';
