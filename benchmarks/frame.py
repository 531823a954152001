"""What the pictures share: the page, its letters and lines, and colours for day and night."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

WIDTH: Final = 960
_COLOURS: Final = {
    "page": ("#ffffff", "#12171e"),
    "ink": ("#1b2430", "#e4eaf2"),
    "soft": ("#566273", "#a2afbf"),
    "edge": ("#dbe2ea", "#2c3744"),
}
BLUE: Final = ("#1f6feb", "#6cb0ff")
BROWN: Final = ("#9a5b00", "#e3a44a")
GREEN: Final = ("#1a7f37", "#57c271")
ORANGE: Final = ("#b35900", "#e3a44a")
PINK: Final = ("#bf3989", "#f778ba")
VIOLET: Final = ("#8250df", "#b490f5")


def framed(
    parts: Sequence[str],
    height: float,
    *,
    title: str,
    description: str,
    colours: Mapping[str, tuple[str, str]],
    rules: Sequence[str],
) -> str:
    """Return a picture of `WIDTH` and a height, from its parts.

    Classes for parts: `name`, `small`, `middle`, `end` of texts, `grid` of lines.

    Args:
        parts: Elements of SVG.
        height: In pixels, as all measures are.
        title: What is shown, for those who do not see it.
        description: What can be read from it.
        colours: More of them, each by day and by night; `var(--name)` in a rule is one.
        rules: More rules of style.
    """
    named = {**_COLOURS, **colours}
    day, night = (
        "; ".join(f"--{name}: {both[which]}" for name, both in named.items()) for which in (0, 1)
    )
    return _FRAME.format(
        width=WIDTH,
        height=height,
        title=escape(title),
        description=escape(description),
        day=day,
        night=night,
        rules="".join(f"    {rule}\n" for rule in rules),
        body="\n".join(parts),
    )


_FRAME: Final = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"
     aria-labelledby="title description">
  <title id="title">{title}</title>
  <desc id="description">{description}</desc>
  <style>
    svg {{ color-scheme: light dark; {day} }}
    @media (prefers-color-scheme: dark) {{
      svg {{ {night} }}
    }}
    .page {{ fill: var(--page) }}
    text {{ font: 14px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif;
           fill: var(--ink) }}
    .name {{ font-weight: 600 }}
    .small {{ font-size: 12px; fill: var(--soft) }}
    .middle {{ text-anchor: middle }}
    .end {{ text-anchor: end }}
    .grid {{ stroke: var(--edge); fill: none }}
{rules}  </style>
  <rect class="page" width="{width}" height="{height}" rx="12"/>
{body}
</svg>
"""
