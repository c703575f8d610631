"""What every device in a domain may have: boot order, alias, ROM, ACPI, its place in the guest."""

from __future__ import annotations

from vfioctl.libvirt.address import append_guest, number, read_guest
from vfioctl.libvirt.text import append, on_off, yes_no
from vfioctl.libvirt.values import UNASSIGNED, Info, Rom
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lxml import etree


def append_info(parent: etree._Element, info: Info) -> None:
    """Append what is said, in libvirt's own order."""
    if info.boot is not None:
        append(parent, "boot", order=info.boot)
    if info.alias is not None:
        append(parent, "alias", name=info.alias)
    if info.rom is not None:
        rom = info.rom
        append(parent, "rom", enabled=yes_no(rom.enabled), bar=on_off(rom.bar), file=rom.file)
    if info.acpi_index is not None or info.acpi_nodeset is not None:
        append(parent, "acpi", index=info.acpi_index, nodeset=info.acpi_nodeset)
    append_guest(parent, info.guest)


def read_info(node: etree._Element) -> Info:
    """Read what is said."""
    boot, alias, acpi = node.find("boot"), node.find("alias"), node.find("acpi")
    return Info(
        boot=None if boot is None else number(boot.get("order")),
        alias=None if alias is None else alias.get("name"),
        rom=_read_rom(node.find("rom")),
        acpi_index=None if acpi is None else number(acpi.get("index")),
        acpi_nodeset=None if acpi is None else acpi.get("nodeset"),
        guest=read_guest(node.find("address")),
    )


def info_features(info: Info, kind: str) -> Iterator[str]:
    """Yield the features it uses; ``kind`` says what a boot order is of."""
    if info.boot is not None:
        yield f"boot-{kind}"
    if info.alias is not None:
        yield "alias"
    if info.rom is not None:
        said = {"rom-bar": info.rom.bar, "rom-file": info.rom.file, "rom-enabled": info.rom.enabled}
        yield from (name for name, value in said.items() if value is not None)
    if info.acpi_index is not None:
        yield "acpi-index"
    if info.acpi_nodeset is not None:
        yield "acpi-nodeset"
    if info.guest == UNASSIGNED:
        yield "unassigned"


def switch(text: str | None) -> bool | None:
    """Read ``yes``, ``no``, ``on`` or ``off``."""
    return {"yes": True, "on": True, "no": False, "off": False}.get(text or "")


def _read_rom(node: etree._Element | None) -> Rom | None:
    if node is None:
        return None
    return Rom(node.get("file"), switch(node.get("bar")), switch(node.get("enabled")))
