"""Dead letters: what of a refused message may be shown, which may be published again, what that would change. Pure."""
