"""The embedded stack: brokers, ClickHouse engine and workers as child processes of one command."""
