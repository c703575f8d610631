from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.fixtures import dump_path
from vfioctl.cli.kubevirt_targets import knowledge, permitted
from vfioctl.cli.session import Session
from vfioctl.errors import UsageError
from vfioctl.export.kubevirt import Listing, Permitted, cluster_part, machine_part
from vfioctl.export.kubevirt_check import check
from vfioctl.export.machine_source import machine_of
from vfioctl.export.pod import Machine
from vfioctl.export.yaml_source import LARGEST, read_yaml
from vfioctl.export.yaml_text import yaml_text
from vfioctl.model.usb import UsbDevice
from vfioctl.plugin.config import parse
from vfioctl.plugin.names import collision, resource_name_problem
from vfioctl.plugin.sight import Sight

if TYPE_CHECKING:
    from vfioctl.export.kubevirt_check import Knowledge, Problem
    from vfioctl.model.host import Host

STICK = UsbDevice(1, "2", 5, 0x1050, 0x0407, 0, None)
SIGHT = Sight(usb=(STICK,))
CONFIG = """
[[resource]]
name = "vfioctl.io/rtx"
kind = "pci"
select = ["10de:2484"]
[[resource]]
name = "vfioctl.io/vf"
kind = "pci"
select = ["vfs-of:0000:05:00.0"]
[[resource]]
name = "vfioctl.io/dongle"
kind = "usb"
select = ["usb:1050:0407"]
[[resource]]
name = "vfioctl.io/kvm"
kind = "node"
paths = ["/dev/kvm"]
[[resource]]
name = "vfioctl.io/plain"
kind = "pci"
select = ["class:nvme"]
env = ["json"]
"""


@pytest.fixture(scope="session")
def sample() -> Host:
    """Return the sample host, read once."""
    session = Session()
    session.root = dump_path("sample")
    return session.host()


def told(host: Host, text: str) -> tuple[tuple[Permitted, ...], Knowledge]:
    """Return what a configuration offers on a host, and what documents are held against."""
    offered, _ = permitted(host, parse(text), SIGHT)
    return offered, knowledge(host, offered, SIGHT)


def both(offered: tuple[Permitted, ...]) -> list[Any]:
    """Return the snippet as it is read back from its text."""
    text = yaml_text([cluster_part(offered), machine_part(offered)])
    return read_yaml(text.encode(), "snippet")


def found(problems: tuple[Problem, ...]) -> list[tuple[str, str]]:
    """Return checks and severities."""
    return [(problem.check, problem.severity) for problem in problems]


SELECTORS = [
    "10de:2484",
    "10de:*",
    "class:nic",
    "class:gpu",
    "vfs-of:0000:05:00.0#0-2",
    "group:2",
    "driver:vfio-pci",
]
KINDS = {"usb:1050:0407": 'kind = "usb"\n'}
own_names = st.from_regex(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,20}[A-Za-z0-9])?", fullmatch=True)
domains = st.from_regex(r"[a-z]([-a-z0-9]{0,10}[a-z0-9])?\.[a-z]{2,5}", fullmatch=True)
resources = st.lists(
    st.tuples(st.builds("{}/{}".format, domains, own_names), st.sampled_from([*SELECTORS, "usb:1050:0407"])),
    min_size=1,
    max_size=5,
    unique_by=lambda pair: pair[0],
).filter(lambda pairs: collision(name for name, _ in pairs) is None)


@given(resources)
@settings(max_examples=100)
def test_what_is_printed_is_found_clean(sample: Host, pairs: list[tuple[str, str]]) -> None:
    """`kubevirt snippet | kubevirt check -`, for a hundred configurations."""
    pairs = [pair for pair in pairs if resource_name_problem(pair[0]) is None]
    text = "".join(
        f'[[resource]]\nname = "{name}"\nselect = ["{selector}"]\n' + KINDS.get(selector, "")
        for name, selector in pairs
    )
    if not text:
        return
    offered, known = told(sample, text)

    documents = both(offered)

    assert documents == [cluster_part(offered), machine_part(offered)]
    assert len(offered) == len(pairs)
    assert check(documents, known) == ()


