"""Stance: whether a word is claimed, negated, asked, or quoted from somebody else.

The word's own clause decides, as `NormalizedText` marks it: a negation in front of it counts when only words lie
between that can carry it to the word (不 会 向您 承诺 → 保本), so that 没有风险保本 stays a claim although the
recogniser lost the comma. An even number of negations is a claim (不可能不保本); phrases that hold a negative
character without negating what follows are set aside first (不用担心, 不管, 不仅).
"""

import re
from typing import Literal

from processors.text.normalized_text import CLAUSE_END, LIST_MARK, QUESTION_END, SENTENCE_END

Stance = Literal["claimed", "negated", "asked", "quoted"]

CONTEXT_LETTERS = 40
"""As much text before and after a word is looked at."""

_CLAUSE_MARKS = CLAUSE_END + SENTENCE_END + QUESTION_END
_CLAUSE_ENDS = f"[{_CLAUSE_MARKS}]"
_SET_ASIDE = "■"
_ASKING = "◇"


def _words(text: str) -> tuple[str, ...]:
    return tuple(sorted(text.split(), key=len, reverse=True))


_NEGATORS = _words(
    "不 没 没有 无 无法 非 未 别 勿 莫 难以 很难 禁止 严禁 禁 杜绝 拒绝 避免 谨防 警惕 防止 当心 小心 休想 "
    "哪有 哪里有 何来 谈不上 没办法 没法 怎么可能 怎么会 怎么能 哪能 哪会 岂能 "
)
_NOT_NEGATING = _words(
    # 不 and 没 inside other words
    "不但 不仅 不光 不只 不单 不止 不管 不论 无论 不过 不错 不久 不断 不妨 不禁 不愧 不同 不少 不瞒 不瞒您说 "
    "不瞒你说 不骗您说 不然 不如 "
    "不用说 不一样 不好意思 "
    "对不起 差不多 了不起 信不信 来不及 舍不得 怪不得 忍不住 不得了 不客气 无非 无疑 毫无疑问 毫不夸张 无条件 无忧 "
    "无偿 没准 没错 没事 没问题 没关系 "
    "没有问题 没有关系 没有几 没有多少 没的说 没得说 没话说 要不然 要不 要不是 非常 非得 除非 莫非 并不难 "
    "不难 不贵 不多 不远 "
    # 别 that is no prohibition
    "特别 分别 个别 区别 级别 性别 识别 鉴别 类别 别人 别的 别家 别处 "
    # 未 and 无 in compounds
    "未来 未必不 无形 无线 "
    # reassurance: the agent denies a worry, not what follows
    "不用担心 不用怕 不用考虑 不用想 不用操心 不用犹豫 不用管 不用急 不用着急 不必担心 不必犹豫 不要担心 "
    "不要犹豫 不要错过 不要怕 不怕 "
    "别担心 别犹豫 别错过 别怕 别急 别着急 别多想 不担心 不骗您 不骗你 不骗人 不会骗您 不会骗你 没骗您 没骗你 "
    "不忽悠 不是吹 不吹牛 不夸张 "
    "不信您 不信你 不亏待 不会亏待 不让您失望 不会让您失望 不会让您吃亏 不会让您亏 不会让您后悔 不会后悔 不吃亏 "
    # two negations in one word
    "不得不 不能不 不可不 不会不 不可能不 不可能没 没有不 无不 莫不 无一不 不是不 不是没有 并非不 并不是不 非不 不无 "
    # questions put neutrally
    "好不好 行不行 对不对 "
)
_QUESTIONS = _words(
    "是不是 有没有 能不能 会不会 要不要 可不可以 可不可能 是否 能否 可否 会否 有无 想不想 需不需要 到底 哪位 哪个 谁"
)
_CARRIERS = _words(
    # auxiliaries and existence
    "会 能 能够 可以 可能 敢 肯 得 许 允许 准 准许 应 应该 该 当 予 予以 再 是 有 要 需要 必 必要 想 愿意 愿 "
    "可 存在 属于 属 提供 具备 具有 "
    # promising, saying, selling
    "承诺 许诺 允诺 保证 担保 确保 答应 作出 做出 作 做 进行 说 说过 讲 提 提到 宣传 宣称 声称 宣扬 表示 表述 "
    "描述 介绍 使用 用 出现 支持 接受 "
    "销售 卖 推荐 推销 推 开展 从事 参与 参加 参加过 诱导 引导 误导 要求 建议 相信 轻信 听信 信 理解 理解为 "
    "当成 当作 视为 看作 等于 等同 等同于 意味着 代表 "
    "算 叫 叫做 就是 涉及 包含 包括 收 收取 索要 问 接 加 搞 办 办理 走 通过 签 签订 签署 买 发 转 打 权 权利 "
    "权力 资格 义务 透露 泄露 查 看 吃 自行 商家 卖家 "
    # to whom, by whom
    "给 为 向 对 跟 和 与 同 替 帮 让 请 您 你 您们 你们 客户 顾客 用户 学员 家长 患者 消费者 投资者 投资人 "
    "我 我们 我司 咱们 咱 本公司 本行 公司 平台 银行 "
    "机构 学校 医院 老师 医生 顾问 经理 业务员 销售人员 工作人员 员工 坐席 客服 任何人 人 他人 有人 他们 "
    # what of
    "任何 任何形式 形式 什么 什么样 一 一个 一家 家 以 一种 一款 一点 一次 个 种 款 次 份 这 这个 这种 这款 "
    "这类 这样 "
    "这么 那 那个 那种 那么 那样 所谓 某 "
    "其他 其它 所有 全 全都 全部 都 每 每个 哪 哪个 的 地 得到 了 过 到 着 去 来 之 "
    "绝对 一定 百分之百 百分百 100 完全 真正 真 真的 直接 随便 私自 擅自 私下 口头 书面 随意 轻易 曾 曾经 "
    "从来 从 还 也 亦 并 "
    "产品 理财 理财产品 基金 保险 课程 商品 药 药品 药物 治疗 手术 方案 项目 服务 类似 像 好像 类 情况 现象 "
    "行为 说法 话 东西 事 事情 "
    f"与 及 以及 或 或者 还是 {LIST_MARK}"
)
_PROMISES = ("承诺", "许诺", "保证", "担保", "确保", "宣传", "宣称")
_PROMISE_SCOPE_LETTERS = 12
_TURNS = re.compile(r"但|可是|而是|而且|却|只|因为|所以|就|反正|照样|仍")
"""A negated promise reaches to the end of its clause, unless one of these turns the sentence round."""

