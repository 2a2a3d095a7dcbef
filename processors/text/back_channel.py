"""Words by which listeners show attention: they are no turn of their own, and they end nobody else's."""

import re

# In both scripts. Each word is reached in one way only (no 对啊 beside 对 and 啊), so that each text is soon refused.
# 直到了 is how recognisers write 知道了.
BACK_CHANNEL_WORDS = (
    r"[嗯恩唔呃额額哦噢喔啊呀诶誒哎欸哈呵]"
    r"|[对對]的?|是的?|好[的吧嘞]?|行的?|可以的?|[没沒][错錯事]|[没沒][问問][题題]|收到|[这這][样樣]|原[来來]如此"
    r"|我?(?:知道了?|直到了|明白了?|了解了?|懂了?|清楚了?)"
    r"|yeah|yes|yep|okay|ok|hm|m|uh|huh|right|sure|i see|oh|ah|got it"
)
"""Alternatives of a regular expression that ignores case."""

_BACK_CHANNEL = re.compile(rf"[\W_]*(?:(?:{BACK_CHANNEL_WORDS})[\W_]*)+", re.IGNORECASE)


def is_back_channel(text: str) -> bool:
    """Whether a text is made only of words by which listeners show attention, such as 嗯, 对, 好的, 知道了."""
    return _BACK_CHANNEL.fullmatch(text) is not None
