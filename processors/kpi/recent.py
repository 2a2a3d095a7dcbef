"""Plain views of what has parameters, for tools that look for columns in the catalogue: of the last days.

Why so many and no more: docs/adr/0067-found-by-tools.md.
"""

DAYS = 100
"""Back from now; whoever asks for days before them uses the views with parameters."""

CALL_COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("tenant_id", "LowCardinality(String)", "whose call it is"),
    ("call_id", "String", "id of the call in the telephony system"),
    ("direction", "LowCardinality(String)", "inbound or outbound"),
    ("handled_by", "LowCardinality(String)", "human or bot"),
    ("started_at", "DateTime64(3, 'UTC')", "start of the call, UTC"),
    ("ended_at", "DateTime64(3, 'UTC')", "end of the call, UTC"),
    ("day", "Date32", "day of the tenant on which the call ended"),
    ("ended_local", "String", "end of the call by the clock of the tenant, such as 2026-03-01 09:30"),
    ("agent_id", "String", "number of the agent"),
    ("agent_team", "LowCardinality(Nullable(String))", "team of the agent at the time of the call"),
    ("agent_hired_on", "Nullable(Date32)", "first day of work of the agent"),
    ("agent_seniority", "LowCardinality(Nullable(String))", "new, regular or senior"),
    (
        "customer_pseudonym",
        "Nullable(String)",
        "the same for all calls of a customer, 32 hexadecimal digits; other ones in each tenant and for each "
        "role, and null for roles that are given none, and when the number was withheld",
    ),
    (
        "agent_tenure_months",
        "Nullable(UInt16)",
        "whole months from the first day of work of the agent to the call; null where that day is not told",
    ),
    ("agent_tenure", "Nullable(String)", "the same in bands: 00-02, 03-05, 06-11, 12-23 or 24+ months"),
    ("queue", "LowCardinality(Nullable(String))", "queue that the call came through"),
    ("inquiry_type", "LowCardinality(Nullable(String))", "inquiry type as the telephony side knows it"),
    ("industry", "LowCardinality(String)", "industry profile"),
    ("course_type", "LowCardinality(Nullable(String))", "course type (education)"),
    ("outcome", "LowCardinality(String)", "analyzed, too_short, no_audio, bad_audio, unsupported, refused or purged"),
    ("outcome_reason", "LowCardinality(String)", "why the call ended in this outcome"),
    ("language", "LowCardinality(Nullable(String))", "language that was heard, ISO 639-1 (yue for Cantonese)"),
    ("real_time_factor", "Nullable(Float64)", "seconds of work per second of recording"),
    ("duration_ms", "Nullable(UInt64)", "length of the recording, ms; null when it could not be measured"),
    (
        "duration_in_band",
        "Nullable(Bool)",
        "the length lies in the quality band (R42); null when it could not be measured",
    ),
    (
        "measures",
        "Map(LowCardinality(String), Nullable(Float64))",
        "every measure by name, booleans as 0 and 1; null when it could not be measured",
    ),
    (
        "response_delays_ms",
        "Array(UInt64)",
        "how long each answer of the agent took, ms, in the order of the call; none where it could not be measured",
    ),
    (
        "scripts_asked",
        "Nullable(Float64)",
        "mandatory scripts that were asked of the call; null when the call could not be judged",
    ),
    ("scripts_kept", "Nullable(Float64)", "those of them that were said"),
    ("script_rules_asked", "Float64", "mandatory scripts, procedures and checklists that were asked of the call"),
    ("script_rules_kept", "Float64", "those of them that were kept"),
    (
        "score",
        "Nullable(Float64)",
        "score of the call, 0 to 100, over the items that were measurable; null when none was",
    ),
    (
        "score_groups",
        "Map(LowCardinality(String), Nullable(Float64))",
        "score of each group, 0 to 100: compliance, communication, resolution, experience; null when nothing of "
        "it was measurable",
    ),
    ("risk_level", "LowCardinality(Nullable(String))", "low, medium or high; null when it was not judged"),
    ("risk_score", "Nullable(Float64)", "score behind risk_level"),
    (
        "risk_parts",
        "Map(LowCardinality(String), Float64)",
        "what risk_score is the sum of: part and its points, the heaviest first, in the order of risk_reasons",
    ),
    ("risk_reasons", "Array(LowCardinality(String))", "what the risk is made of"),
    (
        "selected",
        "Nullable(UInt8)",
        "a trigger selected the call for review, suspicions left out; null when that is not known",
    ),
    (
        "triggers",
        "Array(String)",
        "what selected the call, each by itself, without what only reading or a likeness suspects",
    ),
    ("transcribed_at", "DateTime64(3, 'UTC')", "when the call was transcribed, UTC"),
    ("analyzed_at", "DateTime64(3, 'UTC')", "when the call was judged, UTC"),
    ("analysis_version", "UInt32", "version of the analysis; a higher one replaces a lower one"),
    ("rules_version", "String", "packs that the call was judged by, with a digest of their content"),
    ("form_version", "Nullable(String)", "score form and its version; null when the call was not scored"),
    ("model_version", "String", "recogniser and models that the call was heard and judged by"),
    ("is_late", "UInt8", "1 where the call was stored, or judged anew, more than two days after its end, else 0"),
    (
        "recording_notice_played",
        "Nullable(Bool)",
        "the telephony side played the recording notice; null when it does not say",
    ),
    (
        "initial_call_id",
        "Nullable(String)",
        "first call of the contact, as the telephony side tells it; null when it does not",
    ),
    (
        "previous_call_id",
        "Nullable(String)",
        "call that this one continues; null when the telephony side tells of none",
    ),
    ("related_call_ids", "Array(String)", "other calls that have to do with it, as the telephony side tells them"),
    (
        "transferred_to",
        "Nullable(String)",
        "call that this one was handed on to; null when there is none, or it is not known",
    ),
    (
        "hold_ms",
        "Nullable(UInt64)",
        "how long the customer was on hold, ms; null when the telephony side does not tell",
    ),
    (
        "queue_wait_ms",
        "Nullable(UInt64)",
        "how long the customer waited in the queue before the call, ms; null when the telephony side does not tell",
    ),
    (
        "after_call_work_ms",
        "Nullable(UInt64)",
        "how long the agent worked on it after it had ended, ms; null when the telephony side does not tell",
    ),
    (
        "disconnected_by",
        "LowCardinality(Nullable(String))",
        "who ended the call: agent, customer, system or transfer; null when the telephony side does not tell",
    ),
    ("topic_ids", "Array(LowCardinality(String))", "topics that the call is about"),
    (
        "finding_categories",
        "Array(String)",
        "category of each finding, suspicions left out; in the order of finding_rule_ids",
    ),
    ("finding_rule_ids", "Array(String)", "rule of each finding, suspicions left out"),
    (
        "finding_roles",
        "Array(String)",
        "who spoke, of each finding: agent, customer or unknown; in the order of finding_rule_ids",
    ),
    (
        "finding_severities",
        "Array(String)",
        "severity of each finding: info, low, medium, high or critical; in the order of finding_rule_ids",
    ),
    ("order_status", "LowCardinality(Nullable(String))", "status of the order at the time of the call"),
    ("customer_value_tier", "LowCardinality(Nullable(String))", "value tier of the customer"),
    ("customer_tags", "Array(LowCardinality(String))", "tags of the customer"),
    ("newest_order_status", "Nullable(String)", "newest known status of the order"),
    ("newest_customer_value_tier", "Nullable(String)", "newest known value tier of the customer"),
    ("newest_customer_tags", "Array(String)", "newest known tags of the customer"),
    (
        "rating",
        "Nullable(Float64)",
        "satisfaction of the customer, 0 to 100, told with the call or later; null when it was not",
    ),
    ("rated", "Nullable(String)", "rated or unrated by the customer; null where nobody was to be asked"),
    (
        "resolved_answer",
        "Nullable(Bool)",
        "whether the customer says that the matter was settled; null when nobody asked or answered",
    ),
    (
        "customer_called_again",
        "Nullable(UInt8)",
        "1 where the customer called again about the matter within the window, else 0; null when that cannot be told",
    ),
    ("is_repeat", "UInt8", "1 where the call repeats one about the matter within the window before it, else 0"),
    (
        "resolution",
        "Nullable(String)",
        "resolved, unresolved or pending (the window has not passed); null when that cannot be told",
    ),
    (
        "is_settled_later",
        "UInt8",
        "1 where settled_score differs from score in that resolution is known by now, else 0",
    ),
    (
        "settled_points",
        "Array(Nullable(Float64))",
        "points of each item of the score form, those of resolution included once it is known",
    ),
    (
        "settled_sums",
        "Array(Tuple(String, Float64, Float64, Float64))",
        "of each group of items: name, points, points that were measurable, all points",
    ),
    (
        "settled_score_groups",
        "Map(String, Nullable(Float64))",
        "score of each group, 0 to 100, with the points of resolution once it is known",
    ),
    (
        "settled_score",
        "Nullable(Float64)",
        "score of the call, 0 to 100, with the points of resolution once it is known; null when nothing was measurable",
    ),
    ("call_url", "String", "link that opens the call in the console; empty where console_url is not set"),
)
"""Name, type and comment of each column of `kpi_calls`, in its order: a view with parameters cannot have any."""
