"""The pieces of a page that stands alone: one HTML file, without a script and without anything to load."""

import base64
import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path


def page(title: str, body: str) -> str:
    """A whole document; its policy forbids the browser to load anything that is not embedded."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def table(heads: Sequence[str], groups: Iterable[tuple[str, Sequence[Sequence[str]]]], css_class: str = "") -> str:
    """A table that turns into cards on a narrow screen.

    Args:
        heads: of the columns, text.
        groups: a heading over all columns (HTML; none if empty) and the rows below it, each cell HTML.
        css_class: of the table: `scores` for numbers of which some are grey, `words` for text.
    """
    body = "".join(
        "<tbody>"
        + (f'<tr class="group"><th colspan="{len(heads)}">{heading}</th></tr>' if heading else "")
        + "".join(_row(heads, cells) for cells in rows)
        + "</tbody>"
        for heading, rows in groups
    )
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    return f'<table class="{css_class}"><thead><tr>{head}</tr></thead>{body}</table>'


def picture(file: Path, description: str, caption: str) -> str:
    """A PNG, embedded; where it is wider than the screen it is moved sideways rather than made unreadable.

    Args:
        file: the PNG.
        description: for who cannot see it, text.
        caption: HTML.
    """
    data = base64.b64encode(file.read_bytes()).decode()
    return (
        f'<figure class="picture"><div><img src="data:image/png;base64,{data}" alt="{escape(description)}"></div>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def with_links(text: str) -> str:
    """Text as HTML, its addresses as links."""
    return re.sub(r"https?://[^\s<>&]+", r'<a href="\g<0>">\g<0></a>', escape(text))


def _row(heads: Sequence[str], cells: Sequence[str]) -> str:
    first, *others = cells
    labelled = "".join(f'<td data-label="{escape(head)}">{cell}</td>' for head, cell in zip(heads[1:], others, strict=True))
    return f'<tr><th scope="row">{first}</th>{labelled}</tr>'


_STYLE = """
:root { color-scheme: light; --ink: #1c2330; --quiet: #667085; --faint: #98a2b3; --line: #e4e7ec; --accent: #0a6b4f }
* { box-sizing: border-box }
body { margin: 0; background: #fff; color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", Roboto, Arial, sans-serif }
main { max-width: 1160px; margin: 0 auto; padding: 36px 28px 72px }
h1 { font-size: 28px; line-height: 1.2; margin: 0 0 4px; letter-spacing: -.01em }
h2 { font-size: 21px; margin: 52px 0 0; padding-top: 18px; border-top: 2px solid var(--ink) }
h2 small { font-weight: 400; font-size: 15px; color: var(--quiet); margin-left: 6px }
h3 { font-size: 16px; margin: 30px 0 8px }
h1, h2, h3 { overflow-wrap: anywhere }
p { margin: 6px 0 12px; max-width: 76ch }
.quiet, figcaption { color: var(--quiet); font-size: 14px }
nav a { margin-right: 16px }
a { color: #0b5cad; overflow-wrap: anywhere }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; margin: 8px 0 12px; font-size: 14px }
th, td { text-align: right; padding: 5px 10px; border-bottom: 1px solid var(--line); font-weight: 400; white-space: nowrap }
th:first-child, .words td { text-align: left }
th:first-child { padding-left: 0; white-space: normal; overflow-wrap: anywhere }
thead th { color: var(--quiet); font-size: 13px; border-bottom-color: var(--faint) }
.words thead th { text-align: left }
.words td { white-space: normal }
.group th { font-weight: 600; padding-top: 20px }
.group small { font-weight: 400; color: var(--quiet); margin-left: 6px }
.scores td:nth-child(2) { font-weight: 600 }
.scores small { color: var(--quiet) }
.scores .yes { color: var(--accent); font-weight: 600 }
.scores tr:has(.no) > * { color: var(--quiet); font-weight: 400 }
.scores th:nth-child(4), .scores td:nth-child(4) { text-align: center }
.range { width: 132px; height: 14px; vertical-align: middle }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(320px, 100%), 1fr)); gap: 24px 28px }
figure { margin: 0 }
.chart figcaption { color: var(--ink); font-weight: 600; margin-bottom: 4px; overflow-wrap: anywhere }
.chart > svg { display: block; width: 100%; height: auto; overflow: visible }
.chart text { font-size: 11.5px; fill: var(--quiet); font-variant-numeric: tabular-nums }
.grid { stroke: var(--line); stroke-width: 1 }
.legend { font-size: 13px; color: var(--quiet); margin: 4px 0 0; line-height: 1.55 }
.legend span { margin-right: 12px; display: inline-block; max-width: 100%; overflow-wrap: anywhere }
.legend b { color: var(--ink); font-weight: 600; font-variant-numeric: tabular-nums }
.legend svg { width: 18px; height: 8px; margin-right: 5px; vertical-align: middle }
.picture div { overflow-x: auto; width: fit-content; max-width: 100%; border: 1px solid var(--line); border-radius: 4px }
.picture img { display: block; max-width: 100%; min-width: min(100%, 720px) }
.picture figcaption { margin-top: 6px; max-width: 90ch; white-space: pre-line }
.key { white-space: nowrap; margin-right: 10px }
.key i { display: inline-block; width: 12px; height: 12px; border: 3px solid; vertical-align: -1px; margin-right: 4px }
.figures { display: flex; flex-wrap: wrap; gap: 10px 36px; margin: 8px 0 }
.figures div { color: var(--quiet); font-size: 13px }
.figures b { display: block; color: var(--ink); font-size: 20px; font-weight: 600; font-variant-numeric: tabular-nums }
details { margin: 8px 0 } summary { cursor: pointer; color: #0b5cad }
pre { font: 12.5px/1.5 ui-monospace, Menlo, Consolas, monospace; background: #f7f8fa; padding: 12px; overflow-x: auto }
@media (max-width: 720px) {
  main { padding: 22px 16px 48px }
  h1 { font-size: 24px }
  table, tbody { display: block }
  thead { display: none }
  tr { display: grid; grid-template-columns: repeat(3, 1fr); gap: 2px 10px; padding: 9px 0; border-bottom: 1px solid var(--line) }
  .words tr { grid-template-columns: repeat(2, 1fr) }
  th, td, .scores td:nth-child(4) { display: block; padding: 0; border: 0; text-align: left }
  th, td { white-space: normal; overflow-wrap: anywhere }
  tr > th { grid-column: 1 / -1; font-weight: 600 }
  .group th { padding-top: 14px; font-size: 16px }
  td[data-label]:not(:empty)::before {
    content: attr(data-label); display: block; font-size: 12px; font-weight: 400; line-height: 1.3; color: var(--quiet)
  }
  .range { width: 100%; max-width: 108px }
  .picture img { max-width: none; min-width: 720px }
}
"""
