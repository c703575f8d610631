"""Distribution packages fetched by apt into a private state: nothing of the system is touched.

Mirror and key come from the system's own apt sources; only the names of the suites are ours.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.lab.errors import LabUnavailableError
from tests.lab.recipe import BACKPORTS, RELEASE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

DEBIAN_SUITES: Final = frozenset({"stable", "testing", "sid", "bookworm", "trixie", "forky"})
MERGED_DIRECTORIES: Final = ("bin", "sbin", "lib", "lib64")


class Source(NamedTuple):
    """One archive of the system's apt sources: where it is and which key signs it ("" = apt's default)."""

    uris: str
    suites: frozenset[str]
    signed_by: str


class Apt(NamedTuple):
    """An apt whose lists, archives and package database live in one private folder."""

    folder: Path

    def options(self) -> list[str]:
        """Give the options that turn every path of apt into the private folder."""
        values = {
            "Dir::Etc::sourcelist": self.folder / "lab.sources",
            "Dir::Etc::sourceparts": "-",
            "Dir::State": self.folder / "state",
            "Dir::State::lists": self.folder / "state" / "lists",
            "Dir::State::status": self.folder / "status",
            "Dir::Cache": self.folder / "cache",
            "APT::Sandbox::User": "",
            "APT::Install-Recommends": "0",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
        }
        return [argument for key, value in values.items() for argument in ("-o", f"{key}={value}")]

    def prepare(self) -> None:
        """Write the private sources and fetch the package lists."""
        if shutil.which("apt-get") is None:
            message = "there is no apt-get: the lab is made from Debian packages"
            raise LabUnavailableError(message)
        for name in ("state/lists/partial", "cache/archives/partial", "archives"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "status").write_text("", encoding="utf-8")
        source = debian_source(Path("/etc/apt"))
        (self.folder / "lab.sources").write_text(private_sources(source), encoding="utf-8")
        self._run("apt-get", "update", "-q")

    def resolve(self, names: Iterable[str]) -> dict[str, str]:
        """Give name -> version of the packages and all they depend on; a name may say `package/suite`."""
        output = self._run("apt-get", "--simulate", "install", *names)
        chosen = (line.split() for line in output.splitlines() if line.startswith("Inst "))
        return {words[1]: words[2].strip("(") for words in chosen}

    def real_package(self, name: str, suite: str) -> str:
        """Give the package which a meta package of this suite depends on first."""
        output = self._run("apt-cache", "depends", f"{name}/{suite}")
        for line in output.splitlines():
            kind, _, package = line.strip().partition(": ")
            if kind == "Depends":
                return package
        message = f"the package {name} of {suite} names no real package"
        raise LabUnavailableError(message)

    def download(self, packages: dict[str, str]) -> list[Path]:
        """Fetch these packages (name -> version, "" for any) once and give their files."""
        archives = self.folder / "archives"
        wanted = {
            name: version for name, version in packages.items() if not _archive(archives, name, version)
        }
        if wanted:
            names = [f"{name}={version}" if version else name for name, version in wanted.items()]
            self._run("apt-get", "download", "-q", *names, cwd=archives)
        return [path for name, version in packages.items() if (path := _archive(archives, name, version))]

    def _run(self, program: str, *arguments: str, cwd: Path | None = None) -> str:
        command = [program, *self.options(), *arguments]
        environment = {**os.environ, "LC_ALL": "C"}
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            message = f"{program} {arguments[0]} failed: {done.stderr.strip()[-600:]}"
            raise LabUnavailableError(message)
        return done.stdout


def debian_source(etc_apt: Path) -> Source:
    """Find the Debian archive among the system's apt sources; raise LabUnavailableError without one."""
    files = [etc_apt / "sources.list", *sorted((etc_apt / "sources.list.d").glob("*"))]
    for path in files:
        if path.is_file() and path.suffix in {".list", ".sources"}:
            text = path.read_text(encoding="utf-8", errors="replace")
            parse = _deb822_sources if path.suffix == ".sources" else _one_line_sources
            for source in parse(text):
                if source.suites & DEBIAN_SUITES:
                    return source
    message = "the system's apt sources name no Debian archive to take packages from"
    raise LabUnavailableError(message)


def private_sources(source: Source) -> str:
    """Give the text of a sources file for our suites in the archive of this source."""
    lines = ["Types: deb", f"URIs: {source.uris}", f"Suites: {RELEASE} {BACKPORTS}", "Components: main"]
    if source.signed_by:
        lines.append(f"Signed-By: {source.signed_by}")
    return "\n".join(lines) + "\n"


def _deb822_sources(text: str) -> Iterator[Source]:
    for stanza in text.split("\n\n"):
        fields: dict[str, str] = {}
        key = ""
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1].isspace() and key:
                fields[key] += "\n" + line
            elif ":" in line:
                key, _, value = line.partition(":")
                key = key.lower()
                fields[key] = value.strip()
        if "deb" in fields.get("types", "").split() and fields.get("enabled", "yes") == "yes":
            suites = frozenset(fields.get("suites", "").split())
            yield Source(fields.get("uris", ""), suites, fields.get("signed-by", ""))


def _one_line_sources(text: str) -> Iterator[Source]:
    for line in text.splitlines():
        words = line.partition("#")[0].split()
        if not words or words[0] != "deb":
            continue
        options = ""
        if words[1].startswith("["):
            end = next(index for index, word in enumerate(words) if word.endswith("]"))
            options = " ".join(words[1 : end + 1]).strip("[] ")
            words = [words[0], *words[end + 1 :]]
        signed_by = dict(option.split("=", 1) for option in options.split() if "=" in option).get(
            "signed-by", ""
        )
        yield Source(words[1], frozenset(words[2:3]), signed_by)


def _archive(archives: Path, name: str, version: str) -> Path | None:
    pattern = f"{name}_{version.replace(':', '%3a')}_*.deb" if version else f"{name}_*.deb"
    found = sorted(archives.glob(pattern))
    return found[-1] if found else None


def unpack(archives: Iterable[Path], root: Path) -> None:
    """Unpack packages side by side into a folder with Debian's merged /usr; no maintainer script runs."""
    for name in MERGED_DIRECTORIES:
        (root / "usr" / name).mkdir(parents=True, exist_ok=True)
        if not (root / name).is_symlink():
            (root / name).symlink_to(f"usr/{name}")
    extract = ["tar", "--extract", "--keep-directory-symlink", "--no-same-owner", "--directory", str(root)]
    for archive in archives:
        with subprocess.Popen(
            ["dpkg-deb", "--fsys-tarfile", str(archive)], stdout=subprocess.PIPE
        ) as package:
            subprocess.run(extract, stdin=package.stdout, check=True)
        if package.returncode != 0:
            message = f"{archive.name} cannot be unpacked"
            raise LabUnavailableError(message)


def strip(root: Path, names: Iterable[str]) -> None:
    """Remove files and folders of an unpacked root, as far as they are there."""
    for path in (root / name for name in names):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def foreign_command(root: Path, program: str, called: str = "") -> list[str]:
    """Give the start of a command that runs a program of an unpacked root with that root's own libraries."""
    libraries = [root / "usr/lib/x86_64-linux-gnu", root / "usr/lib"]
    path = ":".join(str(folder) for folder in libraries)
    loader = str(root / "usr/lib64/ld-linux-x86-64.so.2")
    return [loader, "--argv0", called or program, "--library-path", path, str(root / program)]
