"""Custody of recordings: sealing, keys, and the decisions about what is taken in. Pure: no store, no register, no clock."""
