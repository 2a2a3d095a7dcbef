"""The wiring: topology, stages, adapters to outside systems, embedded stack, command line."""
