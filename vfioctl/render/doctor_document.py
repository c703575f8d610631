"""A checkup as a document."""

from __future__ import annotations

from vfioctl.render.document import document
from vfioctl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vfioctl.checkup.check import Check
    from vfioctl.checkup.topics import Topic
    from vfioctl.render.document import Document


def doctor_document(checks: Iterable[Check]) -> Document:
    """Describe what a checkup found, in the order in which to mend things."""
    return document("doctor", checks=[_check(check) for check in checks])


def _check(check: Check) -> Document:
    return {
        "id": check.id,
        "title": check.title,
        "address": None if check.address is None else str(check.address),
        "status": check.status.value,
        "evidence": [{"file": one.file, "value": one.value} for one in check.evidence],
        "remedy": check.remedy,
        "see": check.see,
    }


def topics_document(topics: Iterable[Topic]) -> Document:
    """Describe what is behind checks."""
    return document(
        "doctor-topics",
        topics=[
            {"id": topic.id, "about": topic.about, "background": " ".join(topic.background.split())}
            for topic in topics
        ],
    )
