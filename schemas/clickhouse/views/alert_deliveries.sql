CREATE OR REPLACE VIEW alert_deliveries {{on_cluster}}
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
    day Date32 COMMENT 'day of the tenant on which that was',
    next_try_at Nullable(DateTime64(3, 'UTC')) COMMENT 'when it is tried next, UTC; null when it is not',
    latency_ms Nullable(UInt64) COMMENT 'how long the attempt took, ms; null when nothing was sent'
)
SQL SECURITY DEFINER
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
    {{day at}} AS day,
    next_try_at,
    latency_ms
FROM alert_delivery_versions FINAL
COMMENT 'One row per attempt to deliver an alert to a subscriber, and per decision not to.';
