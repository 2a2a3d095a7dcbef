"""How commands end, besides 0; `callstream --help` lists the codes. An `OperatorError` brings one of its own."""

EXIT_PROBLEM = 1
"""The command did its work, and there is a problem to look at."""
EXIT_UNREACHABLE = 4
"""Kafka, ClickHouse or the object store does not answer."""
EXIT_BUG = 70
