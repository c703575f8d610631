from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sysfs.reading import root_of, written
from vfioctl.model.drivers import DriverCatalog, ModuleAlias
from vfioctl.sysfs.drivers import module_names, read_drivers, reduced_list
from vfioctl.sysfs.entries import File
from vfioctl.sysfs.root import LOADED_MODULES, MODULE_LISTS, HostRoot
from vfioctl.sysfs.snapshot import capture

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.tree import HostTree

LISTS = "/lib/modules/6.12.48-amd64"
DEPENDENCIES = """\
kernel/drivers/vfio/pci/vfio-pci.ko.xz: kernel/drivers/vfio/vfio.ko.xz kernel/virt/lib/irqbypass.ko.xz
kernel/drivers/vfio/vfio_iommu_type1.ko.zst:
kernel/net/802/psnap.ko: kernel/net/llc/llc.ko
extra.ko:
"""
ALIASES = """\
# Aliases extracted from modules themselves.
alias pci:v00008086d00001533sv*sd*bc*sc*i* igb
alias vfio_pci:v000015B3d0000101Esv*sd*bc*sc*i* mlx5-vfio-pci
alias vfio_pci:v*d*sv*sd*bc*sc*i* vfio_pci
alias vfio_pci:cut
alias xvfio_pci:v*d*sv*sd*bc*sc*i* other
"""
MODULES = """\
vfio_pci 20480 0 - Live 0xffffffffc0a5c000
igb 335872 1 vfio_pci, Live 0xffffffffc0123000 (E)
"""


@pytest.fixture
def modules(tree: HostTree) -> HostTree:
    """Return a machine whose kernel has modules."""
    tree.file(f"{LISTS}/modules.dep", DEPENDENCIES).file(f"{LISTS}/modules.alias", ALIASES)
    tree.file(
        f"{LISTS}/modules.builtin", "kernel/drivers/pci/pcie/portdrv.ko\nkernel/virt/lib/irqbypass.ko\n"
    )
    tree.file("/proc/modules", MODULES).module("xe_vfio_pci", "xe-vfio-pci").module("igb", "igb")
    return tree.folder("/sys/bus/pci/drivers/pcieport")


def test_a_catalog_has_drivers_and_modules(modules: HostTree) -> None:
    """Names of modules are spelled with underscores, those of drivers as they are (K6)."""
    assert read_drivers(root_of(modules)) == DriverCatalog(
        registered=frozenset({"xe-vfio-pci", "igb", "pcieport"}),
        loaded=(("igb", "igb"), ("xe_vfio_pci", "xe-vfio-pci")),
        present=frozenset({"vfio_pci", "igb", "portdrv", "irqbypass"}),
        loadable=frozenset({"vfio_pci", "vfio_iommu_type1", "psnap", "extra", "portdrv", "irqbypass"}),
        vfio_aliases=(
            ModuleAlias("v000015B3d0000101Esv*sd*bc*sc*i*", "mlx5_vfio_pci"),
            ModuleAlias("v*d*sv*sd*bc*sc*i*", "vfio_pci"),
        ),
    )


def test_the_lists_may_be_below_usr(modules: HostTree) -> None:
    """Where there is no link from the one to the other."""
    for name in ("modules.dep", "modules.alias", "modules.builtin"):
        content = modules.content(f"{LISTS}/{name}")
        modules.remove(f"{LISTS}/{name}").file(f"/usr{LISTS}/{name}", content)
    catalog = read_drivers(root_of(modules))
    assert catalog.loadable is not None
    assert (len(catalog.loadable), len(catalog.vfio_aliases)) == (6, 2)


def test_without_lists_what_can_be_loaded_is_unknown(modules: HostTree) -> None:
    """In a container; what is built in is then known only as far as the kernel has a folder of it."""
    modules.remove("/lib").module("vfio_iommu_type1")
    catalog = read_drivers(root_of(modules))
    assert (catalog.loadable, catalog.vfio_aliases) == (None, ())
    assert catalog.present == {"vfio_pci", "igb", "xe_vfio_pci", "vfio_iommu_type1"}


def test_a_list_that_cannot_be_read_is_as_none(modules: HostTree) -> None:
    """Unknown is not absent."""
    assert read_drivers(root_of(modules.deny(f"{LISTS}/modules.dep"))).loadable is None


def test_a_kernel_without_modules_has_drivers(tree: HostTree) -> None:
    """All it has is built in: nothing says which module would have brought a driver."""
    tree.folder("/sys/bus/pci/drivers/vfio-pci").folder("/sys/module/vfio_pci")
    catalog = read_drivers(root_of(tree))
    assert catalog == DriverCatalog(frozenset({"vfio-pci"}), (), frozenset({"vfio_pci"}), None)


@pytest.mark.parametrize("release", ["../../../etc", "", "/"])
def test_a_release_that_is_a_path_leads_nowhere(modules: HostTree, release: str) -> None:
    """A stranger's recording may say anything."""
    modules.file("/proc/sys/kernel/osrelease", f"{release}\n").file("/etc/modules.dep", "secret.ko:\n")
    modules.file("/lib/modules/modules.dep", "secret.ko:\n")
    assert read_drivers(root_of(modules)).loadable is None


def test_a_host_without_a_bus_has_an_empty_catalog(tree: HostTree) -> None:
    """It is another's task to say so."""
    assert read_drivers(HostRoot(f"{root_of(tree).base}/sys")) == DriverCatalog(
        frozenset(), (), frozenset(), None
    )


def test_the_running_systems_catalog_is_read_without_a_word() -> None:
    """Whatever it has."""
    catalog = read_drivers(HostRoot())
    assert {driver for _, driver in catalog.loaded} <= catalog.registered


def test_a_snapshot_has_the_same_catalog(modules: HostTree, tmp_path: Path) -> None:
    """And of the lists names only; what the kernel prints of addresses is no part of it."""
    root = root_of(modules)
    _, entries = capture(root)
    assert read_drivers(written(entries, tmp_path)) == read_drivers(root)
    files = {entry.path: entry.content for entry in entries if isinstance(entry, File)}
    assert files["/proc/modules"] == b"igb\nvfio_pci\n"
    assert files[f"{LISTS}/modules.dep"].startswith(b"extra.ko:\npsnap.ko:\n")
    assert b"igb" not in files[f"{LISTS}/modules.alias"]


_pieces = st.sampled_from(
    [b"kernel/", b"a-b", b"c_d", b".ko", b".xz", b":", b" ", b"\n", b"alias vfio_pci:", b"v*sv*", b"\xff"]
)


@given(
    st.sampled_from(["modules.dep", "modules.builtin", "modules.alias", "modules"]),
    st.lists(_pieces, max_size=30).map(b"".join),
)
def test_a_reduced_list_is_as_small_as_it_gets(name: str, content: bytes) -> None:
    """Reduced again it stays as it is, whatever it was, and it names what it named."""
    path = LOADED_MODULES if name == "modules" else f"{MODULE_LISTS[0]}/6.1/{name}"
    once = reduced_list(path, content)
    assert reduced_list(path, once) == once
    if name in {"modules.dep", "modules.builtin"}:
        assert module_names(once) == module_names(content)
