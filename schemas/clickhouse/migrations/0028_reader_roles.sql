-- Roles that are given pseudonyms, one a row. By its row policy whoever asks sees the own role alone, and so does a view
-- that is asked.
CREATE TABLE IF NOT EXISTS {{everywhere reader_role_versions}} {{on_cluster}}
(
    role LowCardinality(String) COMMENT 'role of people that is given pseudonyms of customers',
    version UInt8 COMMENT 'orders rows of one role; always 1' CODEC(ZSTD(1))
)
ENGINE = {{engine ReplacingMergeTree(version)}}
ORDER BY role
COMMENT 'Roles that are given pseudonyms of customers; each sees its own row.';

INSERT INTO reader_role_versions (role, version) VALUES ('bi_analyst', 1), ('inspector', 1);
