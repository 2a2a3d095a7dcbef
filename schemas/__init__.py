"""What flows through callstream and what is stored: messages, topics, lexicons, ClickHouse migrations."""
