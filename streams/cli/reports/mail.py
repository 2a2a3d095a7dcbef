"""A report as a mail: what it says as text and as HTML, with a picture for each KPI and the table as CSV.

It holds figures of groups of calls, names of teams and numbers of agents, and nothing of a customer or of what was
said.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from hashlib import sha256
from html import escape

from processors.kpi.reports import KpiLine
from schemas.config.kpis.kpi import DIMENSIONS
from streams.adapters.channels.smtp import mail_address
from streams.cli.console.table_file import as_csv
from streams.cli.kpi.cells import interval_cell, value_cell
from streams.cli.kpi.file_table import kpi_file_table
from streams.cli.kpi.words import NO_CALLS, WORDS, Language
from streams.cli.pages.kpis import as_target
from streams.cli.reports.report_file import Every, Report

TITLES: Mapping[Every, tuple[str, str]] = {
    "daily": ("质检日报", "Daily report"),
    "weekly": ("质检周报", "Weekly report"),
    "monthly": ("质检月报", "Monthly report"),
}
_STYLE = "border:1px solid #ccc;padding:4px 8px;text-align:left"
_HINT = {
    "zh": "浅色带为 95% 区间，虚线为目标。数据以发送时为准；“待定”表示尚有通话未计入。",
    "en": "The band is the 95 % interval, the broken line the target. Figures are those of the time of sending; "
    "“pending” waits for calls that do not count yet.",
}


@dataclass(frozen=True)
class Chart:
    """The picture of a KPI, and what it is called."""

    name: str
    png: bytes


@dataclass(frozen=True)
class ReportContent:
    """What a report says of a period, for every recipient alike."""

    report: Report
    period_id: str
    period_title: str
    lines: Sequence[KpiLine]
    charts: Sequence[Chart]

    @property
    def subject(self) -> str:
        """One line."""
        title = self.report.title or TITLES[self.report.every][0 if self.report.language == "zh" else 1]
        return f"{title} {self.report.tenant} {self.period_id}"


def report_mail(content: ReportContent, sender: str, recipient: str, at: datetime) -> EmailMessage:
    """The mail to one recipient; its Message-ID is the same on every try."""
    report, lang = content.report, content.report.language
    message = EmailMessage(policy=SMTP)
    domain = sender.rpartition("@")[2]
    known = sha256(f"{report.name} {content.period_id} {recipient}".encode()).hexdigest()[:32]
    message["From"] = mail_address(sender)
    message["To"] = mail_address(recipient)
    message["Subject"] = content.subject
    message["Date"] = format_datetime(at)
    message["Message-ID"] = f"<report-{known}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(_text(content))
    message.add_alternative(_html(content), subtype="html")
    html = message.get_payload()[1]  # type: ignore[index] # the second of the alternatives
    for number, chart in enumerate(content.charts):
        html.add_related(  # type: ignore[union-attr]
            chart.png, "image", "png", cid=f"<chart-{number}>", filename=f"chart-{number}.png", disposition="inline"
        )
    table = kpi_file_table(content.lines, report.by, lang, content.subject)
    file = f"{report.name}-{content.period_id}.csv"
    message.add_attachment(as_csv(table), "text", "csv", filename=file, params={"charset": "utf-8"})
    return message


def _headings(content: ReportContent) -> list[str]:
    names = (*DIMENSIONS[content.report.by], "kpi", "value", "interval", "n", "target", "verdict", "trend")
    return [_word(name, content.report.language) for name in names]


def _row(line: KpiLine, lang: Language) -> list[str]:
    return [
        *(part or "–" for part in line.key),
        line.kpi.name.zh if lang == "zh" else line.kpi.name.en,
        value_cell(line.kpi, line.found),
        interval_cell(line.kpi, line.found),
        str(line.found.n),
        "–" if line.target is None else as_target(line.kpi, line.target),
        _word(line.target_status, lang),
        _word(line.trend, lang),
    ]


def _text(content: ReportContent) -> str:
    lang = content.report.language
    head = f"{content.subject}\n{content.period_title}\n\n"
    if not content.lines:
        return f"{head}{NO_CALLS[lang]}\n"
    rows = [_headings(content), *(_row(line, lang) for line in content.lines)]
    return head + "\n".join("\t".join(row) for row in rows) + f"\n\n{_HINT[lang]}\n"


def _html(content: ReportContent) -> str:
    lang = content.report.language
    parts = [
        f'<!DOCTYPE html><html lang="{"zh-CN" if lang == "zh" else "en"}"><head><meta charset="utf-8"></head>'
        '<body style="font-family:sans-serif;color:#333">',
        f"<h2>{escape(content.subject)}</h2><p>{escape(content.period_title)}</p>",
    ]
    if not content.lines:
        return "".join((*parts, f"<p>{escape(NO_CALLS[lang])}</p></body></html>"))
    for number, chart in enumerate(content.charts):
        name = escape(chart.name)
        parts.append(f'<h4>{name}</h4><img src="cid:chart-{number}" alt="{name}" width="640" height="200">')
    parts.append('<table style="border-collapse:collapse"><tr>')
    parts += [f'<th style="{_STYLE}">{escape(heading)}</th>' for heading in _headings(content)]
    parts.append("</tr>")
    for line in content.lines:
        cells = "".join(f'<td style="{_STYLE}">{escape(cell)}</td>' for cell in _row(line, lang))
        parts.append(f"<tr>{cells}</tr>")
    return "".join((*parts, f"</table><p>{escape(_HINT[lang])}</p></body></html>"))


def _word(name: str, lang: Language) -> str:
    return WORDS[name][0 if lang == "zh" else 1]
