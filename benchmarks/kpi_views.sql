-- kpi_daily, one KPI, a year
SELECT day, value, low, high, verdict FROM kpi_daily WHERE tenant_id = 'acme' AND kpi = 'score' ORDER BY day
-- kpi_daily, all KPIs, a year
SELECT kpi, count(), sum(n), sum(numerator) / sum(denominator) FROM kpi_daily WHERE tenant_id = 'acme' GROUP BY kpi ORDER BY kpi
-- kpi_team, one KPI by month
SELECT toStartOfMonth(day) AS month, agent_team, sum(numerator) / sum(denominator) AS value FROM kpi_team WHERE tenant_id = 'acme' AND kpi = 'score' GROUP BY month, agent_team ORDER BY month, agent_team
-- kpi_agent, one KPI, a year by agent
SELECT agent_id, sum(n) AS calls, sum(numerator) / sum(denominator) AS value FROM kpi_agent WHERE tenant_id = 'acme' AND kpi = 'score' GROUP BY agent_id ORDER BY value
-- kpi_between, all KPIs by team, a year
SELECT * FROM kpi_between(dimension = 'team', first = '2025-07-01', last = '2026-06-30') WHERE tenant_id = 'acme'
-- kpi_between, all KPIs by agent, a year
SELECT * FROM kpi_between(dimension = 'agent', first = '2025-07-01', last = '2026-06-30') WHERE tenant_id = 'acme'
-- kpi_between, all KPIs of the tenant, a year
SELECT * FROM kpi_between(dimension = 'tenant', first = '2025-07-01', last = '2026-06-30') WHERE tenant_id = 'acme'
