"""From a device to a pod's container: serve-plugin, a kubelet, Podman as the runtime that it would call."""

from __future__ import annotations

import asyncio
import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.lab.guest import bindings, cli, kernel, kubelets, podman, ready
from tests.lab.scenarios.test_containers import EDU, check_nodes, node_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vfioctl.plugin.api.deviceplugin_pb2 import ContainerAllocateResponse

pytestmark = [pytest.mark.once, pytest.mark.topologies("legacy"), pytest.mark.deadline(400)]

KUBELET = Path("/var/lib/kubelet")
CONFIG = Path("/etc/vfioctl/plugin.toml")
RESOURCE = "vfioctl.io/edu"
REGISTERED = 60.0
"""Seconds until a plugin is registered: it imports gRPC under TCG."""


@contextmanager
def serving(cdi: bool) -> Iterator[None]:
    """Have the device bound, and `serve-plugin` offer it."""
    CONFIG.parent.mkdir(exist_ok=True)
    text = f'[plugin]\nlisten = ""\n[[resource]]\nname = "{RESOURCE}"\nselect = ["{EDU}"]\ncdi = {json.dumps(cdi)}\n'
    CONFIG.write_text(text, encoding="ascii")
    bindings.done("bind", EDU)
    log = Path("/run/serve-plugin.log")
    try:
        with log.open("wb") as output:
            plugin = ready.Fork(ready.TOOL, "serve-plugin", stderr=output.fileno())
        try:
            yield
        finally:
            plugin.terminate()
            assert plugin.wait(timeout=30) == 0, log.read_text()
            plugin.close()
    finally:
        bindings.done("unbind", EDU)
        CONFIG.unlink()


def allocated(limits: dict[str, int]) -> ContainerAllocateResponse:
    """Give what a kubelet is answered for a pod with these limits."""
    from tests.plugin.kubelet.kubelet import Kubelet  # gRPC, for which no other machine has to wait
    from tests.plugin.kubelet.pods import pod

    async def admit() -> ContainerAllocateResponse:
        async with Kubelet(str(KUBELET), kubelets.settings(dial=10.0)) as kubelet:
            await kubelet.until(lambda: kubelet.books.counts(RESOURCE) == (1, 1), REGISTERED)
            asked = pod("vm", limits)
            await kubelet.run(asked)
            assert asked.phase == "Running", asked.message
            given = await kubelet.start_container(asked, asked.containers[0])
            assert given is not None
            return given[RESOURCE]

    return asyncio.run(admit())


@pytest.mark.parametrize("cdi", [False, True], ids=["nodes", "names"])
def test_a_pod_gets_the_device_that_it_asks_for(cdi: bool) -> None:
    """pod-spec says what to ask for, the kubelet asks, and the container is told and can use the device."""
    podman.prepare()
    with serving(cdi):
        (made,) = cli.document("pod-spec", EDU)["pod"]["spec"]["containers"]
        limits = {name: int(count) for name, count in made["resources"]["limits"].items()}
        answer = allocated(limits)
        devices = [f"--device={one.name}" for one in answer.cdi_devices]
        devices += [f"--device={one.host_path}:{one.container_path}:{one.permissions}" for one in answer.devices]
        variables = [f"--env={name}={value}" for name, value in answer.envs.items()]
        # A Pod has no memory limit of its own: what its security context says is to be enough.
        rights = [f"--cap-add={right}" for right in made["securityContext"]["capabilities"]["add"]]
        seen = podman.look(*devices, *variables, *rights)

        assert limits == {RESOURCE: 1}
        assert bool(answer.cdi_devices) is cdi
        assert bool(answer.devices) is not cdi
        check_nodes(seen, node_of(EDU))
        assert seen["variables"] == {"PCI_RESOURCE_VFIOCTL_IO_EDU": EDU}
        # What a container is given by name must be known also when it starts again without the plugin.
        assert cli.vfioctl("cdi", "list").exit_code == 0
    assert kernel.driver_of(EDU) == ""
    cli.vfioctl("cdi", "remove")
