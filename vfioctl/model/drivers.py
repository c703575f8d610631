"""Which drivers a host has, and which modules bring which."""

from __future__ import annotations

from vfioctl.model.value import NamedTuple


class ModuleAlias(NamedTuple):
    """One ``alias vfio_pci:...`` line of modules.alias: the devices a variant driver is made for (K52)."""

    pattern: str
    """What stands after ``vfio_pci:``, such as ``v000015B3d0000101Esv*sd*bc*sc*i*``."""
    module: str


class DriverCatalog(NamedTuple):
    """The PCI drivers of a host and the modules they come in (K6).

    Module names are spelled with underscores throughout, as the kernel does in ``/sys/module``.
    """

    registered: frozenset[str]
    """Drivers on the PCI bus now: the names in ``/sys/bus/pci/drivers``."""
    loaded: tuple[tuple[str, str], ...]
    """Module and driver, for drivers that are registered by a module: ``/sys/module/M/drivers/pci:D``."""
    present: frozenset[str]
    """Modules that are loaded or built in."""
    loadable: frozenset[str] | None
    """Modules that modprobe can find (modules.dep and modules.builtin); None when that could not be read."""
    vfio_aliases: tuple[ModuleAlias, ...] = ()
