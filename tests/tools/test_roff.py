"""Text survives the way through roff, whatever characters it holds."""

from __future__ import annotations

import shutil
import subprocess
from typing import Final

import pytest

from tools import roff

NASTY: Final = (
    ".SH is no section",
    "'request by an apostrophe",
    r"a backslash \n, \fBno bold\fR, \(aq, \*(dq",
    "-o, --output and a-b",
    "a \"quoted\" word and `code with 'quotes'`",
    "10de:2204~^, caf\u00e9 \u2026 \u2192 end",
    (
        f"a line of {'many ' * 13}words, so that it is filled and its next line begins with .SH or "
        f"{'more ' * 15}words and 'an apostrophe"
    ),
)


def rendered(page: list[str], width: int = 78) -> str:
    """Return what groff prints for a page's body, without overstriking, words separated by one blank."""
    if shutil.which("groff") is None:
        pytest.skip("install groff-base")
    text = "\n".join(['.TH "X" "8" "2026-11-23" "x" "x"', ".nh", ".ad l", ".SH BODY", *page, ""])
    ended = subprocess.run(
        ["groff", "-ww", "-man", "-Tutf8", "-P-c", "-P-b", "-P-u", f"-rLL={width}n"],
        input=text,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stderr == ""
    return " ".join(ended.stdout.split())


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
def test_a_filled_paragraph_prints_as_it_was_written(text: str) -> None:
    """Nothing is read as a request, an escape or a soft hyphen."""
    assert " ".join(text.replace("`", "").split()) in rendered(roff.paragraphs(text))


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
def test_a_kept_paragraph_prints_as_it_was_written(text: str) -> None:
    r"""The same between \b and the next blank line."""
    assert text.replace("`", "") in rendered(roff.paragraphs(f"\b\n{text}"), width=300)


@pytest.mark.parametrize("text", NASTY, ids=range(len(NASTY)))
def test_a_tagged_text_prints_as_it_was_written(text: str) -> None:
    """An option's help may begin with anything."""
    assert " ".join(text.replace("`", "").split()) in rendered(roff.tagged(roff.bold("-x"), text))


def test_a_tag_without_text_leaves_the_next_one_alone() -> None:
    """An empty help does not swallow the following option."""
    page = [*roff.tagged(roff.bold("--first"), ""), *roff.tagged(roff.bold("--second"), "Help.")]

    assert rendered(page).count("--") == 2


def test_indented_lines_keep_their_form() -> None:
    """Four blanks make a block of code."""
    source = roff.paragraphs("Type:\n\n    vfioctl scan\n    vfioctl groups")

    assert source == ["Type:", ".PP", ".RS 4", ".nf", "vfioctl scan", "vfioctl groups", ".fi", ".RE"]


def test_code_is_never_parted_from_its_backticks() -> None:
    """Filling moves code as one word, so its end is on its line."""
    text = " ".join(["word"] * 14) + " `vfioctl snapshot save --redact host.tar.gz`"

    assert all(line.count(r"\fB") == line.count(r"\fR") for line in roff.paragraphs(text))
