"""Which languages count as Chinese: what the rules, the measures and the reading heads understand."""

CHINESE_LANGUAGES = frozenset({"zh", "yue"})
"""Mandarin and Cantonese, as recognisers name them."""
