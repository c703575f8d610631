"""Put the distribution's pci.ids into the package, or with --check say whether the packaged copy is sound.

The copy serves hosts without a database of their own. It is made from the file of the package ``pci.ids``
(Debian) or ``hwdata`` (Fedora), unchanged, and compressed so that equal input gives equal bytes.
"""

from __future__ import annotations

import argparse
import gzip
import re
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tools.generated import PROJECT

if TYPE_CHECKING:
    from collections.abc import Sequence

COPY: Final = PROJECT / "vfioctl" / "data" / "pci.ids.gz"
"""Where the package keeps it."""

SOURCES: Final = (Path("/usr/share/misc/pci.ids"), Path("/usr/share/hwdata/pci.ids"))
"""Where distributions keep it."""

_VERSION: Final = re.compile(rb"^#\s*Version:\s*(\d{4}\.\d{2}\.\d{2})$", re.MULTILINE)
_CLASSES: Final = b"\nC 02  "


def main(arguments: Sequence[str] | None = None) -> int:
    """Make or check the copy; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.pci_ids", allow_abbrev=False)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where the copy is damaged")
    parser.add_argument("--source", type=Path, help="the database to copy (default: the distribution's)")
    parser.add_argument("--copy", type=Path, default=COPY, help="the packaged copy")
    options = parser.parse_args(arguments)
    try:
        if options.check:
            content = gzip.decompress(options.copy.read_bytes())
        else:
            content = _source(options.source).read_bytes()
            options.copy.write_bytes(packed(content))
        print(f"{options.copy.name}: version {version(content)}")
    except (OSError, EOFError, ValueError, zlib.error) as error:
        print(f"{options.copy}: {error}", "hint: python -m tools.pci_ids", sep="\n", file=sys.stderr)
        return 1
    return 0


def packed(content: bytes) -> bytes:
    """Compress a database; no time and no name go into the header.

    Raises:
        ValueError: it is no database.

    """
    version(content)
    return gzip.compress(content, compresslevel=9, mtime=0)


def version(content: bytes) -> str:
    """Return the version that a database says it is.

    Raises:
        ValueError: it says none, or it is cut short.

    """
    found = _VERSION.search(content, 0, 4096)
    if found is None:
        raise ValueError("no version in its header")
    # The classes stand at the end.
    if _CLASSES not in content:
        raise ValueError("it ends before its list of classes")
    return found[1].decode()


def _source(given: Path | None) -> Path:
    for path in (given,) if given else SOURCES:
        if path.exists():
            return path
    raise FileNotFoundError("no pci.ids on this system: install the package pci.ids or hwdata")


if __name__ == "__main__":
    sys.exit(main())
