"""Translates a report's headings, labels and sentences to Korean, in its HTML, by korean.toml.

The shop's own words stay: the elements below are translated, and table cells and figures only by the file's part
`cells`. A sentence that the file lacks stays English; tests/integration/test_report.py finds it.
"""

import html
import re
import tomllib
from functools import cache
from importlib.resources import files

PROSE = re.compile(r"(<(?:title|h1|h2|dt|figcaption|caption|th|p|footer)\b[^>]*>)([^<]+)(?=<)")
CELL = re.compile(r"(<(?:td|dd|text|tspan)\b[^>]*>)([^<]+)(?=<)")


def page(english: str) -> str:
    """Return the HTML of a page with its headings, labels and sentences in Korean."""
    cells = _texts()["cells"]
    english = english.replace('<html lang="en">', '<html lang="ko">', 1)
    english = PROSE.sub(lambda m: m[1] + html.escape(sentence(html.unescape(m[2]))), english)
    return CELL.sub(
        lambda m: m[1] + (html.escape(cells[text]) if (text := html.unescape(m[2])) in cells else m[2]), english
    )


def sentence(english: str) -> str:
    """Return a text in Korean; an unknown one stays as it is."""
    sentences = _texts()["sentences"]
    if english in sentences:
        return sentences[english]
    for pattern, korean in _patterns():
        if found := pattern.fullmatch(english):
            return korean.format(*(sentence(part) for part in found.groups()))
    return english


@cache
def _texts() -> dict[str, dict[str, str]]:
    return tomllib.loads(files("aisle.reports").joinpath("korean.toml").read_text(encoding="utf-8"))


@cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    """Return the texts with placeholders, the longest and most specific first."""
    return [
        (re.compile("(.+?)".join(map(re.escape, english.split("{}"))), re.DOTALL), korean)
        for english, korean in sorted(_texts()["sentences"].items(), key=lambda pair: -len(pair[0]))
        if "{}" in english
    ]
