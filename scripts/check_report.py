"""Opens a page of `segvol eval --report` or `segvol cohort summary --html` in headless Chromium, and fails if it is not what
docs/evaluation.md promises.

Usage: check_report.py PAGE.html [--screenshots DIR]

Needs the package `playwright` (pip install playwright) and a Chromium: that of CHROMIUM, one in PATH (chromium, chromium-headless-shell,
google-chrome), or playwright's own (playwright install chromium-headless-shell). Exit code 4: no browser; nothing was checked.

At 390 and 1280 pixels, light and dark: nothing is requested but the page itself, nothing is logged, nothing is wider than the window,
tables, plots and pictures are visible, and text has a contrast of at least 4.5 with what is behind it.
"""

import argparse
import sys
from pathlib import Path

from browser import COLOURS, chromium, unavailable

WIDTHS = (390, 1280)
CONTRAST = 4.5

FACTS = ("""() => {
  const shown = element => { const box = element.getBoundingClientRect(); return box.width > 0 && box.height > 0; };
""" + COLOURS + """  const faint = [];
  for (const element of document.querySelectorAll('h1, h2, h3, h4, p, li, th, td, dt, dd, a, figcaption, text, code')) {
    if (!shown(element) || !element.textContent.trim()) continue;
    const style = getComputedStyle(element);
    const [a, b] = [rgba(element.tagName === 'text' ? style.fill : style.color), ground(element)].map(luminance);
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < CONTRAST) faint.push(`${element.tagName} "${element.textContent.trim().slice(0, 40)}": ${contrast.toFixed(2)}`);
  }
  const wide = [...document.querySelectorAll('body *')].filter(element => shown(element) && !element.closest('.scroll > *')
    && element.getBoundingClientRect().right > document.documentElement.clientWidth + 1).map(element => element.outerHTML.slice(0, 80));
  const all = selector => [...document.querySelectorAll(selector)];
  return {
    title: document.title,
    scroll: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    wide, faint,
    scripts: all('script, iframe, object, embed, link:not([rel=icon])').length,
    tables: all('table').filter(shown).length,
    plots: all('svg').length, plotsShown: all('svg').filter(shown).length, plotTitles: all('svg > title').length,
    pictures: all('img').length,
    picturesDrawn: all('img').filter(image => image.complete && image.naturalWidth > 0 && image.alt).length,
  };
}""").replace("CONTRAST", str(CONTRAST))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("page", type=Path)
    parser.add_argument("--screenshots", type=Path)
    arguments = parser.parse_args()
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        unavailable("playwright is not installed (pip install playwright)")
    address = arguments.page.resolve(strict=True).as_uri()
    problems = []
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        except Error as error:
            unavailable(f"no Chromium starts: {str(error).splitlines()[0]}; CHROMIUM names one")
        for scheme in ("light", "dark"):
            for width in WIDTHS:
                about = f"{scheme}, {width} pixels"
                page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
                requests, messages = [], []
                page.on("request", lambda request: requests.append(request.url))
                page.on("console", lambda message: messages.append(message.text))
                page.on("pageerror", lambda error: messages.append(str(error)))
                page.goto(address, wait_until="load")
                page.wait_for_timeout(200)
                # Everything is looked at, also what is folded up at first.
                if arguments.screenshots:
                    arguments.screenshots.mkdir(parents=True, exist_ok=True)
                    page.screenshot(path=arguments.screenshots / f"{scheme}-{width}.png", full_page=True)
                page.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
                facts = page.evaluate(FACTS)
                others = [url for url in requests if url != address and not url.startswith("data:")]
                expected = [
                    (not others, f"requests: {others}"),
                    (not messages, f"messages: {messages}"),
                    (facts["scroll"] <= 0, f"the page is {facts['scroll']} pixels wider than the window"),
                    (not facts["wide"], f"wider than the window: {facts['wide'][:3]}"),
                    (not facts["faint"], f"contrast below {CONTRAST}: {facts['faint'][:5]}"),
                    (facts["scripts"] == 0, f"{facts['scripts']} elements that load or run something"),
                    (facts["tables"] > 0, "no table is visible"),
                    (facts["plotsShown"] == facts["plots"] == facts["plotTitles"], f"plots: {facts}"),
                    (facts["picturesDrawn"] == facts["pictures"], f"pictures: {facts}"),
                    (facts["title"] != "", "no title"),
                ]
                problems += [f"{about}: {problem}" for holds, problem in expected if not holds]
                counts = f"{facts['tables']} tables, {facts['plots']} plots, {facts['pictures']} pictures, {len(others)} requests"
                print(f"{about}: {counts}")
                page.close()
        browser.close()
    for problem in problems:
        print(f"FAILED  {problem}", file=sys.stderr)
    sys.exit(1 if problems else 0)


main()