_RHETORICAL = re.compile(r"(?:难道|[这那][个款种]?|可|还)不(?:就)?(?:是|也|算)|难道|岂不")

_TOPIC = (
    "的|这|那|这种|那种|这类|这样|一|个|样|话|说法|承诺|宣传|字眼|词|产品|理财|项目|东西|事情|事儿|事|情况|行为"
    "|机构|老师|人|名额|我们|我司|我|咱们|公司|银行|平台|监管|国家|法律|规定|政策|合同|谁|大家|现在|目前|早就"
    "|早|已经|已|都|均|全|也|其实|根本|肯定|绝对|一定|当然|是|就|属于|在|上|里|吗|呢"
)
_REFUSAL = (
    "不能(?!错过)|不可能(?!亏|赔|有风险|不|出现)|不存在|不允许|不许|不准|不得(?!了)|不行|不可以|不敢|不做|不承诺"
    "|不保证|不提供|不接受|不支持|不现实|不属实|不真实|不合规|不合法|不对(?!外)|不要相信|不要信|别信|别相信|不是真"
    "|不会有的|不会存在|不会承诺|不会保证|做不到|办不到|没办法|没法|无法(?!拒绝)|没有(?:的|了|这|那|$)|违规|违法"
    "|违反|禁止|被禁|严禁|犯法|犯罪|诈骗|骗(?!您|你)|假的|虚假|谣言|误导|陷阱|忽悠|不靠谱"
)
_REFUSES = re.compile(_REFUSAL)
"""Without any of these nothing is negated from behind."""
_NEGATED_AFTER = re.compile(rf"^(?:{_TOPIC}){{0,8}}?(?:{_REFUSAL})")
_NEGATED_AFTER_THE_PAUSE = re.compile(
    rf"^{CLAUSE_END}(?:那|这)(?:个|种|样|些|话|事|都|肯定|绝对|可|是)*"
    "(?:不可能|不存在|不允许|不行|不对|不现实|违规|违法|骗|假的|做不到|没有的)"
)

