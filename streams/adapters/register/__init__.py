"""The register: state of custody that must be exact. SQLite on one machine, PostgreSQL in production.

Each kind of state has a file of its own here with its SQL; `tables.py` declares all tables, `migrations/` makes them.
"""
