"""What is measured of usage rows themselves."""

from __future__ import annotations

from prometheus_client import Counter

LINES_LOST = Counter(
    "llm_usage_lines_lost",
    "Lines of the usage journal that were lost: the disk was full for long, or the "
    "database refuses what they say.",
)
USAGE_METRICS = (LINES_LOST,)


def lines_lost() -> int:
    """Return how many lines this process has lost."""
    samples = next(iter(LINES_LOST.collect())).samples
    return int(next(each.value for each in samples if each.name.endswith("_total")))
