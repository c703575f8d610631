"""Every command line that a reader of README, guides and man pages is told to type."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT: Final = Path(__file__).parents[2]
SHOWN: Final = "$ vfioctl --root sample "
"""What a block begins with that goes on with what is printed; other tests compare that."""

PROGRAMS: Final = (
    "apt", "apt-get", "cp", "docker", "dpkg", "git", "ip", "journalctl", "kubectl", "kubelet", "lintian",
    "ln", "make", "man", "mkdir", "pip", "pipx", "podman", "python", "python3", "source", "systemctl",
    "vfioctl", "virsh",
)  # fmt: skip
"""What a line that is typed begins with."""

_BEGINS: Final = re.compile(
    rf"(?:sudo )?(?:/opt/vfioctl/bin/)?(?:{'|'.join(map(re.escape, PROGRAMS))})(?: |$)"
)
_ELSEWHERE: Final = re.compile(r"(?:^|\$\(|[|&] |sudo )vfioctl [a-z-]")
_ROFF: Final = {r"\-": "-", r"\(aq": "'", r"\(dq": '"', r"\(ha": "^", r"\(ti": "~", r"\&": "", r"\e": "\\"}


class Typed(NamedTuple):
    """A line, and the page that it stands on."""

    page: str
    line: str

    def __str__(self) -> str:
        return f"{self.page}: {self.line}"


def pages() -> Iterator[Path]:
    """Yield README, what is for contributors, and every guide."""
    yield from (PROJECT / "README.md", PROJECT / "CONTRIBUTING.md")
    yield from sorted((PROJECT / "docs").glob("*.md"))


def blocks(text: str) -> Iterator[list[str]]:
    """Yield the blocks of a page in Markdown, indented or fenced, line by line."""
    block: list[str] = []
    fenced = False
    for line in [*text.splitlines(), "end"]:
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            block.append(line.strip() if not fenced else line)
            continue
        if block:
            yield block
            block = []


def typed_on(page: Path) -> Iterator[Typed]:
    """Yield what a page in Markdown tells to type, without what is remarked beside it."""
    for block in blocks(page.read_text(encoding="utf-8")):
        if block[0].startswith(SHOWN):
            yield Typed(page.name, block[0])
            continue
        for line in block:
            if _BEGINS.match(line):
                yield Typed(page.name, re.sub(r"(?: +# .*| {2,}\S.*)$", "", line))


def overlooked(page: Path) -> list[str]:
    """Return lines that have a `vfioctl` to be typed, and that `typed_on` does not give."""
    found = {one.line for one in typed_on(page)}
    lines = (
        line
        for block in blocks(page.read_text(encoding="utf-8"))
        if not block[0].startswith("$ ")
        for line in block
    )
    return [
        line for line in lines if _ELSEWHERE.search(line) and not any(line.startswith(one) for one in found)
    ]


def examples(page: Path) -> Iterator[Typed]:
    """Yield the examples of a man page, as its reader sees them."""
    _, _, text = page.read_text(encoding="utf-8").partition(".SH EXAMPLES\n")
    for found in re.findall(r"^\.RS 4\n\.nf\n(.*?)\n\.fi\n\.RE$", text, re.DOTALL | re.MULTILINE):
        for line in found.splitlines():
            yield Typed(page.name, re.sub(r"\\(?:\(..|.)", lambda one: _ROFF[one.group()], line))


def everything() -> tuple[Typed, ...]:
    """Return all of them, page by page."""
    manual = sorted((PROJECT / "man").glob("*.8"))
    return (
        *(one for page in pages() for one in typed_on(page)),
        *(one for page in manual for one in examples(page)),
    )
