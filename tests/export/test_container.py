from __future__ import annotations

import shlex

import pytest

from tests.model.factory import make_device
from vfioctl.export.container import Circumstances, Runtime, Workload, run_arguments
from vfioctl.export.nodes import Backend

BOUND = make_device(
    "65:00.0", driver="vfio-pci", vfio_group_node="/dev/vfio/7", vfio_cdev="/dev/vfio/devices/vfio3"
)
SIBLING = BOUND._replace(address=BOUND.address._replace(function=1), vfio_cdev=None)
UNBOUND = make_device("66:00.0", driver="nvidia", iommu_group=9)
NODES = ["/dev/vfio/vfio", "/dev/vfio/7", "/dev/vfio/devices/vfio3", "/dev/iommu"]


def rw(nodes: list[str]) -> list[str]:
    """Return the flags of nodes."""
    return [f"--device={node}:rw" for node in nodes]


@pytest.mark.parametrize(
    ("around", "nodes", "rest"),
    [
        (Circumstances(), NODES, ["--ulimit=memlock=-1:-1"]),
        (Circumstances(backend=Backend.LEGACY), NODES[:2], ["--ulimit=memlock=-1:-1"]),
        (Circumstances(backend=Backend.IOMMUFD), NODES[2:], ["--ulimit=memlock=-1:-1"]),
        (Circumstances(workload=Workload.QEMU), [*NODES, "/dev/kvm"], ["--ulimit=memlock=-1:-1"]),
        (
            Circumstances(workload=Workload.DPDK, groups=(36, 107)),
            NODES,
            [
                "--ulimit=memlock=-1:-1",
                "--volume=/dev/hugepages:/dev/hugepages",
                "--group-add=36",
                "--group-add=107",
            ],
        ),
        (
            Circumstances(Runtime.PODMAN, rootless=True, groups=(36,), labelled=True),
            NODES,
            ["--ulimit=host", "--group-add=keep-groups", "--security-opt=label=disable"],
        ),
    ],
    ids=["plain", "legacy", "iommufd", "qemu", "dpdk", "rootless"],
)
def test_what_a_container_needs(around: Circumstances, nodes: list[str], rest: list[str]) -> None:
    """Nodes first, each once, then limits, groups and rights."""
    assert list(run_arguments([BOUND, SIBLING], around)) == rw(nodes) + rest


def test_an_unbound_device_has_the_nodes_to_come() -> None:
    """The group's number is known, the name of the device's own node is not."""
    assert run_arguments([UNBOUND], Circumstances())[:2] == tuple(rw(["/dev/vfio/vfio", "/dev/vfio/9"]))
    assert run_arguments([UNBOUND], Circumstances(backend=Backend.IOMMUFD))[0] == rw(["/dev/iommu"])[0]


def test_without_an_iommu_a_right_more_is_needed() -> None:
    """K29: the kernel asks for CAP_SYS_RAWIO."""
    device = BOUND._replace(vfio_group_node="/dev/vfio/noiommu-0", vfio_cdev=None)

    assert "--cap-add=SYS_RAWIO" in run_arguments([device], Circumstances())
    assert "--cap-add=SYS_RAWIO" not in run_arguments([BOUND], Circumstances())


def test_by_name_there_are_no_nodes() -> None:
    """The runtime looks them up when the container starts."""
    arguments = run_arguments([BOUND], Circumstances(cdi=True, workload=Workload.QEMU))

    assert arguments == (
        "--device=vfioctl.io/vfio=0000:65:00.0",
        "--device=/dev/kvm:rw",
        "--ulimit=memlock=-1:-1",
    )


def test_no_argument_needs_quotes() -> None:
    """`docker run $(vfioctl container-args ...)` splits at blanks and knows no quotes."""
    everything = Circumstances(Runtime.PODMAN, Workload.SPDK, groups=(1,), labelled=True)

    arguments = run_arguments([BOUND, UNBOUND], everything)

    assert shlex.join(arguments) == " ".join(arguments)


@pytest.mark.parametrize("name", ["vfio0 --privileged", "vfio0;id", "vfio\x1b[2J", "../../sda", "vfio0\n"])
def test_a_name_that_the_kernel_never_gives_is_no_node(name: str) -> None:
    """A recording may be anybody's, and the line is there to be put into a command."""
    evil = BOUND._replace(vfio_cdev=f"/dev/vfio/devices/{name}", vfio_group_node=f"/dev/vfio/{name}")

    assert run_arguments([evil], Circumstances()) == ("--ulimit=memlock=-1:-1",)
