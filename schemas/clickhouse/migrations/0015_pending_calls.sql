-- How many calls of a KPI are not decided yet: while they are many, its value is not shown. Days from before have 0 until
-- the worker `rollup` has made them anew, which it does because what KPIs are made of has changed.
ALTER TABLE {{everywhere kpi_rollup_rows}} {{on_cluster}} ADD COLUMN IF NOT EXISTS `kpis.pending` Array(UInt64) COMMENT 'calls that will count for the KPI, and do not yet' AFTER `kpis.denominator_squares`;
