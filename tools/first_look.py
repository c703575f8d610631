"""What `make run` shows: this host's devices and groups, and a sample host's where this one has no IOMMU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

PROGRAM: Final = Path(sys.executable).with_name("vfioctl")
"""The program as installed in this environment."""


def main() -> int:
    """Return the first exit code that is not 0, or 0."""
    codes = [_show("scan"), _show("groups")]
    iommu = _iommu()
    if iommu is not True:
        if iommu is False:
            print("\nThis host has no active IOMMU, so it has no groups and nothing can be passed through.")
        else:
            print("\nWhether this host has an IOMMU could not be read.")
        print("A host that has one is built in: --root sample. It looks like this:")
        codes += [_show("--root", "sample", "scan"), _show("--root", "sample", "groups")]
    return next((code for code in codes if code), 0)


def _show(*arguments: str) -> int:
    """Run one command for the user to see, under the line that would be typed."""
    print(f"\n$ vfioctl {' '.join(arguments)}", flush=True)
    return subprocess.run([PROGRAM, *arguments], check=False).returncode


def _iommu() -> bool | None:
    """Return whether this host has an IOMMU, by its own scan document; None where that is unknown."""
    ended = subprocess.run([PROGRAM, "scan", "--json"], check=False, capture_output=True, text=True)
    if ended.returncode != 0:
        return None
    answer: bool | None = json.loads(ended.stdout)["host"]["iommu"]
    return answer


if __name__ == "__main__":
    sys.exit(main())