_DISOWNED_AFTER = re.compile(
    rf"^{CLAUSE_END}?(?:的)?(?:[您你]们?|大家|咱们?)?(?:可|千万|都|也){{0,2}}别(?:再)?(?:相信|轻信|信|上当|碰|沾|搭理|理)[了啊哦呀它]?(?:{_CLAUSE_ENDS}|$)"
    r"|^的?(?:这|那)?[种个样]?话?,?(?:谁|哪个|哪家)[说讲]?(?:谁|哪个|哪家)(?:就|都)?(?:违规|违法|犯法|负责|倒霉|骗人)"
)
"""保本，您可别信; 这种话谁说谁违规."""

_SPEAKERS = (
    r"(?:(?<![跟给和对向同与让告诉])(?:您|你|他们|她们|他|她|别人|别家|人家|有人|网上|客户|对方"
    r"|骗子|那边|广告|市面上|同行|友商|朋友|新闻|(?:其他|其它|别的|有的|有些|某些|某|个别)"
    r"(?:公司|机构|平台|商家|店铺|银行|学校|医院|产品|人)))"
)
_LINK = (
    "(?:的|过|到|了|这个|那个|这种|那种|这款|这|那|什么|有|是|能|会|可以|所谓|产品|理财|说|要|想|一个|一款|一种"
    "|他们|她们|他|她|人家|别家"
    f"|{_SET_ASIDE})*"
)
_SAYS = "说|讲|提|问|认为|以为|听说|理解|想要|希望|咨询|宣传|承诺|保证|想买|想找"
_SAYING = rf"[^我咱]{{0,5}}(?:{_SAYS}){_LINK}$"
_QUOTED = re.compile(_SPEAKERS + _SAYING)
_QUOTED_OF_OTHERS = re.compile(r"别(?:人|家|处|的)" + _SAYING)
"""On the clause as it stands: 别家 is set aside in a reading, because 别 in it forbids nothing."""
_SAYS_SOMETHING = re.compile(_SAYS)
"""Without any of these nobody is quoted."""
_WARNING = re.compile(
    r"(?:如果|假如|倘若|若|如|要是|凡是|凡|一旦|遇到|碰到|接到).{0,4}"
    r"(?:有人|人|谁|对方|他人|电话|短信|骗子|称|承诺|声称|宣称|以).{0,10}$"
)
_ASKED_OF = re.compile(
    r"(?:有人|人员|经理|销售|顾问|老师|谁|客服|对方|您|你|请问|哪).{0,8}"
    r"(?:承诺|说|讲|保证|许诺|答应|推荐|提供|问|要|想|需要|了解|找|买|是).{0,6}$"
)
_ASKS_AT_THE_END = re.compile(rf"(?:吗|么|嘛){_CLAUSE_ENDS}?$|{QUESTION_END}$")
_ONLY_A_QUESTION_AFTER = re.compile(rf"^(?:的|了|产品|理财|这个|这种|是)*(?:(?:吗|么){_CLAUSE_ENDS}?|{QUESTION_END})$")


def stance(before: str, after: str) -> Stance:
    """The speaker's stance towards a word, from the normalised text before and after it."""
    clause_before = before[max(map(before.rfind, _CLAUSE_MARKS)) + 1 :]
    clause_after = _to_clause_end(after)
    if _WARNING.search(clause_before):
        return "quoted"
    asks = _ASKS_AT_THE_END.search(clause_after[-2:]) is not None
    read, negations, asked = _read_and_carried(clause_before)
    if negations % 2 == 1:
        return "claimed" if asks and _RHETORICAL.search(clause_before) else "negated"
    if asked:
        return "asked"
    if asks and (_ONLY_A_QUESTION_AFTER.match(clause_after) or _ASKED_OF.search(clause_before)):
        return "asked"
    if _is_negated_after(clause_after) or _NEGATED_AFTER_THE_PAUSE.match(after) or _DISOWNED_AFTER.match(after):
        return "negated"
    if _SAYS_SOMETHING.search(clause_before) and (_QUOTED.search(read) or _QUOTED_OF_OTHERS.search(clause_before)):
        return "quoted"
    return "claimed"


