"""Which driver a device is given to: names as modules and drivers spell them, and variant drivers."""

from __future__ import annotations

from vfioctl.model.ids import is_vfio_driver
from vfioctl.model.value import NamedTuple
from vfioctl.model.variants import variants
from vfioctl.plan.plan import AUTO
from vfioctl.plan.steps import LoadModule
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vfioctl.model.device import PciDevice
    from vfioctl.model.drivers import DriverCatalog

VFIO_PCI = "vfio-pci"
TYPE1 = "vfio_iommu_type1"
"""The module that VFIO_SET_IOMMU needs and that vfio-pci does not load (K25)."""

# Drivers whose name is not that of their module; all others of the kernel's tree are named alike (K6).
_NAMED_OTHERWISE = {"vfio_pci": "vfio-pci", "xe_vfio_pci": "xe-vfio-pci", "pci_stub": "pci-stub"}
_MODULES = {"xhci_hcd": "xhci_pci", "i801_smbus": "i2c_i801", "bochs_drm": "bochs"}
"""The other way round, for drivers that a device may have come from."""


class Choice(NamedTuple):
    """A driver for a device."""

    driver: str
    module: str | None
    """What must be loaded first; None: the driver is there."""
    reason: str | None
    """Why it was chosen, where that is worth saying."""
    missing: str | None
    """Why it cannot be had on this host."""
    doubt: str | None = None
    """Why it is not known whether it can be had."""


def choose(catalog: DriverCatalog, device: PciDevice, wanted: str | None) -> Choice:
    """Choose the driver for a device: what was asked for, else the variant made for it, else vfio-pci."""
    if wanted not in {None, AUTO}:
        return find(catalog, str(wanted))
    absent = None
    for module in variants(catalog, device):
        choice = find(catalog, module)
        if choice.missing is not None:
            absent = absent or module
        elif choice.driver == VFIO_PCI:
            break
        else:
            return choice._replace(reason=f"{choice.driver} is taken: it is the variant made for this model")
    choice = find(catalog, VFIO_PCI)
    if absent is not None:
        reason = f"{VFIO_PCI} is taken: {absent}, the variant made for this model, is not installed"
        return choice._replace(reason=reason)
    if wanted == AUTO:
        return choice._replace(reason=f"{VFIO_PCI} is taken: no variant is made for this model")
    return choice


def find(catalog: DriverCatalog, name: str) -> Choice:
    """Find a driver by its own name or its module's, dashes and underscores alike (K6)."""
    wanted = _spelled(name)
    alike = [driver for driver in sorted(catalog.registered) if _spelled(driver) == wanted]
    alike += [driver for module, driver in catalog.loaded if _spelled(module) == wanted]
    if alike:
        return Choice(name if name in alike else alike[0], None, None, None)
    # Of VFIO's the names are known; what else is typed may be the driver's own.
    driver = _NAMED_OTHERWISE.get(wanted, wanted if is_vfio_driver(name) else name)
    module = _MODULES.get(wanted, wanted)
    if not can_load(catalog, module):
        return Choice(driver, module, None, _why_missing(catalog, name))
    doubt = None
    if module not in catalog.present and catalog.loadable is None:
        doubt = (
            f"whether the module {module} is installed is not known: the list of modules could not be read"
        )
    return Choice(driver, module, None, None, doubt)


def loads(choices: Iterable[Choice]) -> Iterator[LoadModule]:
    """Yield what must be loaded for the chosen drivers, each module once."""
    modules = (choice.module for choice in choices if choice.module is not None)
    yield from (LoadModule(module) for module in dict.fromkeys(modules))


def can_load(catalog: DriverCatalog, module: str) -> bool:
    """Tell whether modprobe would find a module; where the lists could not be read, it may try."""
    return module in catalog.present or catalog.loadable is None or module in catalog.loadable


def _why_missing(catalog: DriverCatalog, name: str) -> str:
    if is_vfio_driver(name):
        return f"this kernel has no driver {name}, neither built in nor as a module"
    near = sorted(driver for driver in catalog.registered if driver.startswith(name[:3]))
    return f"there is no PCI driver {name}" + (f" (there is {', '.join(near)})" if near else "")


def _spelled(name: str) -> str:
    return name.replace("-", "_")
