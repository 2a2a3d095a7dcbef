"""Recordings are decoded in a process of their own: what a file makes of a decoder harms nobody else."""
