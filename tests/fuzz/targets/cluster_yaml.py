"""YAML of a cluster and specifications of CDI: whatever kubectl or another program left there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fuzz.stage import check_visible, sample
from vfioctl.cli.kubevirt_targets import knowledge, permitted
from vfioctl.export.cdi import spec_text, why_stale
from vfioctl.export.cdi_files import FILE_NAME, read_stored
from vfioctl.export.kubevirt_check import check
from vfioctl.export.kubevirt_source import is_known
from vfioctl.export.machine_source import machine_of
from vfioctl.export.yaml_source import read_yaml
from vfioctl.export.yaml_text import yaml_text
from vfioctl.plugin.config import parse
from vfioctl.plugin.sight import Sight
from vfioctl.render.text import visible

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fuzz.target import Run

CONFIG = '[[resource]]\nname = "a.io/gpu"\nkind = "pci"\nselect = ["class:gpu"]\n'
WORDS = (
    *(
        "&a ",
        "*a",
        "<<: ",
        "!!",
        "!!timestamp ",
        "- ",
        ": ",
        "? ",
        "|\n",
        "{",
        "[",
        "---\n",
        "...\n",
        "\t",
        "%YAML 9.9\n",
    ),
    *(
        "!!set ",
        "!!omap ",
        "!!float ",
        "!!int ",
        "_",
        "0x",
        "0b",
        "9" * 30,
        "2001-99-99",
        "1e400",
        "\ufeff",
        "null",
    ),
)


def prepare(place: Path) -> Run:
    """Check documents against a host and a configuration."""
    host, sight, path = sample(), Sight(usb=()), place / FILE_NAME
    offered, _ = permitted(host, parse(CONFIG), sight)
    known = knowledge(host, offered, sight)

    def run(data: bytes) -> None:
        path.write_bytes(data)
        stored = read_stored(str(place))
        assert stored is not None
        for device in stored.devices:
            why_stale(host, device)
        spec_text(stored.devices)
        documents = read_yaml(data, "a file")
        for problem in check(documents, known):
            check_visible(visible(problem.message))
        for document in documents:
            is_known(document)
            if (machine := machine_of(document)) is not None:
                yaml_text([{"memory": machine.memory, "cpus": machine.cpus, "page": machine.page}])

    return run
