"""Proof of custody: a stack is given secrets, and then searched for them."""
