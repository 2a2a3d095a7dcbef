"""Chaos: seeded faults against a whole stack, and a checker that knows nothing of our code (ADR 0078)."""
