"""`serve-plugin --dry-run`, `plugin explain`, `plugin lint`: the kubelet plugin without a kubelet."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.tree import HostTree
from tests.sysfs.test_usb import STICK, plug

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Ask
    from tests.golden_files import GoldenFiles
    from tests.in_process import Program

T4, VF, UNBOUND = "0000:98:00.0", "0000:17:01.1", "0000:17:01.0"
MDEV = "4b20d080-1b54-4048-85b3-a6a62d165c01"
CONFIG = """
[plugin]
listen = ""

[[resource]]
name = "vfioctl.io/t4"
kind = "pci"
select = ["10de:1eb8,numa:1"]

[[resource]]
name = "vfioctl.io/vf"
select = ["vfs-of:17:00.0#0-2"]
exclude = ["0000:17:01.2"]
priority = 1

[[resource]]
name = "vfioctl.io/kvm"
kind = "node"
paths = ["/dev/kvm"]
count = 110
"""


@pytest.fixture
def written(tmp_path: Path) -> str:
    """Return the path of a configuration for the server among the sample hosts."""
    path = tmp_path / "plugin.toml"
    path.write_text(CONFIG)
    return str(path)


@pytest.mark.parametrize("host", ["sample", "server", "lab-6.12-cdev", "legacy"])
def test_what_is_offered_without_a_configuration(host: str, ask: Ask, golden: GoldenFiles) -> None:
    """The same facts as text and as a document."""
    text, document = (ask("serve-plugin", "--dry-run", *form, host=host) for form in ([], ["--json"]))

    assert (text.code, document.code) == (0, 0)
    golden.check(f"serve-plugin/{host}.txt", text.out)
    golden.check(f"serve-plugin/{host}.json", document.out)
    items = [item for resource in document.document["resources"] for item in resource["items"]]
    assert all(f"{item['id']} " in text.out for item in items)


def test_a_configuration_decides_what_is_offered(written: str, ask: Ask, golden: GoldenFiles) -> None:
    """Names, items, what is left out and why; items left out alike are one line."""
    text = ask("serve-plugin", "-n", "--config", written, host="server")
    document = ask("serve-plugin", "-n", "--config", written, "--json", host="server").document

    golden.check("serve-plugin/server-config.txt", text.out)
    assert document["config"] == written
    assert [(one["name"], [item["id"] for item in one["items"]]) for one in document["resources"]] == [
        ("vfioctl.io/t4", [T4]),
        ("vfioctl.io/vf", [VF]),
        ("vfioctl.io/kvm", []),
    ]
    assert document["left_out"][0] == {
        "id": UNBOUND,
        "resource": "vfioctl.io/vf",
        "why": f"on driver iavf; to offer it: vfioctl bind {UNBOUND}",
    }


def test_only_a_running_host_is_served_from(ask: Ask) -> None:
    """A recorded one can be shown, not served."""
    ended = ask("serve-plugin", host="server")

    assert (ended.code, ended.out) == (2, "")
    assert "is no host to serve from" in ended.err


def test_a_table_fits_its_terminal(ask: Ask) -> None:
    """Only commands, which are there to be copied, and reasons with them may be longer."""
    screen = ask("serve-plugin", "-n", "-o", "table", "--no-color", host="lab-6.12-cdev", width=80)

    rows = screen.out.partition("\n\n")[0].splitlines()
    assert max(map(len, rows)) <= 80
    assert len(rows) == 10


def test_the_environment_names_a_configuration_and_the_option_another(
    written: str, tmp_path: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Command line before environment before the host's own file."""
    other = tmp_path / "other.toml"
    other.write_text('[[resource]]\nname = "a.b/c"\nselect = ["class:gpu"]\n')
    monkeypatch.setenv("VFIOCTL_CONFIG", str(other))

    by_environment = ask("serve-plugin", "-n", "--json", host="server").document
    by_option = ask("serve-plugin", "-n", "--json", "--config", written, host="server").document

    assert (by_environment["config"], by_option["config"]) == (str(other), written)


def test_a_host_below_a_root_has_its_own_configuration(tmp_path: Path, runner: Program) -> None:
    """`/host/etc/vfioctl/plugin.toml`, never the one of the machine that looks."""
    tree = HostTree(tmp_path / "host").device("0000:01:00.0", driver="vfio-pci", group=1)
    tree.file("/etc/vfioctl/plugin.toml", '[[resource]]\nname = "a.b/c"\nselect = ["class:nic"]\n')

    document = runner("--root", tmp_path / "host", "serve-plugin", "-n", "--json").document

    assert [one["name"] for one in document["resources"]] == ["a.b/c"]
    assert document["config"] == str(tmp_path / "host/etc/vfioctl/plugin.toml")


def test_a_domain_is_for_resources_without_names(written: str, ask: Ask) -> None:
    """With a configuration it would be ignored, so it is refused."""
    named = ask("serve-plugin", "-n", "--json", "--domain", "example.com", host="server").document
    refused = ask("serve-plugin", "-n", "--config", written, "--domain", "example.com", host="server")
    wrong = ask("serve-plugin", "-n", "--domain", "Example.com", host="server")

    assert {one["name"].partition("/")[0] for one in named["resources"]} == {"example.com"}
    assert (refused.code, wrong.code) == (2, 2)
    assert "--domain is for serving without a configuration" in refused.err
    assert "'Example.com': the domain must be lower-case" in wrong.err


