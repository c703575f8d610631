from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfioctl.model.ids import CLASS_WORDS, class_word, is_vfio_driver


@pytest.mark.parametrize(
    ("class_code", "word"),
    [
        (0x030000, "gpu"),
        (0x030200, "gpu"),
        (0x038000, "gpu"),
        (0x030100, "display"),
        (0x010802, "nvme"),
        (0x010801, "storage"),
        (0x010601, "storage"),
        (0x020000, "nic"),
        (0x028000, "nic"),
        (0x040300, "audio"),
        (0x040100, "audio"),
        (0x048000, "multimedia"),
        (0x0C0330, "usb"),
        (0x0C0500, "other"),
        (0x120000, "accelerator"),
        (0x060400, "bridge"),
        (0x050000, "memory"),
        (0x070000, "communication"),
        (0x080600, "system"),
        (0x090000, "input"),
        (0x0D1000, "wireless"),
        (0x100000, "crypto"),
        (0x000000, "other"),
        (0xFFFFFF, "other"),
    ],
)
def test_a_class_has_the_most_precise_word_that_fits(class_code: int, word: str) -> None:
    """The first match wins: an NVMe disk is nvme before it is storage."""
    assert class_word(class_code) == word


@given(st.integers(0, 0xFFFFFF))
def test_the_word_of_a_class_selects_that_class(class_code: int) -> None:
    """What scan shows as a word can be typed as class:WORD and finds the device."""
    word = class_word(class_code)
    assert word == "other" or f"{class_code:06x}".startswith(CLASS_WORDS[word])


def test_class_words_cannot_be_mistaken_for_hex_prefixes() -> None:
    """A word that was also a hex prefix would make class: ambiguous."""
    prefixes = [prefix for several in CLASS_WORDS.values() for prefix in several]
    assert all(re.fullmatch(r"(?:[0-9a-f]{2}){1,3}", prefix) for prefix in prefixes)
    assert not any(re.fullmatch(r"[0-9a-f]+", word) for word in CLASS_WORDS)


@pytest.mark.parametrize(
    "driver",
    [
        "vfio-pci",
        "vfio_pci",
        "mlx5_vfio_pci",
        "nvgrace_gpu_vfio_pci",
        "nvgrace-gpu-vfio-pci",
        "pds_vfio_pci",
        "hisi_acc_vfio_pci",
        "ism_vfio_pci",
        "virtio_vfio_pci",
        "qat_vfio_pci",
        "xe-vfio-pci",
    ],
)
def test_variant_drivers_count_as_vfio(driver: str) -> None:
    """Every driver of the table of variants, in the spelling of the module or of the driver (K6, K52)."""
    assert is_vfio_driver(driver)


@pytest.mark.parametrize(
    "driver", [None, "", "pci-stub", "pcieport", "vfio-platform", "vfio-pci-core", "novfio-pci", "nvme"]
)
def test_no_other_driver_counts_as_vfio(driver: str | None) -> None:
    """A name that merely contains the words is another driver."""
    assert not is_vfio_driver(driver)