def _is_negated_after(clause_after: str) -> bool:
    """Whether what follows in the clause takes the word back: 保本 是不可能的."""
    following = clause_after.replace(LIST_MARK, "")
    return _REFUSES.search(following) is not None and _NEGATED_AFTER.match(following) is not None


def holds_negation(between: str) -> bool:
    """Whether the letters between the parts of one word negate it: 内部 没有 名额."""
    if _TO_BE_READ.search(between) is None:
        return False
    read = _reading(between)
    return any(negator in read for negator in _NEGATORS)


def continues_list(between: str) -> bool:
    """Whether two words separated by this stand in one list, so that what negates the first negates both."""
    return _LIST.fullmatch(between) is not None


_LIST = re.compile(rf"[{LIST_MARK}{CLAUSE_END}]?(?:和|或|或者|与|及|以及|也|还有|更)?")
_STUTTER = re.compile(r"(不|没有|没|别)\1+")


_CLAUSE_END = re.compile(_CLAUSE_ENDS)


def _to_clause_end(after: str) -> str:
    end = _CLAUSE_END.search(after)
    return after[: end.end()] if end else after


def _alternatives(words: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, words)))


def _by_last_letter(words: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    return {letter: tuple(word for word in words if word[-1] == letter) for letter in {word[-1] for word in words}}


_CARRIERS_BY_END = _by_last_letter(_CARRIERS)
_NEGATORS_BY_END = _by_last_letter(_NEGATORS)
_NOT_NEGATING_PATTERN = _alternatives(_NOT_NEGATING)
_QUESTIONS_PATTERN = _alternatives(_QUESTIONS)
_TO_BE_READ = _alternatives((*_NEGATORS, *_NOT_NEGATING, *_QUESTIONS))
"""A clause without any of these reads as it stands: nothing in it negates or asks."""


def _reading(clause: str) -> str:
    """The clause with stutter removed, set phrases masked and question words marked."""
    clause = _STUTTER.sub(r"\1", clause)
    clause = _QUESTIONS_PATTERN.sub(_ASKING, clause)
    return _NOT_NEGATING_PATTERN.sub(_SET_ASIDE, clause)


def _read_and_carried(clause: str) -> tuple[str, int, bool]:
    """The reading of a clause, the negations that have its end in their scope, and whether a question word has."""
    if _TO_BE_READ.search(clause) is None:
        return clause, 0, False
    read = _reading(clause)
    negations, asked = _walk(read)
    if negations == 0 and _promise_denied(read):
        negations = 1
    return read, negations, asked


def _walk(clause: str) -> tuple[int, bool]:
    """Negations and question words that carriers carry to the end of the clause.

    Goes leftwards over every way to read the clause as carriers and negators; each position is visited once, with
    the highest number of negations met on the way there.
    """
    reached = {len(clause): 0}
    asked = False
    for place in range(len(clause), 0, -1):
        if place not in reached:
            continue
        asked = asked or clause[place - 1] == _ASKING
        for last_letter_of, negations in ((_CARRIERS_BY_END, reached[place]), (_NEGATORS_BY_END, reached[place] + 1)):
            for word in last_letter_of.get(clause[place - 1], ()):
                if clause.endswith(word, 0, place):
                    start = place - len(word)
                    reached[start] = max(negations, reached.get(start, 0))
    return max(reached.values()), asked


def _promise_denied(clause: str) -> bool:
    """Whether a denied promise (我们不承诺您的本金和收益…) reaches to the end of the clause."""
    for promise in _PROMISES:
        place = clause.rfind(promise)
        if place < 0 or len(clause) - place > _PROMISE_SCOPE_LETTERS or _TURNS.search(clause, place):
            continue
        if _walk(clause[:place])[0] % 2 == 1:
            return True
    return False
