"""Run the program: ``python -m vfioctl``."""

from __future__ import annotations

import sys

from vfioctl.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
