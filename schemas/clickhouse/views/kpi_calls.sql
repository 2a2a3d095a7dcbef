-- All that a KPI can be made of, for the calls of a stretch of time: the call as judged, what became known of it later, and
-- whether the matter was settled at the first contact (R44). A view with parameters, because the last needs the calls of
-- the days around the stretch, which no condition on a plain view would reach.
--
-- A later call of the customer within the window is a repeat when both share a topic, or, where one of the two has none,
-- when both have the same inquiry type. Where a call has neither, nobody can tell, and resolution is null; so it is for
-- outbound calls, unknown customers and misdials. Until the window has passed a call is pending, also where the customer has
-- called again already: else the newest days would know of repeats alone, and nothing of them would be resolved. A repeat is
-- no first contact (is_repeat): the call that it repeats has failed already, and must not be made good by it. The key of the
-- customer is not shown, but a pseudonym by role: analysts may read this view.
--
-- Items of the score form that ask whether the matter was settled are pending in the analysis, and the score leaves them out.
-- settled_score is the score with their points, when the window has passed (before, only those who answered would have them) and
-- the resolution is known: it is the call that was not resolved that loses them, not the later call in which somebody else takes
-- up the matter. The points of the items of a group add up to
-- the weight of the group in every form.
--
-- What reading, rules with like and the second reader suspect (measures reading_*, like_* and second_reader_*, findings of these
-- detectors, the triggers reading and like)
-- is left out: agents may read this view, and no ratio over calls is made of suspicions. A call that reading alone selected counts as not selected.
--
-- order_status, customer_value_tier and customer_tags are those of the call, as in the view calls; newest_* is what was said last,
-- after the call or with it. score is that of the analysis, as in the view calls.
--
-- Of calls that were destroyed the key of the customer has gone; kept_contact holds what it said of them, and of other calls of
-- that customer.
--
-- made after: ratings
CREATE OR REPLACE VIEW kpi_calls {{on_cluster}}
SQL SECURITY DEFINER
AS WITH
    -- Rows from before `judge` counted what it asked (mandatory_scripts_asked and the like) have the measures of single
    -- rules alone. Of them those count that were shipped then: lists of the past, to which nothing is ever added.
    [
        'recording_notice', 'greeting', 'closing', 'privacy_notice', 'unsubscribe_notice', 'risk_warning',
        'insurance_cooling_off_notice', 'loan_cost_notice', 'promotion_terms_told', 'contract_notice',
        'prepaid_custody_notice', 'result_not_promised', 'guardian_consent', 'instalment_notice',
        'see_doctor_notice', 'emergency_referral', 'prescription_notice', 'drug_safety_notice',
        'treatment_risk_notice', 'supplement_notice', 'health_data_notice', 'charge_notice',
        'effective_notice', 'order_confirmed'
    ] AS old_scripts,
    arrayConcat(old_scripts, [
        'identity_verified_before_disclosure', 'wealth_terms_complete', 'refund_rules_told',
        'order_problem_handled', 'refund_rules_complete', 'enrolment_terms_told', 'appointment_told',
        'charge_told', 'portability_rules_complete', 'fault_handling_complete'
    ]) AS old_script_rules,
    contacts AS
    (
        SELECT
            tenant_id,
            customer_key,
            groupArray((started_at, topics.topic_id, inquiry_type, ended_at)) AS contacts_of_customer
        FROM call_versions FINAL
        WHERE ended_at >= {start:DateTime64(3, 'UTC')} - toIntervalDay({window_days:UInt32} + 1)
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
            has(kept_contact, 'contact') OR customer_key IS NOT NULL AND direction = 'inbound' AND outcome != 'too_short'
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
                {{day ended_at}} AS day,
                {{clock ended_at}} AS ended_local,
                agent_id,
                agent_team,
                agent_hired_on,
                agent_seniority,
                customer_key,
                if((tenant_id, call_id) GLOBAL IN (SELECT tenant_id, call_id FROM blocked_calls), NULL, lower(hex(substring(HMAC('sha256', concat(nullIf((SELECT if(count() = 1, any(role), '') FROM reader_role_versions FINAL), ''), ' ', tenant_id, ' ', customer_key), pseudonym_key), 1, 16)))) AS customer_pseudonym,
                kept_contact,
                queue,
                inquiry_type,
                industry,
                course_type,
                order_id,
                outcome,
                outcome_reason,
                language,
                real_time_factor,
                duration_ms,
                duration_in_band,
                mapFilter((name, _value) -> NOT match(name, '^(like|reading|second_reader)_'), measures) AS measures,
                response_delays_ms,
                mapContains(measures, 'mandatory_scripts_asked') AS says_what_was_asked,
                score,
                score_groups,
                score_items.item_group AS item_groups,
                score_items.points AS item_points,
                score_items.max_points AS item_max_points,
                score_items.reason AS item_reasons,
                risk_level,
                risk_score,
                risk_parts,
                risk_reasons,
                arrayFilter(name -> name NOT IN ('customer_upset', 'like', 'reading', 'suspected_violation'), selected_by.trigger) AS triggers,
                if(isNull(call_versions.selected), NULL, notEmpty(triggers)) AS selected,
                transcribed_at,
                analyzed_at,
                analysis_version,
                splitByChar('+', toString(lexicon_version))[1] AS rules_version,
                concat(score_form, '@', toString(score_form_version)) AS form_version,
                concat(arrayStringConcat(arrayFilter(name -> notEmpty(name), [toString(engine_name), toString(engine_version), toString(engine_model), arrayStringConcat(arrayPopFront(splitByChar('+', toString(lexicon_version))), '+')]), ' '), ' / ', toString(call_versions.analysis_version)) AS model_version,
                stored_at > ended_at + toIntervalDay(2) AS is_late,
                order_status,
                customer_tags,
                customer_value_tier,
                csat_score,
                csat_scale_min,
                csat_scale_max,
                recording_notice_played,
                initial_call_id,
                previous_call_id,
                related_call_ids,
                transferred_to,
                hold_ms,
                queue_wait_ms,
                after_call_work_ms,
                disconnected_by,
                topics.topic_id AS topic_ids,
                arrayFilter((_value, detector) -> detector NOT IN ('like', 'reading', 'second_reader'), findings.category, findings.detector) AS finding_categories,
                arrayFilter((_value, detector) -> detector NOT IN ('like', 'reading', 'second_reader'), findings.rule_id, findings.detector) AS finding_rule_ids,
                arrayFilter((_value, detector) -> detector NOT IN ('like', 'reading', 'second_reader'), findings.role, findings.detector) AS finding_roles,
                arrayFilter((_value, detector) -> detector NOT IN ('like', 'reading', 'second_reader'), findings.severity, findings.detector) AS finding_severities
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
    judged.day AS day,
    judged.ended_local AS ended_local,
    judged.agent_id AS agent_id,
    judged.agent_team AS agent_team,
    judged.agent_hired_on AS agent_hired_on,
    judged.agent_seniority AS agent_seniority,
    judged.customer_pseudonym AS customer_pseudonym,
    if(judged.agent_hired_on <= judged.day, toUInt16(dateDiff('month', judged.agent_hired_on, judged.day) - (toDayOfMonth(judged.day) < toDayOfMonth(judged.agent_hired_on))), NULL) AS agent_tenure_months,
    multiIf(isNull(agent_tenure_months), NULL, agent_tenure_months < 3, '00-02', agent_tenure_months < 6, '03-05', agent_tenure_months < 12, '06-11', agent_tenure_months < 24, '12-23', '24+') AS agent_tenure,
    judged.queue AS queue,
    judged.inquiry_type AS inquiry_type,
    judged.industry AS industry,
    judged.course_type AS course_type,
    judged.outcome AS outcome,
    judged.outcome_reason AS outcome_reason,
    judged.language AS language,
    judged.real_time_factor AS real_time_factor,
    judged.duration_ms AS duration_ms,
    judged.duration_in_band AS duration_in_band,
    judged.measures AS measures,
    judged.response_delays_ms AS response_delays_ms,
    if(judged.says_what_was_asked, judged.measures['mandatory_scripts_asked'], toFloat64(arrayCount((name, value) -> isNotNull(value) AND has(old_scripts, name), mapKeys(judged.measures), mapValues(judged.measures)))) AS scripts_asked,
    if(judged.says_what_was_asked, judged.measures['mandatory_scripts_kept'], arraySum((name, value) -> if(has(old_scripts, name), ifNull(value, 0), 0), mapKeys(judged.measures), mapValues(judged.measures))) AS scripts_kept,
    if(judged.says_what_was_asked, ifNull(judged.measures['mandatory_scripts_asked'], 0) + ifNull(judged.measures['procedures_asked'], 0) + ifNull(judged.measures['checklists_asked'], 0), toFloat64(arrayCount((name, value) -> isNotNull(value) AND has(old_script_rules, name), mapKeys(judged.measures), mapValues(judged.measures)))) AS script_rules_asked,
    if(judged.says_what_was_asked, ifNull(judged.measures['mandatory_scripts_kept'], 0) + ifNull(judged.measures['procedures_kept'], 0) + ifNull(judged.measures['checklists_kept'], 0), arraySum((name, value) -> if(has(old_script_rules, name), ifNull(value, 0), 0), mapKeys(judged.measures), mapValues(judged.measures))) AS script_rules_kept,
    judged.score AS score,
    judged.score_groups AS score_groups,
    judged.risk_level AS risk_level,
    judged.risk_score AS risk_score,
    judged.risk_parts AS risk_parts,
    judged.risk_reasons AS risk_reasons,
    judged.selected AS selected,
    judged.triggers AS triggers,
    judged.transcribed_at AS transcribed_at,
    judged.analyzed_at AS analyzed_at,
    judged.analysis_version AS analysis_version,
    judged.rules_version AS rules_version,
    judged.form_version AS form_version,
    judged.model_version AS model_version,
    judged.is_late AS is_late,
    judged.recording_notice_played AS recording_notice_played,
    judged.initial_call_id AS initial_call_id,
    judged.previous_call_id AS previous_call_id,
    judged.related_call_ids AS related_call_ids,
    judged.transferred_to AS transferred_to,
    judged.hold_ms AS hold_ms,
    judged.queue_wait_ms AS queue_wait_ms,
    judged.after_call_work_ms AS after_call_work_ms,
    judged.disconnected_by AS disconnected_by,
    judged.topic_ids AS topic_ids,
    judged.finding_categories AS finding_categories,
    judged.finding_rule_ids AS finding_rule_ids,
    judged.finding_roles AS finding_roles,
    judged.finding_severities AS finding_severities,
    judged.order_status AS order_status,
    judged.customer_value_tier AS customer_value_tier,
    judged.customer_tags AS customer_tags,
    coalesce(told.order_status, judged.order_status) AS newest_order_status,
    coalesce(told.customer_value_tier, judged.customer_value_tier) AS newest_customer_value_tier,
    if(told.customer_tags_told, told.customer_tags, judged.customer_tags) AS newest_customer_tags,
    coalesce(told.rating, 100 * (judged.csat_score - judged.csat_scale_min) / (judged.csat_scale_max - judged.csat_scale_min)) AS rating,
    multiIf(isNotNull(rating), 'rated', judged.outcome = 'too_short', NULL, 'unrated') AS rated,
    told.resolved AS resolved_answer,
    if(is_contact, has(judged.kept_contact, 'called_again') OR arrayExists(
        later -> later.1 > judged.started_at
            AND later.1 <= judged.ended_at + toIntervalDay({window_days:UInt32})
            AND (hasAny(later.2, judged.topic_ids)
                OR ((empty(later.2) OR empty(judged.topic_ids)) AND ifNull(later.3 = judged.inquiry_type, false))),
        contacts.contacts_of_customer
    ), NULL) AS customer_called_again,
    is_contact AND (has(judged.kept_contact, 'repeat') OR arrayExists(
        earlier -> earlier.1 < judged.started_at
            AND judged.started_at <= earlier.4 + toIntervalDay({window_days:UInt32})
            AND (hasAny(earlier.2, judged.topic_ids)
                OR ((empty(earlier.2) OR empty(judged.topic_ids)) AND ifNull(earlier.3 = judged.inquiry_type, false))),
        contacts.contacts_of_customer
    )) AS is_repeat,
    multiIf(
        isNotNull(resolved_answer), if(resolved_answer, 'resolved', 'unresolved'),
        isNull(customer_called_again), NULL,
        now64(3, 'UTC') < judged.ended_at + toIntervalDay({window_days:UInt32}), 'pending',
        customer_called_again, 'unresolved',
        'resolved'
    ) AS resolution,
    has(judged.item_reasons, 'pending') AND ifNull(resolution IN ('resolved', 'unresolved'), false)
        AND now64(3, 'UTC') >= judged.ended_at + toIntervalDay({window_days:UInt32}) AS is_settled_later,
    if(is_settled_later, arrayMap(
        (points, most, reason) -> if(ifNull(reason = 'pending', false), if(resolution = 'resolved', most, 0.), points),
        judged.item_points, judged.item_max_points, judged.item_reasons
    ), judged.item_points) AS settled_points,
    arrayMap(
        name -> (
            name,
            arraySum((points, of_group) -> if(of_group = name, ifNull(points, 0.), 0.), settled_points, judged.item_groups),
            arraySum((points, most, of_group) -> if(of_group = name AND isNotNull(points), most, 0.), settled_points, judged.item_max_points, judged.item_groups),
            arraySum((most, of_group) -> if(of_group = name, most, 0.), judged.item_max_points, judged.item_groups)
        ),
        ['compliance', 'communication', 'resolution', 'experience']
    ) AS settled_sums,
    if(is_settled_later, CAST(
        arrayMap(one -> (one.1, if(one.3 > 0, round(100 * one.2 / one.3, 2), NULL)), settled_sums),
        'Map(LowCardinality(String), Nullable(Float64))'
    ), judged.score_groups) AS settled_score_groups,
    if(is_settled_later, round(
        arraySum(one -> if(one.3 > 0, 100 * one.2 / one.3 * one.4, 0.), settled_sums)
            / nullIf(arraySum(one -> if(one.3 > 0, one.4, 0.), settled_sums), 0.),
        2
    ), judged.score) AS settled_score,
    {{call_url judged.tenant_id, judged.call_id}} AS call_url
FROM judged
LEFT JOIN contacts ON judged.tenant_id = contacts.tenant_id AND judged.customer_key = contacts.customer_key
LEFT JOIN told ON judged.tenant_id = told.tenant_id AND judged.call_id = told.call_id
COMMENT 'One row per call of a stretch of time with all that a KPI is made of: kpi_calls(start, end, window_days).';
