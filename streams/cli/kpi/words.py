"""What tables of KPIs say, in Chinese and in English."""

from collections.abc import Mapping
from typing import Literal

Language = Literal["zh", "en"]

WORDS: Mapping[str, tuple[str, str]] = {
    "tenant": ("租户", "tenant"),
    "industry": ("行业", "industry"),
    "agent_team": ("班组", "team"),
    "agent_id": ("坐席", "agent"),
    "queue": ("队列", "queue"),
    "inquiry_type": ("咨询类型", "inquiry type"),
    "course_type": ("课程类型", "course type"),
    "newest_order_status": ("订单状态（最新）", "order status (newest)"),
    "newest_customer_value_tier": ("客户等级（最新）", "value tier (newest)"),
    "kpi": ("指标", "KPI"),
    "kpi_id": ("指标编号", "KPI id"),
    "unit": ("单位", "unit"),
    "value": ("数值", "value"),
    "low": ("区间下限", "lower limit"),
    "high": ("区间上限", "upper limit"),
    "before_value": ("上期数值", "value before"),
    "before_n": ("上期样本量", "n before"),
    "pending_calls": ("待定通话数", "calls pending"),
    "interval": ("95% 区间", "95 % interval"),
    "n": ("样本量", "n"),
    "target": ("目标", "target"),
    "verdict": ("结论", "verdict"),
    "trend": ("趋势", "trend"),
    "scope": ("范围", "scope"),
    "benchmark": ("对照值", "benchmark"),
    "ratio": ("实际/预期", "observed / expected"),
    "q": ("q 值", "q"),
    "topic": ("诉求", "demand"),
    "calls": ("通话数", "calls"),
    "share": ("占比", "share"),
    "change": ("变化", "change"),
    "agitated": ("客户激动", "agitated"),
    "unresolved": ("未解决", "unresolved"),
    "examples": ("原话", "examples"),
    "customers": ("客户", "customers"),
    "others": ("其他客户", "others"),
    "before": ("培训前", "before"),
    "after": ("培训后", "after"),
    "effect": ("结论", "effect"),
    "beyond_others": ("超出他人的变化", "beyond others"),
    "reached": ("达标", "reached"),
    "missed": ("未达标", "missed"),
    "too_few": ("样本不足", "too few"),
    "pending": ("待定", "pending"),
    "no_target": ("–", "–"),
    "better": ("改善", "better"),
    "worse": ("变差", "worse"),
    "up": ("上升", "up"),
    "down": ("下降", "down"),
    "no_clear_change": ("无明显变化", "no clear change"),
    "too_few_agents": ("坐席太少，无法判断", "too few agents to tell"),
    "unknown": ("–", "–"),
    "common": ("共性", "everyone"),
    "team": ("班组", "team"),
    "individual": ("个体", "agent"),
    "hour": ("时段", "hour"),
    "weekday": ("星期", "weekday"),
    "clear": ("显著", "clear"),
    "tag": ("标签", "tag"),
    "value_tier": ("等级", "tier"),
}

WEEKDAYS = (
    ("周一", "Mon"),
    ("周二", "Tue"),
    ("周三", "Wed"),
    ("周四", "Thu"),
    ("周五", "Fri"),
    ("周六", "Sat"),
    ("周日", "Sun"),
)
"""From Monday on."""

COMPARED: Mapping[Language, str] = {
    "zh": "共 {comparisons} 次比较；判为显著者中，出于偶然的预期不超过 {rate:.0%}（q 值）",
    "en": "{comparisons} comparisons; of what is called clear at most {rate:.0%} is expected to be chance (q)",
}

NO_CALLS: Mapping[Language, str] = {
    "zh": "这段时间没有可统计的通话；汇总由 rollup 进程生成（callstream rollup）。",
    "en": "no calls to count in that period; KPIs are computed by the worker rollup, or by callstream rollup",
}
