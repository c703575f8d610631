from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest

from vfioctl.export.yaml_source import read_yaml

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Ask
    from tests.golden_files import GoldenFiles

CONFIG = """
[[resource]]
name = "vfioctl.io/rtx"
select = ["10de:2484"]
[[resource]]
name = "vfioctl.io/elsewhere"
select = ["10de:1eb8"]
[[resource]]
name = "vfioctl.io/nowhere"
select = ["slot:77"]
[[resource]]
name = "vfioctl.io/kvm"
kind = "node"
paths = ["/dev/kvm"]
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    """Return the file of a configuration."""
    path = tmp_path / "plugin.toml"
    path.write_text(CONFIG)
    return str(path)


@pytest.mark.parametrize("host", ["sample", "server"])
def test_both_parts_as_yaml_and_json(host: str, ask: Ask, golden: GoldenFiles) -> None:
    """The same values, without a configuration: every model on a vfio driver."""
    text = ask("kubevirt", "snippet", host=host)
    document = ask("kubevirt", "snippet", "--json", host=host)

    assert (text.code, document.code) == (0, 0)
    assert read_yaml(text.out.encode(), "snippet") == [document.document["cluster"], document.document["vmi"]]
    golden.check(f"kubevirt/{host}.yaml", text.out)
    golden.check(f"kubevirt/{host}.json", document.out)


def test_one_part(ask: Ask, config: str) -> None:
    """What is left out, and what has no device here, is said."""
    ended = ask("kubevirt", "snippet", "--part", "vmi", "--config", config, host="sample")

    (machine,) = read_yaml(ended.out.encode(), "snippet")
    devices = machine["spec"]["domain"]["devices"]
    assert [one["deviceName"] for one in devices["gpus"]] == ["vfioctl.io/rtx"]
    assert [one["name"] for one in devices["hostDevices"]] == ["elsewhere", "nowhere"]
    assert "vfioctl.io/kvm is left out" in ended.err
    assert "vfioctl.io/nowhere: this host has no device of it" in ended.err


def test_without_any_resource_there_is_nothing_to_print(ask: Ask) -> None:
    """Exit code 3, and what to do."""
    ended = ask("kubevirt", "snippet", host="laptop")

    assert (ended.code, ended.out) == (3, "")


def test_a_pipe_from_one_to_the_other_is_clean(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """`-` is stdin."""
    text = ask("kubevirt", "snippet", host="sample").out
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))

    ended = ask("kubevirt", "check", "-", host="sample")

    assert (ended.code, ended.out) == (0, "nothing speaks against it\n")


def test_what_is_wrong_as_text_and_as_a_document(
    ask: Ask, config: str, tmp_path: Path, golden: GoldenFiles
) -> None:
    """Errors decide the exit code before what is stale; what only warns does not."""
    text = ask("kubevirt", "snippet", "--config", config, host="sample").out
    wrong = tmp_path / "kubevirt.yaml"
    wrong.write_text(text.replace("        externalResourceProvider: true\n", "", 1))
    stale = tmp_path / "stale.yaml"
    stale.write_text(text)

    said = ask("kubevirt", "check", str(wrong), "--config", config, host="sample")
    document = ask("kubevirt", "check", str(wrong), "--config", config, "--json", host="sample")
    old = ask("kubevirt", "check", str(stale), "--config", config, host="sample")

    assert (said.code, document.code, old.code) == (4, 4, 10)
    assert [one["check"] for one in json.loads(document.out)["problems"]] == [
        "external",
        "selector",
        "selector",
    ]
    golden.check("kubevirt/check.txt", said.out)
    golden.check("kubevirt/check.json", document.out)


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (None, 3, "does not exist"),
        (b"kind: Pod\n", 2, "neither a KubeVirt nor a virtual machine"),
        (b"", 2, "neither a KubeVirt nor a virtual machine"),
        (b"a: [", 2, "line 1"),
    ],
    ids=["missing", "pod", "empty", "broken"],
)
def test_what_cannot_be_checked_is_no_clean_result(
    content: bytes | None, code: int, words: str, ask: Ask, tmp_path: Path
) -> None:
    """Nothing found in nothing is not fine."""
    path = tmp_path / "file.yaml"
    if content is not None:
        path.write_bytes(content)

    ended = ask("kubevirt", "check", str(path), host="sample")

    assert ended.code == code
    assert words in ended.err


def test_mediated_devices_are_listed_by_their_type(ask: Ask, tmp_path: Path) -> None:
    """A vGPU stands among the `gpus`, under the name of its type."""
    path = tmp_path / "plugin.toml"
    path.write_text('[[resource]]\nname = "vfioctl.io/vgpu"\nkind = "mdev"\nselect = ["class:gpu"]\n')
    text = ask("kubevirt", "snippet", "--config", str(path), host="mdev").out
    (tmp_path / "kubevirt.yaml").write_text(text)

    cluster, machine = read_yaml(text.encode(), "snippet")
    ended = ask("kubevirt", "check", str(tmp_path / "kubevirt.yaml"), "--config", str(path), host="mdev")

    permitted = cluster["spec"]["configuration"]["permittedHostDevices"]
    assert permitted == {
        "mediatedDevices": [
            {
                "mdevNameSelector": "i915-GVTg_V5_4",
                "resourceName": "vfioctl.io/vgpu",
                "externalResourceProvider": True,
            }
        ]
    }
    assert list(machine["spec"]["domain"]["devices"]) == ["gpus"]
    assert ended.code == 0
