"""What dry runs show on the sample hosts, as it was read and found right; `pytest --regen` writes it anew."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Ask
    from tests.golden_files import GoldenFiles

DRY_RUNS = {
    "bind-nic": ("sample", 0, ["bind", "05:00.1"]),
    "bind-display-with-sound": ("sample", 4, ["bind", "01:00.0"]),
    "bind-display-forced": ("sample", 0, ["bind", "--force", "console", "01:00"]),
    "bind-root-disk": ("sample", 4, ["bind", "03:00.0"]),
    "bind-zfs-disk": ("sample", 4, ["bind", "block:sda"]),
    "bind-default-route": ("sample", 4, ["bind", "net:enp4s0"]),
    "bind-all-nics": ("sample", 5, ["bind", "--all", "class:nic"]),
    "bind-behind-shpchp": ("sample", 4, ["bind", "07:04.0"]),
    "bind-release-shpchp": ("sample", 0, ["bind", "--release-shpchp", "07:04.0"]),
    "bind-device-only": ("sample", 0, ["bind", "--device-only", "07:05.0"]),
    "bind-board-function": ("sample", 5, ["bind", "00:1f.4"]),
    "bind-bridge": ("sample", 5, ["bind", "00:01.0"]),
    "bind-already": ("sample", 0, ["bind", "05:02.2"]),
    "bind-owner": ("sample", 0, ["bind", "--owner", "64055:104", "--mode", "0660", "05:02.3"]),
    "bind-vfs": ("sample", 0, ["bind", "vfs-of:05:00.0#0-3"]),
    "bind-to-another-driver": ("sample", 0, ["bind", "--driver", "igb", "05:00.1"]),
    "bind-no-iommu": ("laptop", 5, ["bind", "00:02.0"]),
    "bind-without-root": ("nonroot", 4, ["bind", "19:00.0"]),
    "unbind-in-use": ("sample", 4, ["unbind", "02:00.0"]),
    "unbind-kernel-decides": ("sample", 0, ["unbind", "05:02.2"]),
    "unbind-to-driver": ("sample", 0, ["unbind", "--driver", "iavf", "05:02.2"]),
    "unbind-already": ("sample", 0, ["unbind", "05:00.1"]),
}


@pytest.mark.parametrize("name", DRY_RUNS)
def test_a_dry_run(name: str, ask: Ask, golden: GoldenFiles) -> None:
    """The screen of 100 columns, and the document; both end as the real run would."""
    host, code, (command, *rest) = DRY_RUNS[name]

    screen = ask(command, "-n", "-o", "table", "--no-color", *rest, host=host)
    document = ask(command, "-n", "--json", *rest, host=host)

    assert (screen.code, document.code) == (code, code)
    assert json.loads(document.out)["exit_code"] == code
    golden.check(f"plan/{name}.txt", screen.out)
    golden.check(f"plan/{name}.json", document.out)


@pytest.mark.parametrize("name", DRY_RUNS)
def test_it_fits_its_terminal(name: str, ask: Ask) -> None:
    """No line is wider than 80 columns, except what is there to be copied."""
    host, _, (command, *rest) = DRY_RUNS[name]

    screen = ask(command, "-n", "-o", "table", "--no-color", *rest, host=host, width=80)

    wide = [line for line in screen.out.splitlines() if len(line) > 80 and not line.startswith("  ")]
    assert wide == []


@pytest.mark.parametrize("name", ["bind-root-disk", "bind-bridge", "unbind-in-use"])
def test_what_is_refused_is_said_on_stderr_for_a_script(name: str, ask: Ask, golden: GoldenFiles) -> None:
    """The same two parts that the real run says."""
    host, _, (command, *rest) = DRY_RUNS[name]

    golden.check(f"plan/{name}.stderr.txt", ask(command, "-n", "--json", *rest, host=host).err)
