-- Calls whose agent and customer may be exchanged. Of calls that were judged before nothing is known: false, until they are
-- judged again (callstream replay).
ALTER TABLE {{both call_versions}} {{on_cluster}} ADD COLUMN IF NOT EXISTS roles_doubtful Bool COMMENT 'agent and customer may be exchanged: what was said contradicts what the telephony side told, or nothing said tells them apart' AFTER real_time_factor;
