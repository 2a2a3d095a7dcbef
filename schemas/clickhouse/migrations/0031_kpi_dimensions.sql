-- By what else KPIs are told apart. Days from before have nulls until the worker `rollup` has made them anew, which it does at
-- once because what KPIs are made of has changed.
ALTER TABLE {{everywhere kpi_rollup_rows}} {{on_cluster}} ADD COLUMN IF NOT EXISTS topic LowCardinality(Nullable(String)) COMMENT 'demand of the taxonomy that the call is about; a call counts for each of its demands; null: for none' AFTER customer_value_tier;
ALTER TABLE {{everywhere kpi_rollup_rows}} {{on_cluster}} ADD COLUMN IF NOT EXISTS direction LowCardinality(Nullable(String)) COMMENT 'inbound or outbound' AFTER topic;
ALTER TABLE {{everywhere kpi_rollup_rows}} {{on_cluster}} ADD COLUMN IF NOT EXISTS handled_by LowCardinality(Nullable(String)) COMMENT 'human or bot' AFTER direction;
ALTER TABLE {{everywhere kpi_rollup_rows}} {{on_cluster}} ADD COLUMN IF NOT EXISTS agent_seniority LowCardinality(Nullable(String)) COMMENT 'new, regular or senior' AFTER handled_by;
ALTER TABLE {{everywhere kpi_rollup_rows}} {{on_cluster}} ADD COLUMN IF NOT EXISTS agent_tenure LowCardinality(Nullable(String)) COMMENT 'whole months since the first day of work of the agent: 00-02, 03-05, 06-11, 12-23 or 24+' AFTER agent_seniority;
ALTER TABLE {{everywhere kpi_rollup_rows}} {{on_cluster}} ADD COLUMN IF NOT EXISTS rated LowCardinality(Nullable(String)) COMMENT 'rated or unrated by the customer; null where nobody was to be asked' AFTER agent_tenure;
