"""A page as a browser lays it out: how wide it is, and whether its pictures are there."""

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
# Frames have the width of a screen, so that the page's rules for narrow screens apply; the page itself allows no script.
MEASURE = """<!doctype html><pre id="measured"></pre>{frames}<script>
addEventListener("load", () => {{
  const measured = [...document.querySelectorAll("iframe")].map((frame) => {{
    const page = frame.contentDocument, limit = page.documentElement.clientWidth;
    const scrolls = (element) => {{
      for (let parent = element; parent; parent = parent.parentElement)
        if (["auto", "scroll", "hidden"].includes(frame.contentWindow.getComputedStyle(parent).overflowX)) return true;
      return false;
    }};
    const wide = [...page.body.querySelectorAll("*")].filter(
      (element) => {{
        const place = element.getBoundingClientRect();
        const inside = element.namespaceURI.endsWith("xhtml") ? element.scrollWidth : 0;  // of a drawing it says nothing
        return Math.max(place.right, place.left + inside) > limit + 1 && !scrolls(element);
      }});
    const strayed = [...page.querySelectorAll("figure:has(> img):has(> svg)")].filter((figure) => {{
      const [image, drawing] = ["img", "svg"].map((name) => figure.querySelector(name).getBoundingClientRect());
      return ["left", "top", "right", "bottom"].some((side) => Math.abs(image[side] - drawing[side]) > 1);
    }});
    return {{
      strayed: strayed.length, width: frame.clientWidth, content: page.documentElement.scrollWidth,
      wide: wide.slice(0, 5).map((element) => element.outerHTML.slice(0, 80)),
      pictures: page.images.length, missing: [...page.images].filter((image) => !image.naturalWidth).map((image) => image.alt),
    }};
  }});
  document.getElementById("measured").textContent = JSON.stringify(measured);
}});
</script>"""


def measured(page: Path, widths: tuple[int, ...]) -> list[dict]:
    """What a headless Chromium says of a page on screens of some widths, or a skip that says that there is none."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip(f"no browser to look at the page: none of {', '.join(NAMES)} is installed")
    style = "border: 0; width: {}px; height: 900px"
    frames = "".join(f'<iframe src="{page.name}" style="{style.format(width)}"></iframe>' for width in widths)
    wrapper = page.with_name("measure.html")
    wrapper.write_text(MEASURE.format(frames=frames))
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--window-size=1600,2000"]
    profile = f"--user-data-dir={page.with_name('profile')}"
    command = [program, *options, profile, "--virtual-time-budget=8000", "--dump-dom", wrapper.as_uri()]
    text = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    found = re.search(r'<pre id="measured">(.+?)</pre>', text)
    assert found is not None, text[-2000:]
    return json.loads(unescape(found[1]))
