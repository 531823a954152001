"""What MkDocs calls while it builds the site (`make docs`).

Pages outside `docs/` and pages written out of the code become pages of the site; links to files
that are no page lose their link, so that `--strict` has a word for every one that leads nowhere.
"""

import re
from pathlib import Path, PurePosixPath
from typing import Any, Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from docs.site import reference

_REPOSITORY: Final = Path(__file__).parents[2]
_FROM_OUTSIDE: Final = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}
_MADE_OF: Final = {
    "main_api/settings.py": "reference/settings.md",
    "processing_fn/settings.py": "reference/settings.md",
    "layers/core/python/strongroom/limits.py": "reference/limits.md",
    "layers/core/python/strongroom/errors.py": "reference/errors.md",
    "proto/strongroom_pb/v1": "reference/grpc.md",
}
_LINK: Final = re.compile(r"(!?)\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages that do not lie in `docs/`."""
    for source, target in _FROM_OUTSIDE.items():
        text = (_REPOSITORY / source).read_text()
        files.append(File.generated(config, target, content=text))
    for target, text in reference.pages().items():
        files.append(File.generated(config, target, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Page, files: Files, **_: Any) -> str:  # noqa: ANN401 - MkDocs' own
    """Turn links round that lead to what lies elsewhere in the repository."""
    lies = _lies(page.file.src_uri)

    def turned(link: re.Match[str]) -> str:
        image, text, target, anchor = link[1], link[2], link[3], link[4] or ""
        if "://" in target or target.startswith("mailto:"):
            return link[0]
        wanted = _normal(lies.parent / target)
        pages = _FROM_OUTSIDE | _MADE_OF
        found = pages.get(wanted) or wanted.removeprefix("docs/")
        if files.get_file_from_path(found) is None:
            return f"{text} (`{wanted}`)" if text != wanted else f"`{wanted}`"
        up = "../" * page.file.src_uri.count("/")
        return f"{image}[{text}]({up}{found}{anchor})"

    return _LINK.sub(turned, markdown)


def _lies(uri: str) -> PurePosixPath:
    """Return where in the repository a page lies."""
    outside = {target: source for source, target in _FROM_OUTSIDE.items()}
    return PurePosixPath(outside.get(uri) or f"docs/{uri}")


def _normal(path: PurePosixPath) -> str:
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)
