-- What `callstream migrate` remembers; made before the first migration.
CREATE TABLE IF NOT EXISTS {{local schema_migrations}} {{on_cluster}}
(
    number UInt32 COMMENT 'number of the migration',
    name String COMMENT 'name of the migration',
    sha256 String COMMENT 'SHA-256 of its file',
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'when it was applied, UTC'
)
ENGINE = {{engine ReplacingMergeTree}}
ORDER BY number
COMMENT 'Migrations that were applied to this database';

CREATE TABLE IF NOT EXISTS schema_migrations {{on_cluster}} AS {{local schema_migrations}}
ENGINE = {{distributed schema_migrations by number}}
COMMENT 'Migrations that were applied to this database';
