from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.sysfs.reading import at, host_of, root_of, unread_of, uses_of, written
from vfioctl.model.usage import Usage, UsageKind
from vfioctl.sysfs.attribute import Attributes
from vfioctl.sysfs.busy import gpu_uses
from vfioctl.sysfs.display import Gpus
from vfioctl.sysfs.entries import File
from vfioctl.sysfs.holders import OPEN_NODE, Holder
from vfioctl.sysfs.reader import read_host
from vfioctl.sysfs.recording import RecordingFiles
from vfioctl.sysfs.root import HostRoot
from vfioctl.sysfs.snapshot import capture

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.tree import HostTree

INTEL, AMD, OTHER_AMD = "0000:00:02.0", "0000:03:00.0", "0000:04:00.0"
NVIDIA, OTHER_NVIDIA, NPU = "0000:01:00.0", "0000:02:00.0", "0000:00:0b.0"
GPU = UsageKind.GPU


@pytest.fixture
def gpus(tree: HostTree) -> HostTree:
    """Return a machine with every kind of GPU, each of which a program may have open."""
    tree.device(INTEL, class_code=0x030000, driver="i915").drm(INTEL, 0, 128).module("i915", "i915", users=5)
    for number, address in enumerate((AMD, OTHER_AMD), start=1):
        tree.device(address, class_code=0x038000, driver="amdgpu").drm(address, number, 128 + number)
    for address in (NVIDIA, OTHER_NVIDIA):
        tree.device(address, class_code=0x030200, driver="nvidia")
    return tree.device(NPU, class_code=0x120000, driver="intel_vpu")


def minors(tree: HostTree) -> HostTree:
    """Let NVIDIA's driver say which node is whose: not in the order of the bus."""
    for number, address in enumerate((OTHER_NVIDIA, NVIDIA)):
        text = f"Model: \t\t NVIDIA A2\nGPU UUID: \t GPU-secret-{number}\nDevice Minor: \t {number}\n"
        tree.file(f"/proc/driver/nvidia/gpus/{address}/information", text)
    return tree


def test_programs_that_draw_are_named(gpus: HostTree) -> None:
    """Each once for each GPU, with the nodes it has open."""
    gpus.process(
        900, ["/usr/bin/gnome-shell"], {5: "/dev/dri/card0", 6: "/dev/dri/renderD128", 7: "/dev/null"}
    )
    gpus.process(901, ["mpv"], {3: "/dev/dri/renderD129", 4: "/dev/dri/renderD129"})
    assert uses_of(gpus, INTEL) == [
        (GPU, "gnome-shell (pid 900) has /dev/dri/card0 and /dev/dri/renderD128 open")
    ]
    assert uses_of(gpus, AMD) == [(GPU, "mpv (pid 901) has /dev/dri/renderD129 open")]
    assert uses_of(gpus, OTHER_AMD) == []


def test_an_accelerator_is_a_gpu_without_a_screen(gpus: HostTree) -> None:
    """The class accel."""
    path = f"{gpus.path(NPU)}/accel/accel0"
    gpus.folder(path).link("/sys/class/accel/accel0", path).process(7, ["infer"], {3: "/dev/accel/accel0"})
    assert uses_of(gpus, NPU) == [(GPU, "infer (pid 7) has /dev/accel/accel0 open")]


def test_nvidias_nodes_are_told_apart_by_its_driver(gpus: HostTree) -> None:
    """Their numbers are not the order on the bus, and no class lists them."""
    minors(gpus).process(5, ["train"], {3: "/dev/nvidiactl", 4: "/dev/nvidia-uvm", 5: "/dev/nvidia0"})
    assert uses_of(gpus, OTHER_NVIDIA) == [(GPU, "train (pid 5) has /dev/nvidia0 open")]
    assert uses_of(gpus, NVIDIA) == []


def test_a_node_that_is_not_explained_is_one_of_any(gpus: HostTree) -> None:
    """Better one program too many than a removal that never ends (K35)."""
    gpus.process(5, ["train"], {5: "/dev/nvidia1"})
    for address in (NVIDIA, OTHER_NVIDIA):
        assert uses_of(gpus, address) == [(GPU, "train (pid 5) has /dev/nvidia1 open")]
    minors(gpus).process(5, ["train"], {5: "/dev/nvidia7"})
    for address in (NVIDIA, OTHER_NVIDIA):
        assert (GPU, "train (pid 5) has /dev/nvidia7 open") in uses_of(gpus, address)


def test_the_only_gpu_of_nvidia_needs_no_explanation(gpus: HostTree) -> None:
    """Its driver is not asked."""
    gpus.driver(OTHER_NVIDIA, "vfio-pci").deny("/proc/driver/nvidia/gpus")
    gpus.process(5, ["train"], {5: "/dev/nvidia3"})
    assert uses_of(gpus, NVIDIA) == [(GPU, "train (pid 5) has /dev/nvidia3 open")]
    assert uses_of(gpus, OTHER_NVIDIA) == []


