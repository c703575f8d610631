from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfioctl.export.machine_source import machine_of, quantity
from vfioctl.export.pod import OVERHEAD, Machine, pod

MIB, GIB = 1 << 20, 1 << 30
pages = st.sampled_from([None, 2 * MIB, GIB])
machines = st.builds(
    Machine,
    st.none() | st.text(max_size=80),
    st.none() | st.integers(1, 1 << 45),
    st.none() | st.integers(1, 512),
    pages,
)


@given(machines, st.dictionaries(st.sampled_from(["vfioctl.io/a", "vfioctl.io/b_c"]), st.integers(1, 8)))
def test_a_pod_has_room_for_its_vm(machine: Machine, resources: dict[str, int]) -> None:
    """Memory, huge pages, what is locked beside them; requests equal limits; a name that is one."""
    made = pod(machine, resources, "image")
    (container,) = made["spec"]["containers"]
    limits = container["resources"]["limits"]

    assert limits == container["resources"]["requests"]
    assert {name: int(limits[name]) for name in resources} == resources
    assert re.fullmatch("[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", made["metadata"]["name"])
    assert limits.get("cpu") == (str(machine.cpus) if machine.cpus else None)
    huge = [quantity(limits[name]) or 0 for name in limits if name.startswith("hugepages-")]
    if machine.memory is None:
        assert "memory" not in limits
    else:
        room = (quantity(limits["memory"]) or 0) + sum(huge)
        assert machine.memory + OVERHEAD <= room < machine.memory + OVERHEAD + (machine.page or MIB)
        assert bool(huge) == (machine.page is not None)
        assert all(size % (machine.page or 1) == 0 for size in huge)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4Gi", 4 * GIB), ("1.5Gi", 3 * GIB // 2), ("512Mi", 512 * MIB), ("1G", 10**9), ("1k", 1000),
        ("1.0001", 2), (4096, 4096), ("0", None), ("", None), ("-1", None), ("4GiB", None), (True, None),
        (None, None), ("1e3", None), ("9" * 40, None), (-5, None),
    ],
)  # fmt: skip
def test_an_amount_is_read_as_kubernetes_does(text: object, size: int | None) -> None:
    """Rounded up, and nothing guessed."""
    assert quantity(text) == size


@pytest.mark.parametrize(
    ("domain", "machine"),
    [
        ({}, Machine("a")),
        (
            {"cpu": {"cores": 2, "threads": 2}, "memory": {"guest": "4Gi"}},
            Machine("a", memory=4 * GIB, cpus=4),
        ),
        ({"resources": {"requests": {"memory": "1Gi"}}}, Machine("a", memory=GIB)),
        ({"memory": {"guest": "1Gi", "hugepages": {"pageSize": "2Mi"}}}, Machine("a", GIB, None, 2 * MIB)),
        ({"cpu": {"cores": "2"}, "memory": 7}, Machine("a")),
    ],
)
def test_what_a_vm_of_kubevirt_needs(domain: dict[str, Any], machine: Machine) -> None:
    """An instance, or the template of a VM."""
    instance = {"kind": "VirtualMachineInstance", "metadata": {"name": "a"}, "spec": {"domain": domain}}
    wrapped = {**instance, "kind": "VirtualMachine", "spec": {"template": {"spec": {"domain": domain}}}}

    assert machine_of(instance) == machine
    assert machine_of(wrapped) == machine
    assert machine_of({"kind": "Pod"}) is None


def test_a_name_is_made_of_what_there_is() -> None:
    """Nothing left is a name too."""
    names = [
        pod(Machine(text), {}, "image")["metadata"]["name"]
        for text in ("Web 1", "würfel & co", "--", "a" * 80, None)
    ]

    assert names == ["web-1", "w-rfel---co", "vm", "a" * 63, "vm"]
