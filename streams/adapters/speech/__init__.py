"""Speech engines that are services, one file or folder each, found by being there (`processors.listening.engine_port`).

Those that run in the process itself are in `processors/listening/engines/`.
"""
