"""Custody of recordings: sealing, keys, and decisions about what is taken in. Pure: no store, no register, no clock."""
