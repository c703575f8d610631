"""`plugin status`, `cordon`, `uncordon`, `resync`: what an administrator sees of a plugin that runs."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from vfioctl.plugin.admin import private_socket
from vfioctl.plugin.protocol import PATH_VARIABLE, encode_result

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli.conftest import Ask
    from tests.golden_files import GoldenFiles

STATUS: dict[str, Any] = {
    "version": "0.1.0",
    "pid": 4242,
    "seconds_running": 60,
    "ready": False,
    "summary": "1 of 3 resources registered, 3 items, 1 healthy; vfioctl.io/bad_ is not registered: invalid",
    "config": {
        "file": "/etc/vfioctl/plugin.toml",
        "error": "plugin.toml: resource[0].colour: unknown key\x1b[2J",
    },
    "kubelet": {"folder": "/var/lib/kubelet", "registration": "kubelet", "present": True},
    "listen": "127.0.0.1:9464",
    "host": {"looks": 7, "seconds_since_look": 2, "error": "looking at the host takes more than 30 s"},
    "ownership": {
        "troubles": [
            {
                "source": "pods",
                "error": "connection refused (UNAVAILABLE)",
                "seconds": 75,
                "text": "what pods have is not known, and nothing is released, for 75 s now:"
                " connection refused (UNAVAILABLE)",
            }
        ]
    },
    "cordoned": ["0000:17:01.1"],
    "resources": [
        {
            "name": "vfioctl.io/t4",
            "registration": "up",
            "registered": True,
            "streams": 1,
            "error": None,
            "allocations": {"granted": 3},
            "items": [
                {
                    "id": "0000:98:00.0",
                    "members": ["0000:98:00.0"],
                    "iommu_group": 42,
                    "numa_nodes": [1],
                    "healthy": True,
                    "reason": None,
                },
                {
                    "id": "0000:17:01.1",
                    "members": ["0000:17:01.1"],
                    "iommu_group": 7,
                    "numa_nodes": [],
                    "healthy": False,
                    "reason": "cordoned",
                },
            ],
        },
        {
            "name": "vfioctl.io/bad_",
            "registration": "failed",
            "registered": False,
            "streams": 0,
            "error": "the ResourceName is invalid (UNKNOWN)",
            "allocations": {},
            "items": [],
        },
        {
            "name": "vfioctl.io/kvm",
            "registration": "waiting",
            "registered": False,
            "streams": 0,
            "error": None,
            "allocations": {},
            "items": [
                {
                    "id": "kvm#0",
                    "members": [],
                    "iommu_group": None,
                    "numa_nodes": [],
                    "healthy": False,
                    "reason": "no-node",
                }
            ],
        },
    ],
}


@contextmanager
def plugin(
    *results: dict[str, Any], listening: socket.socket | None = None
) -> Iterator[list[dict[str, Any]]]:
    """Answer requests with these results, one after the other; yield what was asked."""
    asked: list[dict[str, Any]] = []

    def serve(listening: socket.socket) -> None:
        for result in results:
            channel, _ = listening.accept()
            with channel, channel.makefile("rb") as lines:
                asked.append(json.loads(lines.readline()))
                channel.sendall(encode_result(result))

    if listening is None:
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(os.environ[PATH_VARIABLE])
    with listening:
        listening.settimeout(30)
        listening.listen()
        answering = threading.Thread(target=serve, args=(listening,))
        answering.start()
        yield asked
        answering.join(10)


@pytest.fixture(autouse=True)
def own_socket(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have commands ask a plugin of this test's own; its folder is short enough for a socket."""
    monkeypatch.setenv(PATH_VARIABLE, str(tmp_path_factory.mktemp("k") / "s"))


def test_status_is_a_table_and_a_document(ask: Ask, golden: GoldenFiles) -> None:
    """What is wrong stands below the rows; control characters never reach the terminal."""
    with plugin(STATUS, STATUS) as asked:
        text, document = ask("plugin", "status"), ask("plugin", "status", "--json")

    assert (text.code, document.code) == (0, 0)
    golden.check("plugin-status/status.txt", text.out)
    golden.check("plugin-status/status.json", document.out)
    assert "\x1b" not in text.out
    assert asked == [{"version": 1, "command": "status", "subject": ""}] * 2


