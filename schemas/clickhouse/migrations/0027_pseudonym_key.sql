-- What customers are told apart by without being known: docs/adr/0068-rights-for-tools.md. The key is made here, where
-- the column is made first, and stands nowhere but in the definition of the table, which no person may see.
ALTER TABLE {{both call_versions}} {{on_cluster}} ADD COLUMN IF NOT EXISTS pseudonym_key LowCardinality(String) MATERIALIZED {{secret}} COMMENT 'key of customer_pseudonym; the same in every row';
