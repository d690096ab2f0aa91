"""What is measured of usage rows themselves."""

from __future__ import annotations

from prometheus_client import Counter

LINES_LOST = Counter(
    "llm_usage_lines_lost",
    "Lines of the usage journal that were lost: the disk was full for long, or the "
    "database refuses what they say.",
)
USAGE_METRICS = (LINES_LOST,)
