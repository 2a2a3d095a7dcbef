"""Migrations of the register, run by Alembic. A released one is never edited."""
