"""Where wrapping keys are kept: one file for each place, with its settings, found by being there."""
