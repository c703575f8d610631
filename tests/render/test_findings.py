"""Findings in words."""

from __future__ import annotations

from tests.render.machines import address
from vfioctl.plan.plan import Finding, Plan, Severity
from vfioctl.render.findings import finding_lines, said, way_out
from vfioctl.render.styled import plain_text

FIRST, SECOND = address("01:00.0"), address("01:00.1")


def test_what_is_said_of_several_devices_alike_is_said_once() -> None:
    """64 virtual functions are 64 findings and one line."""
    many = [address(f"05:{number // 8:02x}.{number % 8}") for number in range(64)]
    findings = [Finding("unknown", Severity.NOTE, one, "its holders are unknown", "be root") for one in many]

    (one,) = said(findings)

    assert one.text == (
        "0000:05:00.0 0000:05:00.1 0000:05:00.2 0000:05:00.3 and 60 more: its holders are unknown"
    )
    assert one.hint == "be root"


def test_what_differs_in_anything_but_the_address_is_said_apart() -> None:
    """Another hint, another severity, another check: another finding."""
    finding = Finding("net", Severity.WARN, FIRST, "eth0 is up", "take it down")
    others = [
        finding._replace(hint=""),
        finding._replace(severity=Severity.NOTE),
        finding._replace(check="ssh"),
        finding._replace(message="eth1 is up"),
    ]

    assert len(list(said([finding, *others]))) == 5


def test_refusals_come_first() -> None:
    """Then warnings, then notes, each in the order of the checks."""
    findings = [
        Finding("a", Severity.NOTE, None, "note", ""),
        Finding("b", Severity.WARN, None, "warning", ""),
        Finding("c", Severity.REFUSE, None, "first", ""),
        Finding("d", Severity.REFUSE, None, "second", ""),
    ]

    assert [one.text for one in said(findings)] == ["first", "second", "warning", "note"]


def test_an_address_is_not_said_twice() -> None:
    """Whether the check's message has it already or not."""
    findings = [
        Finding("net", Severity.WARN, FIRST, f"{FIRST}: eth0 is up", ""),
        Finding("console", Severity.WARN, SECOND, f"the only display is {SECOND}", ""),
    ]

    assert [one.text for one in said(findings)] == [
        "0000:01:00.0: eth0 is up",
        "the only display is 0000:01:00.1",
    ]


def test_the_hint_stands_below_and_names_reach_no_terminal_raw() -> None:
    """One line for each of the two parts."""
    finding = Finding("net", Severity.REFUSE, FIRST, "eth\x1b0 has the default route", "use \x9b another one")

    assert plain_text(finding_lines([finding], width=None)) == (
        "refuse      0000:01:00.0: eth\\x1b0 has the default route [net]\n            use \\x9b another one\n"
    )


def test_long_findings_are_wrapped_below_themselves() -> None:
    """A terminal of 60 columns."""
    finding = Finding("net", Severity.REFUSE, FIRST, "word " * 30, "hint " * 20)

    lines = plain_text(finding_lines([finding], width=60)).splitlines()

    assert len(lines) > 4
    assert all(len(line) <= 60 for line in lines)
    assert all(line.startswith(" " * 12) for line in lines[1:])


def test_a_hint_that_several_share_is_said_below_the_last() -> None:
    """A boot display has two reasons and one remedy."""
    findings = [
        Finding("console", Severity.REFUSE, FIRST, text, "use another one") for text in ("one", "two")
    ]

    lines = plain_text(finding_lines(findings, width=None)).splitlines()

    assert [line.strip() for line in lines] == [
        "refuse      0000:01:00.0: one [console]",
        "refuse      0000:01:00.0: two [console]",
        "use another one",
    ]


def test_the_way_out_names_every_check_that_must_be_lifted() -> None:
    """None where one of them cannot be, where nothing refuses, and where the only hint says it."""
    disk = Finding("storage", Severity.REFUSE, FIRST, "sda is mounted", "unmount it")
    route = Finding("net", Severity.REFUSE, SECOND, "the route", "if you mean it: --force net")
    held = Finding("vm", Severity.REFUSE, FIRST, "a VM has it", "shut it down")

    def of(*findings: Finding) -> str | None:
        return way_out(Plan("bind", (), (), findings=findings))

    assert of(disk) == "if the host can do without: --force storage"
    assert of(disk, route, disk) == "if the host can do without: --force storage --force net"
    assert of(route) is None
    assert of(disk, held) is None
    assert of(disk._replace(severity=Severity.WARN)) is None
    assert of() is None
