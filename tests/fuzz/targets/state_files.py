"""What vfioctl keeps: the first line names a file, the rest is what stands in it.

Nobody but root writes these; but a disk may fail, and another release or an editor may have been there.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tests.fuzz.stage import quiet, sample
from vfioctl.apply.inflight import await_end, is_under_way
from vfioctl.apply.journal import read_unfinished
from vfioctl.apply.lock import at_work
from vfioctl.apply.records import read_records
from vfioctl.model.drivers import DriverCatalog
from vfioctl.model.situation import Situation
from vfioctl.plan.drift import find_conflicts, find_drift
from vfioctl.plan.recover import plan_recover
from vfioctl.plugin.claims import Ledger
from vfioctl.plugin.cordons import load_cordons
from vfioctl.plugin.reservations import Kept, Reservations, load
from vfioctl.sysfs.persisted import read_persisted
from vfioctl.sysfs.root import HostRoot

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fuzz.target import Run

BOOT = "b"
WORDS = (
    *(
        '"schema": 2',
        "null",
        "[]",
        "{}",
        "1e999",
        "NaN",
        "-1",
        '"\\ud800"',
        "[" * 200,
        '"0000:02:00.0"',
        "true",
    ),
    *(
        "= 1",
        "journal\n",
        "records\n",
        "claims\n",
        "cordons\n",
        "stored\n",
        "split\n",
        "mediated\n",
        "writers\n",
    ),
)
PLACES = {
    "stored": "etc/vfioctl/devices.d/0000:02:00.0.toml",
    "split": "etc/vfioctl/sriov.d/0000:02:00.0.toml",
    "mediated": "etc/vfioctl/mdevs.d/83b8f4f2-509f-382f-3c1e-e6bfe0fa1001.toml",
    "rules": "etc/udev/rules.d/40-vfioctl.rules",
    "modprobe": "etc/modprobe.d/vfio.conf",
}
_CATALOG = DriverCatalog(
    registered=frozenset({"vfio-pci", "nvme"}),
    loaded=(),
    present=frozenset({"vfio_pci"}),
    loadable=None,
    vfio_aliases=(),
)


def prepare(place: Path) -> Run:
    """Read each file as the command does that needs it."""
    quiet()
    state, root = str(place), place / "root"
    for path in PLACES.values():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
    readers = _readers(state, root)

    def run(data: bytes) -> None:
        head, _, content = data.partition(b"\n")
        path, read = readers.get(head.decode("ascii", "replace")) or readers["journal"]
        with open(f"{state}/{path}", "wb") as file:
            file.write(content)
        try:
            read()
        finally:
            os.unlink(f"{state}/{path}")

    return run


def _readers(state: str, root: Path) -> dict[str, tuple[str, Callable[[], object]]]:
    """Return for each word the file below the place, and what reads it."""
    host = sample()

    def journal() -> None:
        unfinished = read_unfinished(state)
        if unfinished is not None:
            for finish in (False, True):
                plan_recover(host, _CATALOG, unfinished, Situation(BOOT), finish=finish)

    def claims() -> None:
        try:
            kept = load(f"{state}/claims", BOOT, 1.0)
        except ValueError:  # What it says of a damaged file; the plugin then starts without.
            return
        Reservations(f"{state}/claims", BOOT).keep(Ledger(1.0), kept.ledger)
        assert load(f"{state}/claims", BOOT, 1.0) == Kept(kept.ledger)

    def writers() -> None:
        is_under_way(state)
        await_end(state, 0.0)

    def persisted() -> None:
        found = read_persisted(HostRoot(str(root)))
        list(find_drift(host, found))
        list(find_conflicts(host, found))

    return {
        "journal": ("journal", journal),
        "records": ("drivers.json", lambda: read_records(state, BOOT)),
        "claims": ("claims", claims),
        "cordons": ("cordons", lambda: load_cordons(f"{state}/cordons")),
        "lock": ("lock", lambda: at_work(state)),
        "writers": ("writers", writers),
        **{name: (f"root/{path}", persisted) for name, path in PLACES.items()},
    }
