"""Hypothesis strategies: any recorded tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st

from vfioctl.sysfs.entries import Denied, Directory, Entry, File, Link, complete

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy

# Any name that a UTF-8 file system takes, awkward ones on purpose.
_NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=12).filter(
    lambda name: name not in {".", ".."}
)
_ERRNOS = st.sampled_from(["EACCES", "EPERM", "EBLOCKED", "EIO"])


@st.composite
def entry_trees(draw: DrawFn, top: str = "") -> tuple[Entry, ...]:
    """Return complete trees of odd names, any bytes, links that stay inside, and the unreadable."""
    folders = [top]
    entries: list[Entry] = [Directory(top)] if top else []
    taken = set()
    for name in draw(st.lists(_NAMES, max_size=12)):
        parent = draw(st.sampled_from(folders))
        path = f"{parent}/{name}"
        if path in taken or len(path.encode()) > 1000:
            continue
        taken.add(path)
        entry = draw(_entry(path))
        entries.append(entry)
        if isinstance(entry, Directory):
            folders.append(path)
    return complete(entries)


def _entry(path: str) -> SearchStrategy[Entry]:
    depth = path.count("/") - 1
    targets = st.builds(
        lambda climb, names: "../" * climb + "/".join(names),
        st.integers(0, depth),
        st.lists(_NAMES, min_size=1, max_size=3),
    )
    return st.one_of(
        st.just(Directory(path)),
        st.binary(max_size=200).map(lambda content: File(path, content)),
        st.text(max_size=40).map(lambda text: File(path, text.encode("utf-8", "replace"))),
        targets.map(lambda target: Link(path, target)),
        _ERRNOS.map(lambda errno: Denied(path, errno)),
    )
