"""A page to look at samples: pictures, their boxes drawn over them, and everything asked. One file, no network."""

import base64
import re
from html import escape
from pathlib import Path
from typing import Any

from triscope.data.boxes import BoxSpace
from triscope.data.folder import write_whole
from triscope.data.sample import MARKER, Conversation, Sample
from triscope.data.shards import ShardSet

COLORS = ("#d1495b", "#00798c", "#b5830f", "#5a3d8a", "#3d7a3d", "#a0522d", "#1f5fa8", "#8a2f6b")
MEDIA_TYPES = {"jpg": "jpeg", "jpeg": "jpeg", "png": "png", "webp": "webp"}

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ margin: 0 auto; max-width: 1200px; padding: 24px; font: 15px/1.5 system-ui, sans-serif; color: #222;
  background: #f5f5f3 }}
h1 {{ font-size: 20px; margin: 0 }}
.summary {{ color: #666; margin: 0 0 24px }}
article {{ display: grid; grid-template-columns: minmax(0, 5fr) minmax(0, 6fr); gap: 24px; margin-bottom: 20px;
  padding: 20px; background: #fff; border: 1px solid #e2e2de; border-radius: 8px }}
h2 {{ grid-column: 1 / -1; font-size: 14px; margin: 0; font-weight: 600 }}
h2 span, figcaption, .task {{ color: #777; font-weight: 400; font-size: 12px }}
figure {{ position: relative; margin: 0 0 12px }}
figure > div {{ position: relative }}
img {{ display: block; width: 100%; border-radius: 4px }}
svg {{ position: absolute; inset: 0; width: 100%; height: 100% }}
rect {{ fill: none; stroke-width: 2; vector-effect: non-scaling-stroke }}
svg text {{ font-weight: 700; paint-order: stroke; stroke: #fff }}
.several {{ display: grid; grid-template-columns: 1fr 1fr; gap: 8px; align-content: start }}
dl {{ max-height: 220px; overflow-y: auto; margin: 12px 0 0; font-size: 12px; color: #555 }}
dt {{ float: left; clear: left; margin-right: 6px; color: #777 }}
dd {{ margin: 0 0 2px; overflow-wrap: anywhere }}
dd dl {{ max-height: none; margin: 0; padding-left: 12px; clear: left }}
.asked {{ max-height: 640px; overflow-y: auto }}
.asked p {{ margin: 0 0 2px }}
.asked > div {{ padding: 8px 0; border-top: 1px solid #eee }}
.asked > div:first-child {{ border: 0; padding-top: 0 }}
.answer {{ font-weight: 600 }}
.others {{ color: #777 }}
.marker {{ color: #fff; padding: 0 6px; border-radius: 8px; font-size: 12px; font-weight: 600 }}
@media (max-width: 800px) {{ article {{ grid-template-columns: 1fr }} .asked {{ max-height: none }} }}
</style>
<h1>{title}</h1>
<p class="summary">{summary}</p>
{samples}
</html>
"""


def preview(folder: Path, out: Path, count: int = 24) -> int:
    """Write the page.

    Args:
        folder: of the shards.
        out: the page to write.
        count: samples to show, spread evenly over the set.

    Returns:
        how many samples are shown.

    Raises:
        BadShardError, BadSampleError: the set is not in order; `lint` says all that is wrong.
    """
    shards = ShardSet.open(folder)
    shown = min(count, len(shards))
    wanted = {number * len(shards) // shown for number in range(shown)}
    articles, first = [], 0
    for number, shard in enumerate(shards.shards):
        numbers = [position - first for position in sorted(wanted) if first <= position < first + shard.samples]
        articles += [_article(*raw.parse()) for raw in shards.read(number, numbers)]
        first += shard.samples
    title = escape(folder.resolve().name)
    summary = f"{shown} of {len(shards)} samples, {shards.counts.images} images in all"
    write_whole(out, PAGE.format(title=title, summary=summary, samples="\n".join(articles)))
    return shown


def _article(sample: Sample, images: list[bytes]) -> str:
    figures = "".join(_figure(sample, index, content) for index, content in enumerate(images))
    asked = "".join(_conversation(conversation) for conversation in sample.conversations)
    heading = f"<h2>{escape(sample.key)} <span>{escape(sample.source)}</span></h2>"
    shown = '<div class="several">' if len(images) > 1 else "<div>"
    return f'<article>{heading}{shown}{figures}</div><div class="asked">{asked}{_extra(sample.extra)}</div></article>'


def _figure(sample: Sample, index: int, content: bytes) -> str:
    image = sample.images[index]
    media = MEDIA_TYPES[image.file.rpartition(".")[2]]
    source = f"data:image/{media};base64,{base64.b64encode(content).decode()}"
    boxes = "".join(_box(sample, number) for number, region in enumerate(sample.regions, start=1) if region.image == index)
    tags = ", ".join(f"{tag.name} {tag.score:.2f}" for tag in image.tags)
    caption = escape(f"image {index + 1}, {image.width}x{image.height}" + (f"; tags: {tags}" if tags else ""))
    return (
        f'<figure><div><img alt="{caption}" src="{source}">'
        f'<svg viewBox="0 0 {image.width} {image.height}">{boxes}</svg></div>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _box(sample: Sample, number: int) -> str:
    region = sample.regions[number - 1]
    image = sample.images[region.image]
    box = region.box.to(BoxSpace.PIXELS, image.width, image.height)
    color, size = _color(number), image.width / 36
    return (
        f'<rect x="{box.x1:.1f}" y="{box.y1:.1f}" width="{box.x2 - box.x1:.1f}" height="{box.y2 - box.y1:.1f}" '
        f'stroke="{color}"><title>region {number}</title></rect>'
        f'<text x="{box.x1 + size / 4:.1f}" y="{box.y1 + size:.1f}" font-size="{size:.1f}" '
        f'stroke-width="{size / 6:.1f}" fill="{color}">{number}</text>'
    )


def _conversation(conversation: Conversation) -> str:
    lines = [f'<p class="task">{escape(conversation.task)}, {conversation.level} level</p>']
    for turn in conversation.turns:
        lines.append(f"<p>{_marked(turn.prompt)}</p>")
        lines.append(f'<p class="answer">{_marked(turn.answers[0])}</p>')
        lines += [f'<p class="others">{_marked(answer)}</p>' for answer in dict.fromkeys(turn.answers[1:])]
        if turn.candidates:
            lines.append(f'<p class="task">one of: {escape(", ".join(turn.candidates))}</p>')
    return f"<div>{''.join(lines)}</div>"


def _extra(content: Any) -> str:
    """What a sample holds besides, such as what it was made from: objects within objects as lists within lists."""
    if isinstance(content, list) and any(isinstance(value, dict | list) for value in content):
        content = dict(enumerate(content, start=1))
    if not isinstance(content, dict):
        return escape(str(content))
    entries = "".join(f"<dt>{escape(str(name))}</dt><dd>{_extra(value)}</dd>" for name, value in content.items())
    return f"<dl>{entries}</dl>" if entries else ""


def _marked(text: str) -> str:
    """The text with its markers as labels in the colors of their boxes."""
    return re.sub(MARKER.pattern.replace("<", "&lt;").replace(">", "&gt;"), _label, escape(text))


def _label(marker: re.Match[str]) -> str:
    color = _color(int(marker[2])) if marker[1] == "region" else "#444"
    return f'<span class="marker" style="background:{color}">{marker[1]} {marker[2]}</span>'


def _color(number: int) -> str:
    return COLORS[(number - 1) % len(COLORS)]