def test_state_and_owner_have_columns_where_they_are_told(ask: Ask) -> None:
    """A plugin that knows who has what says so; the others' rows have none."""
    told = json.loads(json.dumps(STATUS))
    told["resources"][0]["items"][0] |= {"state": "allocated", "owner": "default/vm"}

    with plugin(told):
        lines = ask("plugin", "status").out.splitlines()

    assert lines[0].split()[-2:] == ["STATE", "OWNER"]
    assert lines[1].split()[-2:] == ["allocated", "default/vm"]
    assert lines[2].split()[-2:] == ["-", "-"]


def test_what_is_wrong_with_an_owner_is_said(ask: Ask) -> None:
    """A conflict or a leak; that a free item's group is somebody's is none."""
    told = json.loads(json.dumps(STATUS))
    first, second = told["resources"][0]["items"]
    first |= {"state": "draining", "owner": "default/vm", "note": "leak: pid 7 (qemu) has it open"}
    second |= {"state": "free", "owner": None, "note": "default/vm, which has 0000:98:00.0"}

    with plugin(told):
        said = ask("plugin", "status").out

    assert "0000:98:00.0 of vfioctl.io/t4: leak: pid 7 (qemu) has it open" in " ".join(said.split())
    assert "which has 0000:98:00.0" not in said


def test_a_watch_in_a_pipe_prints_what_changed(ask: Ask) -> None:
    """Time going by is no change."""
    later = STATUS | {"seconds_running": 62}
    other = STATUS | {"summary": "all is well"}

    with plugin(STATUS, later, other):
        told = ask("plugin", "status", "--watch", "--interval", "0.1", "--count", "3", "--json")

    assert told.out.count('"kind": "plugin-status"') == 2


def test_a_cordon_names_the_items(ask: Ask) -> None:
    """And says where there was nothing to do."""
    items = [{"resource": "vfioctl.io/t4", "id": "0000:98:00.0"}]
    done = {"subject": "0000:98:00.0", "cordoned": True, "changed": True, "items": items}
    again = done | {"cordoned": False, "changed": False, "items": []}

    with plugin(done, again, done) as asked:
        cordoned = ask("plugin", "cordon", "98:00.0")
        uncordoned = ask("plugin", "uncordon", "0000:98:00.0")
        document = ask("plugin", "cordon", "98:00.0", "--json").document

    assert cordoned.out == "0000:98:00.0 is cordoned\n  item 0000:98:00.0 of vfioctl.io/t4\n"
    assert uncordoned.out == "0000:98:00.0 is in service already\n  no resource offers it now\n"
    assert document == {"schema": 1, "kind": "plugin-cordon", **done}
    assert [(one["command"], one["subject"]) for one in asked[:2]] == [
        ("cordon", "98:00.0"),
        ("uncordon", "0000:98:00.0"),
    ]


def test_resync_sums_up(ask: Ask) -> None:
    """As text and as a document."""
    with plugin({"summary": "all is well"}, {"summary": "all is well"}):
        text, document = ask("plugin", "resync"), ask("plugin", "resync", "--json").document

    assert text.out == "all is well\n"
    assert document == {"schema": 1, "kind": "plugin-resync", "summary": "all is well"}


@pytest.mark.parametrize(
    "words", [("status",), ("status", "--watch"), ("cordon", "65:00.0"), ("uncordon", "x"), ("resync",)]
)
def test_without_a_plugin_the_code_is_3(ask: Ask, words: tuple[str, ...]) -> None:
    """And the hint says how to start one."""
    ended = ask("plugin", *words)

    assert ended.code == 3
    assert ended.err.startswith("error: no serve-plugin runs on this host\nhint: start it: systemctl start")


AS_ROOT_AND_AS_NOBODY = """
import os
from vfioctl.cli.main import run

print(run(["plugin", "status"]), flush=True)
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
print(run(["plugin", "status"]), flush=True)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_is_told_that_it_takes_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel keeps it from the socket, by the mode that the plugin gives it; the way there is open.

    The first run is root's, which is answered, and has loaded all that the second one cannot read here.
    """
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(PATH_VARIABLE, "./s")

    with plugin(STATUS, listening=private_socket("./s")) as asked:
        ended = subprocess.run(
            [sys.executable, "-c", AS_ROOT_AND_AS_NOBODY],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )

    lines = ended.stdout.splitlines()
    assert (lines[-2:], len(asked)) == (["0", "6"], 1)
    assert ended.stderr == "error: ./s is for root alone\nhint: run it as root\n"


def test_a_snapshot_runs_no_plugin(ask: Ask) -> None:
    """Exit code 2, and what would work."""
    ended = ask("plugin", "status", host="sample")

    assert ended.code == 2
    assert "serve-plugin --dry-run" in ended.err
