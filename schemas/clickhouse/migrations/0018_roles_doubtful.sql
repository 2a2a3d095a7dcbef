-- Calls whose agent and customer may be exchanged. Of calls that were judged before nothing is known: false, until they are
-- judged again (callstream replay).
ALTER TABLE {{both call_versions}} {{on_cluster}} ADD COLUMN IF NOT EXISTS roles_doubtful Bool DEFAULT false COMMENT 'agent and customer may be exchanged' AFTER real_time_factor;
