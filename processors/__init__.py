"""Pure logic: typed input, typed output. No Kafka, no ClickHouse, no object store, no clock but an argument."""
