"""Which variant drivers of VFIO are made for a device (K52)."""

from __future__ import annotations

from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from vfioctl.model.device import PciDevice
    from vfioctl.model.drivers import DriverCatalog


def variants(catalog: DriverCatalog, device: PciDevice) -> tuple[str, ...]:
    """Return the modules made for a device, the one with the fewest wildcards first (K52)."""
    if not catalog.vfio_aliases:
        return ()
    from fnmatch import fnmatchcase

    text = modalias(device)
    found = [alias for alias in catalog.vfio_aliases if fnmatchcase(text, alias.pattern)]
    found.sort(key=lambda alias: (alias.pattern.count("*"), alias.module))
    return tuple(dict.fromkeys(alias.module.replace("-", "_") for alias in found))


def modalias(device: PciDevice) -> str:
    """Return what the kernel matches aliases with, without the bus in front."""
    vendor, model = device.subsystem_vendor_id or 0, device.subsystem_device_id or 0
    code = device.class_code
    return (
        f"v{device.vendor_id:08X}d{device.device_id:08X}sv{vendor:08X}sd{model:08X}"
        f"bc{code >> 16:02X}sc{code >> 8 & 0xFF:02X}i{code & 0xFF:02X}"
    )