@pytest.mark.parametrize(
    ("nodes", "used"),
    [
        (["/dev/kfd"], {AMD: "/dev/kfd", OTHER_AMD: "/dev/kfd"}),
        (["/dev/kfd", "/dev/dri/renderD130"], {OTHER_AMD: "/dev/dri/renderD130"}),
        (
            ["/dev/kfd", "/dev/dri/renderD128"],
            {INTEL: "/dev/dri/renderD128", AMD: "/dev/kfd", OTHER_AMD: "/dev/kfd"},
        ),
        (
            ["/dev/nvidia-modeset", "/dev/nvidiactl"],
            dict.fromkeys((NVIDIA, OTHER_NVIDIA), "/dev/nvidia-modeset and /dev/nvidiactl"),
        ),
        (["/dev/dri/card9", "/dev/accel/accel3"], {}),
    ],
)
def test_a_drivers_own_node_is_of_all_its_gpus_that_are_not_named(
    gpus: HostTree, nodes: list[str], used: dict[str, str]
) -> None:
    """Every program that computes has it open beside those of its GPUs; alone it may be any."""
    gpus.process(5, ["x"], dict(enumerate(nodes)))
    found = {str(device.address): device.usage for device in host_of(gpus).devices if device.usage}
    assert found == {
        address: (Usage(GPU, "pid 5", f"x (pid 5) has {names} open"),) for address, names in used.items()
    }


def test_where_no_node_can_be_open_no_process_is_looked_at(tree: HostTree) -> None:
    """An open node counts as a use of the driver's module: on most servers the walk is spared."""
    tree.device(AMD, class_code=0x030000, driver="ast").drm(AMD, 0).deny("/proc/1/fd").module("ast", "ast")
    assert host_of(tree).unread == ()
    tree.module("ast", "ast", users=1)
    assert unread_of(host_of(tree)) == {
        "fd": "permission denied (nodes of VFIO and GPUs that other users' programs have open)"
    }


def test_a_driver_that_is_built_in_counts_nothing(tree: HostTree) -> None:
    """So the processes are looked at."""
    tree.device(AMD, class_code=0x030000, driver="ast").drm(AMD, 0).process(
        3, ["Xorg"], {3: "/dev/dri/card0"}
    )
    assert uses_of(tree, AMD) == [(GPU, "Xorg (pid 3) has /dev/dri/card0 open")]


def test_a_vm_that_draws_with_a_gpu_is_no_holder_of_it(gpus: HostTree) -> None:
    """It uses the host's driver: its command line is nobody's concern."""
    gpus.process(8, ["qemu", "-name", "guest=web1"], {3: "/dev/dri/renderD128"}).deny("/proc/8/cmdline")
    assert uses_of(gpus, INTEL) == [(GPU, "qemu (pid 8) has /dev/dri/renderD128 open")]
    assert host_of(gpus).unread == ()


def test_a_snapshot_names_the_same_programs(gpus: HostTree, tmp_path: Path) -> None:
    """Without what is theirs alone: arguments, other files, the GPU's serial number."""
    minors(gpus).process(5, ["train", "--key", "hunter2"], {3: "/dev/nvidia0", 4: "/home/me/letter"})
    gpus.process(6, ["gnome-shell"], {3: "/dev/dri/card0"}).process(7, ["bash"], {0: "/dev/tty1"})
    host, entries = capture(root_of(gpus))
    assert read_host(written(entries, tmp_path)) == host
    assert {usage.subject for device in host.devices for usage in device.usage} == {"pid 5", "pid 6"}
    kept = {entry.path: entry.content for entry in entries if isinstance(entry, File)}
    assert not any(path.startswith("/proc/7") or path.endswith("cmdline") for path in kept)
    assert kept[f"/proc/driver/nvidia/gpus/{NVIDIA}/information"] == b"Device Minor: \t 1\n"
    assert not any("letter" in entry.path for entry in entries)


@pytest.mark.parametrize(
    ("target", "node"),
    [
        ("/dev/dri/card0", "dev/dri/card0"),
        ("../../../dev/dri/renderD128", "dev/dri/renderD128"),
        ("/dev/nvidia12", "dev/nvidia12"),
        ("/dev/nvidiactl", "dev/nvidiactl"),
        ("/dev/nvidia-uvm-tools", "dev/nvidia-uvm-tools"),
        ("/dev/kfd", "dev/kfd"),
        ("/dev/accel/accel0", "dev/accel/accel0"),
        ("/dev/dri/by-path", None),
        ("/dev/nvidia-caps/nvidia-cap1", None),
        ("/dev/nvidia0 (deleted)", None),
        ("/tmp/dev/dri/card0", None),
        ("/dev/accel/accel", None),
    ],
)
def test_nodes_of_gpus_are_told_from_other_files(target: str, node: str | None) -> None:
    """As the kernel writes them, and as a snapshot keeps them, relative."""
    found = OPEN_NODE.fullmatch(target)
    assert (found and found[1]) == node


class _Pretending(RecordingFiles):
    """The running system, with two GPUs of NVIDIA, of which one does not answer."""

    def read(self, path: str) -> bytes:
        """Return a file's content."""
        if not path.startswith("/proc/driver/nvidia/"):
            return super().read(path)
        if NVIDIA in path:
            from tests.sysfs.d_state import sleep_uninterruptibly

            sleep_uninterruptibly()
        return b"Device Minor: \t 1\n"


@pytest.mark.slow
def test_a_driver_that_does_not_answer_is_left_behind() -> None:
    """On the running system it is asked by a child (K35): what is not explained belongs to any."""
    functions = [at(NVIDIA), at(OTHER_NVIDIA)]
    gpus = Gpus({}, {"nvidia": functions}, (), maybe_open=True)
    holders = [Holder(f"/dev/nvidia{number}", 40 + number, "x", None) for number in (0, 1)]
    found = list(gpu_uses(Attributes(_Pretending(HostRoot())), gpus, holders))
    assert [(str(address), usage.subject) for address, usage in found] == [
        (NVIDIA, "pid 40"),
        (OTHER_NVIDIA, "pid 40"),
        (OTHER_NVIDIA, "pid 41"),
    ]
