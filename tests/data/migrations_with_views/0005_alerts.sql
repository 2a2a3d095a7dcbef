-- Alerts, each once however often it was raised, and the record of what became of them at each subscriber.
-- An alert never changes its place: the end of its call does not change, nor does its id.
CREATE TABLE IF NOT EXISTS alert_versions
(
    alert_id String COMMENT 'the same on every delivery of the same alert' CODEC(ZSTD(1)),
    kind LowCardinality(String) COMMENT 'call or surge',
    tenant_id LowCardinality(String) COMMENT 'whose alert it is',
    rule_id LowCardinality(String) COMMENT 'rule that was hit; risk.high for the risk of the call as a whole',
    rule_version LowCardinality(String) COMMENT 'version of that rule',
    category LowCardinality(String) COMMENT 'kind of finding',
    severity LowCardinality(String) COMMENT 'info, low, medium, high or critical',
    title String COMMENT 'what happened, in one sentence' CODEC(ZSTD(1)),
    advice String COMMENT 'what to do' CODEC(ZSTD(1)),
    call_id Nullable(String) COMMENT 'call that the alert is about; null for a surge' CODEC(ZSTD(1)),
    agent_id Nullable(String) COMMENT 'number of the agent' CODEC(ZSTD(1)),
    agent_team LowCardinality(Nullable(String)) COMMENT 'team of the agent at the time of the call',
    queue LowCardinality(Nullable(String)) COMMENT 'queue that the call came through',
    role LowCardinality(Nullable(String)) COMMENT 'who spoke: agent, customer or unknown; null where nobody is quoted',
    start_ms Nullable(UInt64) COMMENT 'start of the first hit in the recording, ms',
    end_ms Nullable(UInt64) COMMENT 'end of the first hit in the recording, ms',
    quote String COMMENT 'sentence around the first hit as it stands in the transcript' CODEC(ZSTD(3)),
    matched String COMMENT 'the first hit itself' CODEC(ZSTD(1)),
    hits UInt32 COMMENT 'how often the rule was hit in the call',
    risk_level LowCardinality(Nullable(String)) COMMENT 'low, medium or high; null when it was not judged',
    risk_reasons Array(LowCardinality(String)) COMMENT 'what the risk is made of',
    topic_id LowCardinality(Nullable(String)) COMMENT 'of a surge: the topic',
    calls Array(String) COMMENT 'of a surge: calls behind it, newest first, fifty at most' CODEC(ZSTD(1)),
    calls_count Nullable(UInt64) COMMENT 'of a surge: how many calls in its window',
    expected_count Nullable(Float64) COMMENT 'of a surge: how many were to be expected',
    happened_at DateTime64(3, 'UTC') COMMENT 'end of the call, of a surge the end of its window, UTC' CODEC(Delta, ZSTD(1)),
    raised_at DateTime64(3, 'UTC') COMMENT 'when the alert was raised, UTC' CODEC(Delta, ZSTD(1)),
    version UInt64 COMMENT 'orders the deliveries of one alert to this table: raised_at in ms' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(happened_at)
ORDER BY (tenant_id, happened_at, alert_id)
COMMENT 'Alerts as delivered. Query alerts instead.';

CREATE OR REPLACE VIEW alerts
(
    alert_id String COMMENT 'the same on every delivery of the same alert',
    kind LowCardinality(String) COMMENT 'call or surge',
    tenant_id LowCardinality(String) COMMENT 'whose alert it is',
    rule_id LowCardinality(String) COMMENT 'rule that was hit; risk.high for the risk of the call as a whole',
    rule_version LowCardinality(String) COMMENT 'version of that rule',
    category LowCardinality(String) COMMENT 'kind of finding',
    severity LowCardinality(String) COMMENT 'info, low, medium, high or critical',
    title String COMMENT 'what happened, in one sentence',
    advice String COMMENT 'what to do',
    call_id Nullable(String) COMMENT 'call that the alert is about; null for a surge',
    agent_id Nullable(String) COMMENT 'number of the agent',
    agent_team LowCardinality(Nullable(String)) COMMENT 'team of the agent at the time of the call',
    queue LowCardinality(Nullable(String)) COMMENT 'queue that the call came through',
    role LowCardinality(Nullable(String)) COMMENT 'who spoke: agent, customer or unknown; null where nobody is quoted',
    start_ms Nullable(UInt64) COMMENT 'start of the first hit in the recording, ms',
    end_ms Nullable(UInt64) COMMENT 'end of the first hit in the recording, ms',
    quote String COMMENT 'sentence around the first hit as it stands in the transcript',
    matched String COMMENT 'the first hit itself',
    hits UInt32 COMMENT 'how often the rule was hit in the call',
    risk_level LowCardinality(Nullable(String)) COMMENT 'low, medium or high; null when it was not judged',
    risk_reasons Array(LowCardinality(String)) COMMENT 'what the risk is made of',
    topic_id LowCardinality(Nullable(String)) COMMENT 'of a surge: the topic',
    calls Array(String) COMMENT 'of a surge: calls behind it, newest first, fifty at most',
    calls_count Nullable(UInt64) COMMENT 'of a surge: how many calls in its window',
    expected_count Nullable(Float64) COMMENT 'of a surge: how many were to be expected',
    happened_at DateTime64(3, 'UTC') COMMENT 'end of the call, of a surge the end of its window, UTC',
    raised_at DateTime64(3, 'UTC') COMMENT 'when the alert was raised, UTC'
)
AS SELECT
    alert_id,
    kind,
    tenant_id,
    rule_id,
    rule_version,
    category,
    severity,
    title,
    advice,
    call_id,
    agent_id,
    agent_team,
    queue,
    role,
    start_ms,
    end_ms,
    quote,
    matched,
    hits,
    risk_level,
    risk_reasons,
    topic_id,
    calls,
    calls_count,
    expected_count,
    happened_at,
    raised_at
FROM alert_versions FINAL
COMMENT 'One row per alert: per call, rule and version of the rule; per surge.';

CREATE TABLE IF NOT EXISTS alert_delivery_versions
(
    alert_id String COMMENT 'alert that was to be delivered' CODEC(ZSTD(1)),
    tenant_id LowCardinality(String) COMMENT 'whose alert it is',
    rule_id LowCardinality(String) COMMENT 'rule that the alert is about',
    subscriber LowCardinality(String) COMMENT 'name of the subscription',
    channel LowCardinality(String) COMMENT 'webhook, email, dingtalk, wecom, feishu or kafka',
    attempt UInt32 COMMENT 'number of the attempt since the worker was started; 0 when nothing was sent',
    outcome LowCardinality(String) COMMENT 'delivered, failed, gave_up, suppressed, grouped or deferred',
    reason LowCardinality(Nullable(String)) COMMENT 'why, where it was not simply delivered',
    status_code Nullable(Int64) COMMENT 'what the other side answered: status of HTTP or SMTP, errcode of a robot; null without an answer',
    error_class LowCardinality(Nullable(String)) COMMENT 'kind of error; null where there was none',
    group_id Nullable(String) COMMENT 'id of the grouped message that stood for the alert' CODEC(ZSTD(1)),
    at DateTime64(3, 'UTC') COMMENT 'when that was, UTC' CODEC(Delta, ZSTD(1)),
    next_try_at Nullable(DateTime64(3, 'UTC')) COMMENT 'when it is tried next, UTC; null when it is not' CODEC(Delta, ZSTD(1)),
    latency_ms Nullable(UInt64) COMMENT 'how long the attempt took, ms; null when nothing was sent',
    version UInt64 COMMENT 'orders the deliveries of one line to this table: at in ms' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(at)
ORDER BY (tenant_id, alert_id, subscriber, at, attempt, outcome)
COMMENT 'The record of deliveries as delivered. Query alert_deliveries instead.';

CREATE OR REPLACE VIEW alert_deliveries
(
    alert_id String COMMENT 'alert that was to be delivered',
    tenant_id LowCardinality(String) COMMENT 'whose alert it is',
    rule_id LowCardinality(String) COMMENT 'rule that the alert is about',
    subscriber LowCardinality(String) COMMENT 'name of the subscription',
    channel LowCardinality(String) COMMENT 'webhook, email, dingtalk, wecom, feishu or kafka',
    attempt UInt32 COMMENT 'number of the attempt since the worker was started; 0 when nothing was sent',
    outcome LowCardinality(String) COMMENT 'delivered, failed, gave_up, suppressed, grouped or deferred',
    reason LowCardinality(Nullable(String)) COMMENT 'why, where it was not simply delivered',
    status_code Nullable(Int64) COMMENT 'what the other side answered: status of HTTP or SMTP, errcode of a robot; null without an answer',
    error_class LowCardinality(Nullable(String)) COMMENT 'kind of error; null where there was none',
    group_id Nullable(String) COMMENT 'id of the grouped message that stood for the alert',
    at DateTime64(3, 'UTC') COMMENT 'when that was, UTC',
    next_try_at Nullable(DateTime64(3, 'UTC')) COMMENT 'when it is tried next, UTC; null when it is not',
    latency_ms Nullable(UInt64) COMMENT 'how long the attempt took, ms; null when nothing was sent'
)
AS SELECT
    alert_id,
    tenant_id,
    rule_id,
    subscriber,
    channel,
    attempt,
    outcome,
    reason,
    status_code,
    error_class,
    group_id,
    at,
    next_try_at,
    latency_ms
FROM alert_delivery_versions FINAL
COMMENT 'One row per attempt to deliver an alert to a subscriber, and per decision not to.';