@given(st.lists(st.from_regex(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", fullmatch=True), max_size=6))
def test_entries_of_a_vm_have_names_that_kubernetes_takes(own: list[str]) -> None:
    """A label each, whatever the resource is called; no two alike, also where the difference is lost."""
    names = [*own, *own, "a" * 63, "A" * 62 + "a", "a.b", "a-b", "a_b"]
    offered = [Permitted(f"vfioctl.io/{name}", Listing.PCI, (), False) for name in names]

    entries = machine_part(offered)["spec"]["domain"]["devices"]["hostDevices"]

    made = [entry["name"] for entry in entries]
    assert len(set(made)) == len(made)
    assert [name for name in made if not re.fullmatch("[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name)] == []


GOLDEN = Path(__file__).parents[1] / "golden"
YAML_FILES = sorted(GOLDEN.rglob("*.yaml"))


@pytest.mark.parametrize("path", YAML_FILES, ids=lambda path: path.stem)
def test_every_expected_yaml_is_strict_and_has_its_document(path: Path) -> None:
    """No key twice, no bare word that releases of YAML disagree about; and a pair in JSON."""
    documents = read_yaml(path.read_bytes(), path.name)

    assert documents
    assert path.with_suffix(".json").exists()
    assert yaml_text(documents) == path.read_text(encoding="utf-8")


def test_what_kubevirt_has_no_place_for_is_left_out_with_its_reason(sample: Host) -> None:
    """Nodes, and resources whose variables virt-launcher does not read."""
    offered, left_out = permitted(sample, parse(CONFIG), SIGHT)

    assert [(one.resource, one.gpu, one.selectors) for one in offered] == [
        ("vfioctl.io/rtx", True, ("10DE:2484",)),
        ("vfioctl.io/vf", False, ("8086:154C",)),
        ("vfioctl.io/dongle", False, ("1050:0407",)),
    ]
    assert ["kvm" in left_out[0], "plain" in left_out[1]] == [True, True]


LISTS = ("spec", "configuration", "permittedHostDevices")
RTX = (0, *LISTS, "pciHostDevices", 0)
DONGLE = (0, *LISTS, "usb", 0)
DEVICES = (1, "spec", "domain", "devices")
GONE = object()
UNKNOWN = [("missing", "warn"), ("unknown", "error")]
"""What follows from an entry that is not there: the VM asks for something that is not permitted."""


@pytest.mark.parametrize(
    ("path", "value", "problems"),
    [
        ((*RTX, "externalResourceProvider"), GONE, [("external", "error")]),
        ((*RTX, "externalResourceProvider"), False, [("external", "error")]),
        ((*RTX, "externalResourceProvider"), "true", [("shape", "error"), ("external", "error")]),
        ((*RTX, "resourceName"), "vfioctl.io/rtxx", [("unknown", "error"), *UNKNOWN]),
        ((*RTX, "resourceName"), "vfioctl.io/other", [("unknown", "error"), *UNKNOWN]),
        ((*RTX, "resourceName"), "rtx", [("name", "error"), *UNKNOWN]),
        ((*RTX, "resourceName"), GONE, [("shape", "error"), *UNKNOWN]),
        ((*RTX, "pciVendorSelector"), "10DE:FFFF", [("selector", "stale")]),
        ((*RTX, "pciVendorSelector"), "10de:2484", []),
        ((*RTX, "pciVendorSelector"), "10DE2484", [("shape", "error")]),
        ((*RTX, "pciVendorSelector"), 10, [("shape", "error")]),
        (RTX, "text", [("shape", "error"), *UNKNOWN]),
        ((*DONGLE, "selectors", 0, "product"), "9999", [("selector", "stale")]),
        ((*DONGLE, "selectors", 0, "vendor"), 1050, [("shape", "error")]),
        ((*DONGLE, "resourceName"), "vfioctl.io/rtx",
         [("list", "error"), ("twice", "error"), *UNKNOWN]),
        ((0, "spec", "configuration", "developerConfiguration", "featureGates"), ["GPU"], [("gate", "warn")]),
        ((*DEVICES, "gpus", 0, "deviceName"), "vfioctl.io/vf", [("twice", "error")]),
        ((*DEVICES, "gpus", 0, "deviceName"), "nvidia.com/x", [("unknown", "error")]),
        ((*DEVICES, "gpus", 0, "deviceName"), GONE, [("shape", "error")]),
        ((0, "kind"), "HyperConverged", [("missing", "warn")] * 3 + [("unknown", "error")] * 3),
        ((0, "metadata"), None, []),
    ],
)  # fmt: skip
def test_each_seeded_mistake_is_found(
    sample: Host, path: tuple[Any, ...], value: object, problems: list[tuple[str, str]]
) -> None:
    """One change of a clean document, and exactly what follows from it."""
    offered, known = told(sample, CONFIG)
    documents: Any = copy.deepcopy(both(offered))
    place = documents
    for key in path[:-1]:
        place = place[key]
    if value is GONE:
        del place[path[-1]]
    else:
        place[path[-1]] = value

    said = check(documents, known)

    assert found(said) == problems
    assert all(problem.place and problem.message and problem.hint for problem in said)


def test_a_rival_of_kubevirt_itself_is_found(sample: Host) -> None:
    """An internal entry of another name for the same devices gives them away twice."""
    offered, known = told(sample, CONFIG)
    documents = both(offered)
    rival = {"pciVendorSelector": "10de:2484", "resourceName": "nvidia.com/GA104"}
    documents[0]["spec"]["configuration"]["permittedHostDevices"]["pciHostDevices"].append(rival)

    assert found(check(documents, known)) == [("rival", "warn")]


def test_lists_and_virtual_machines_are_looked_into(sample: Host) -> None:
    """`kubectl get` prints a list; a VM has its template."""
    offered, known = told(sample, CONFIG)
    cluster, machine = both(offered)
    cluster["spec"]["configuration"]["permittedHostDevices"]["usb"] = []
    machine = {
        "kind": "VirtualMachine",
        "metadata": {"name": "web1"},
        "spec": {"template": {"spec": machine["spec"]}},
    }

    said = check([{"kind": "List", "items": [cluster, machine, 7]}], known)

    assert found(said) == UNKNOWN
    assert said[1].place.startswith("VirtualMachine web1 ")
    assert found(check([machine], known)) == []


def test_a_device_that_a_claim_brings_is_none_of_ours(sample: Host) -> None:
    """Entries of dynamic resource allocation have no deviceName."""
    _, known = told(sample, CONFIG)
    devices = {"gpus": [{"name": "a", "claimName": "c", "requestName": "r"}]}

    assert check([{"kind": "VirtualMachineInstance", "spec": {"domain": {"devices": devices}}}], known) == ()


texts = st.text(st.characters(codec="utf-8"), max_size=8)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=15,
)  # fmt: skip
AWKWARD = [
    "1e07",
    "1E07",
    "65:00",
    "0407",
    "no",
    "~",
    "",
    " a",
    "a: b",
    "# c",
    "- d",
    "'",
    '"',
    "\\",
    "\x7f",
    "\u2028",
    "😀",
]


@given(st.dictionaries(st.sampled_from(AWKWARD) | texts, json_values, max_size=4))
def test_what_is_written_is_read_back(value: dict[str, Any]) -> None:
    """Texts stay texts, whatever they look like."""
    value = {**value, "awkward": [*AWKWARD, dict.fromkeys(AWKWARD, "1e07")]}

    assert read_yaml(yaml_text([value, value]).encode(), "text") == [value, value]


def test_what_cannot_be_yaml_here_is_refused() -> None:
    """No value is silently changed."""
    with pytest.raises(TypeError):
        yaml_text([{"a": 1.5}])


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (BOMB.encode(), "aliases are not read"),
        (b"a: &a [*a]", "aliases are not read"),
        (b"!!python/object/apply:os.system ['true']", "could not determine a constructor"),
        (b"a: 1\nb: 2\na: 3\n", "line 3: the key 'a' stands here twice"),
        (b"[" * 5000, "nested deeper"),
        (b"{a: " * 5000, "nested deeper"),
        (b"a: [", "line 1"),
        (b"\xff", "utf-8"),
        (b"a: \x00", "unacceptable character"),
        (b"a: 2024-99-99", "month must be"),
        (b"a: " + b"1" * 5000, "digits"),
        (b"? [1]\n: 2", "unhashable"),
        (b" " * (LARGEST + 1), "larger than"),
    ],
    ids=range(13),
)  # fmt: skip
def test_documents_of_strangers_do_no_harm(content: bytes, words: str) -> None:
    """An error with its place, and nothing executed or multiplied."""
    with pytest.raises(UsageError, match=words) as caught:
        read_yaml(content, "evil.yaml")

    assert caught.value.message.startswith("evil.yaml")


def test_ordinary_documents_are_read_as_kubernetes_reads_them() -> None:
    """JSON is YAML; empty documents are none; the safe loader itself agrees."""
    text = '{"a": [1, true, null]}\n---\n---\nb: text\n'

    assert read_yaml(text.encode(), "text") == [{"a": [1, True, None]}, {"b": "text"}]
    assert [one for one in yaml.safe_load_all(text) if one] == read_yaml(text.encode(), "text")


WORDS = [
    "kind",
    "KubeVirt",
    "List",
    "items",
    "metadata",
    "name",
    "VirtualMachine",
    "VirtualMachineInstance",
    *LISTS,
]
WORDS += [
    "pciHostDevices",
    "usb",
    "selectors",
    "resourceName",
    "pciVendorSelector",
    "template",
    "domain",
    "devices",
]
WORDS += [
    "gpus",
    "hostDevices",
    "deviceName",
    "cpu",
    "cores",
    "memory",
    "guest",
    "vfioctl.io/rtx",
    "10DE:2484",
]
scraps = st.recursive(
    st.sampled_from([*WORDS, None, True, 7, -1]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(scraps, max_size=2), scraps)
def test_no_document_of_any_shape_is_a_surprise(sample: Host, documents: list[Any], scrap: object) -> None:
    """Whatever stands where: it is checked, complained about, or not looked at."""
    offered, known = told(sample, CONFIG)
    cluster, machine = both(offered)
    lists = cluster["spec"]["configuration"]["permittedHostDevices"]
    lists["pciHostDevices"] = [scrap, *lists["pciHostDevices"]]
    machine["spec"]["domain"] = scrap

    said = check([*documents, cluster, machine], known)

    assert all(isinstance(text, str) for problem in said for text in problem)
    assert "shape" in dict(found(said))
    assert isinstance(machine_of(machine), Machine)