@pytest.mark.parametrize(
    "command", [["serve-plugin", "-n"], ["plugin", "lint"], ["plugin", "explain", T4]], ids=" ".join
)
def test_a_bad_configuration_is_exit_code_2_and_names_the_key(
    command: list[str], written: str, ask: Ask
) -> None:
    """File, key, what is there, what was expected; as a document too."""
    with open(written, "a", encoding="utf-8") as file:
        file.write('permissions = "rw"\n')

    text = ask(*command, "--config", written, host="server")
    document = ask(*command, "--config", written, "--json", host="server")

    assert (text.code, document.code, text.out) == (2, 2, "")
    assert f"error: {written}: resource[2].permissions: unknown key" in text.err
    assert "hint: expected one of name, kind, paths, count" in text.err
    assert document.document["message"].startswith(f"{written}: resource[2].permissions")


def test_a_tie_is_refused(tmp_path: Path, ask: Ask) -> None:
    """Nobody could say who gets the device."""
    path = tmp_path / "plugin.toml"
    path.write_text(
        "".join(f'[[resource]]\nname = "a.b/{one}"\nselect = ["10de:1eb8,numa:1"]\n' for one in "cd")
    )

    for command in (["serve-plugin", "-n"], ["plugin", "lint"]):
        ended = ask(*command, "--config", str(path), host="server")

        assert (ended.code, ended.out) == (2, "")
        assert f"{T4} is selected by a.b/c and a.b/d with the same priority" in ended.err


@pytest.mark.parametrize(
    ("subject", "golden_name"),
    [(T4, "offered"), ("17:01.2", "excluded"), (UNBOUND, "left-out"), ("00:1f.0", "none")],
)
def test_explain(subject: str, golden_name: str, written: str, ask: Ask, golden: GoldenFiles) -> None:
    """One answer for each resource."""
    text = ask("plugin", "explain", subject, "--config", written, host="server")
    document = ask("plugin", "explain", subject, "--config", written, "--json", host="server").document

    assert text.code == 0
    golden.check(f"plugin-explain/{golden_name}.txt", text.out)
    assert document.pop("config") == written
    golden.check(f"plugin-explain/{golden_name}.json", json.dumps(document, indent=1) + "\n")


def test_explain_of_other_things(tmp_path: Path, ask: Ask, runner: Program) -> None:
    """A mediated device by its UUID, a USB device by id or port."""
    path = tmp_path / "plugin.toml"
    path.write_text(
        f'[[resource]]\nname = "a.b/m"\nkind = "mdev"\nselect = ["mdev:{MDEV}"]\n'
        '[[resource]]\nname = "a.b/u"\nkind = "usb"\nselect = ["usb:046d:c52b"]\n'
    )
    plug(HostTree(tmp_path / "host"), STICK)
    there = ask("plugin", "explain", f"mdev:{MDEV}", "--config", str(path), "--json", host="mdev")
    usb = runner(
        "--root", tmp_path / "host", "plugin", "explain", "usb:046d:c52b", "--config", path, "--json"
    )

    assert [one["verdict"] for one in there.document["resources"]] == ["offered", "other-kind"]
    assert usb.document["subject"] == "1-2.5"
    assert [one["verdict"] for one in usb.document["resources"]] == ["other-kind", "offered"]


@pytest.mark.parametrize(
    ("subject", "code", "text"),
    [
        ("9f:00.0", 3, "nothing here matches 9f:00.0"),
        ("class:nic", 2, "class:nic matches"),
        (f"mdev:{MDEV}", 3, f"no mediated device {MDEV} here"),
        ("usb:1-9", 3, "no USB device 1-9 here"),
        ("gpu", 2, "did you mean class:gpu?"),
    ],
)
def test_explain_needs_one_thing_that_is_there(subject: str, code: int, text: str, ask: Ask) -> None:
    """With the code of every other command for it."""
    ended = ask("plugin", "explain", subject, host="server")

    assert ended.code == code
    assert text in ended.err


def test_explain_where_nothing_is_configured_or_bound(ask: Ask) -> None:
    """That is said, and is no error."""
    ended = ask("plugin", "explain", "00:02.0", host="laptop")

    assert ended.code == 0
    assert "no resource is configured, and nothing is on a vfio driver" in ended.out


def test_lint(tmp_path: Path, ask: Ask, golden: GoldenFiles) -> None:
    """Remarks are no error; without any, that is said."""
    path = tmp_path / "plugin.toml"
    path.write_text('[[resource]]\nname = "a.b/c"\nselect = ["class:gpu", "group:17", "net:eth0"]\n')

    remarks = ask("plugin", "lint", "--config", str(path), host="server")
    document = ask("plugin", "lint", "--config", str(path), "--json", host="server").document
    path.write_text('[[resource]]\nname = "a.b/c"\nselect = ["class:gpu"]\n')
    fine = ask("plugin", "lint", "--config", str(path), host="server")

    assert (remarks.code, fine.code) == (0, 0)
    golden.check("plugin-lint/server.txt", remarks.out)
    assert {one["check"] for one in document["remarks"]} >= {"group-number", "host-driver", "selects-nothing"}
    assert fine.out == "nothing to remark on\n"


def test_a_host_without_an_iommu_offers_nothing(ask: Ask) -> None:
    """That is said beside the empty result."""
    ended = ask("serve-plugin", "-n", host="bare-6.12")

    assert ended.code == 0
    assert "0 resources, 0 items, 0 healthy; 0 left out" in ended.out
    assert "no IOMMU is at work" in ended.err


@pytest.mark.parametrize("words", [["serve-plugin"], ["plugin"], ["plugin", "explain"], ["plugin", "lint"]])
def test_help(words: list[str], ask: Ask, golden: GoldenFiles) -> None:
    """What -h says on 100 columns."""
    golden.check(f"help/{'-'.join(words)}.txt", ask(*words, "-h").out)
