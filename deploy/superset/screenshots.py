"""Open every dashboard in Chromium, take its picture, and say which charts failed or were empty.

    python screenshots.py --url http://127.0.0.1:8088 --user admin --password-file FILE --out docs/superset

Needs Playwright (`pip install playwright`) and a Chromium (`apt-get install chromium`). The queries are those that the
browser sends, so what is checked is what people see. Ends with 1 when a chart shows an error or nothing.
"""

import argparse
import json
import sys
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, Response, sync_playwright

DASHBOARDS = ("overview", "agent", "compliance", "demands", "operations")
WIDTH = 1_600
HEIGHT = 2_400
"""Tall enough for each dashboard: charts outside of the window are not drawn."""


class Answers:
    """What came back for the charts of a page."""

    def __init__(self) -> None:
        self.seen = 0
        self.problems: list[str] = []

    def take(self, response: Response) -> None:
        """Note an answer to a chart; others are nobody's business."""
        if "/api/v1/chart/data" not in response.url:
            return
        self.seen += 1
        try:
            found = response.json()
        except Exception as error:
            self.problems.append(f"HTTP {response.status}: {type(error).__name__}")
            return
        request = json.loads(response.request.post_data or "{}")
        name = f"chart {request.get('form_data', {}).get('slice_id')}"
        if response.status >= 400:
            self.problems.append(f"{name}: HTTP {response.status}: {json.dumps(found, ensure_ascii=False)[:300]}")
            return
        for result in found["result"]:
            if result.get("error") or not result.get("rowcount"):
                self.problems.append(f"{name}: {result.get('error') or 'no rows'}")
            if result.get("rejected_filters"):
                self.problems.append(f"{name}: filter rejected: {result['rejected_filters']}")


def picture(page: Page, url: str, name: str, out: Path) -> Answers:
    """Open one dashboard and wait until no chart is loading."""
    answers = Answers()
    page.on("response", answers.take)
    page.goto(f"{url}/superset/dashboard/callstream-{name}/?standalone=2", wait_until="domcontentloaded")
    page.wait_for_selector("[data-test='grid-content']", timeout=60_000)
    page.wait_for_timeout(3_000)
    page.wait_for_function("!document.querySelector('[data-test=\"loading-indicator\"], .loading')", timeout=120_000)
    page.wait_for_timeout(2_500)
    for text in page.locator(".ant-alert-error, [data-test='chart-error']").all_inner_texts():
        answers.problems.append(f"shown: {text[:200]}")
    height = page.evaluate("document.querySelector('[data-test=\"grid-content\"]').getBoundingClientRect().bottom")
    clip = {"x": 0, "y": 0, "width": WIDTH, "height": min(HEIGHT, height)}
    with Image.open(BytesIO(page.screenshot(clip=clip))) as picture_of_page:
        picture_of_page.convert("RGB").quantize(256).save(out / f"{name}.png", optimize=True)
    page.remove_listener("response", answers.take)
    return answers


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8088")
    parser.add_argument("--user", default="admin")
    parser.add_argument("--password-file", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    failed = False
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
        browser = playwright.chromium.launch(
            executable_path=options.chromium, args=[*flags, "--disable-sync", "--disable-quic"]
        )
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(f"{options.url}/login/")
        page.fill("input[name='username'], [data-test='username-input']", options.user)
        page.fill("input[name='password'], [data-test='password-input']", options.password_file.read_text().strip())
        page.click("button[type='submit'], [data-test='login-button'], input[type='submit']")
        page.wait_for_url(lambda url: "/login" not in url, timeout=30_000)
        for name in DASHBOARDS:
            answers = picture(page, options.url, name, options.out)
            size_kb = (options.out / f"{name}.png").stat().st_size // 1000
            sys.stdout.write(f"{name}: {answers.seen} answers, {len(answers.problems)} problems, {size_kb} kB\n")
            for problem in answers.problems:
                sys.stdout.write(f"  {problem}\n")
            failed = failed or bool(answers.problems) or not answers.seen
        browser.close()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
