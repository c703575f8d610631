"""Numbers that say what a device is, and the words administrators use for classes."""

from __future__ import annotations

from vfioctl.lean import lru_cache

CLASS_WORDS: dict[str, tuple[str, ...]] = {
    "gpu": ("0300", "0302", "0380"),
    "nvme": ("010802",),
    "storage": ("01",),
    "nic": ("02",),
    "audio": ("0401", "0403"),
    "usb": ("0c03",),
    "accelerator": ("12",),
    "bridge": ("06",),
    "memory": ("05",),
    "communication": ("07",),
    "system": ("08",),
    "input": ("09",),
    "wireless": ("0d",),
    "crypto": ("10",),
    "multimedia": ("04",),
    "display": ("03",),
}
"""Class word to prefixes of the six-digit class code; the first match is the word for a device."""


# A host with thousands of devices has few classes and few drivers.
@lru_cache(maxsize=256)
def class_word(class_code: int) -> str:
    """Return the word for a class code, such as ``gpu`` or ``nic``; ``other`` where there is none."""
    code = f"{class_code:06x}"
    for word, prefixes in CLASS_WORDS.items():
        if code.startswith(prefixes):
            return word
    return "other"


@lru_cache(maxsize=256)
def is_vfio_driver(name: str | None) -> bool:
    """Tell whether a driver is vfio-pci or one of its variants (K52).

    Modules and drivers disagree about dashes (``mlx5_vfio_pci``, ``xe-vfio-pci``; K6), so both count.
    """
    return name is not None and f"_{name}".replace("-", "_").endswith("_vfio_pci")
