"""What flows through callstream and what is stored: messages, topics, rule packs, ClickHouse migrations."""
