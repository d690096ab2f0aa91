"""How pytest-xdist spreads the tests over its processes.

The tests of a module stay together, so that what they share, such as a loaded model,
is made once.
"""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

#: Folders and modules whose tests run one after the other in one process, in this
#: order and before all others: most of their time is waiting, and the last group to
#: start must be a short one. The tests of e2e share a server and a browser.
TOGETHER = ("tests/e2e/", "tests/test_postgresql.py", "tests/llm_manager/launcher/")


def group_of(nodeid: str) -> str:
    """Return the name of the tests that run in one process with this one."""
    if nodeid.startswith("tests/test_seed.py"):
        # It talks to the server of e2e.
        return TOGETHER[0]
    for prefix in TOGETHER:
        if nodeid.startswith(prefix):
            return prefix
    return nodeid.partition("::")[0]


def rank(nodeid: str) -> int:
    """Return a test's place among the groups that start first."""
    group = group_of(nodeid)
    return TOGETHER.index(group) if group in TOGETHER else len(TOGETHER)


class GroupScheduling(LoadScopeScheduling):
    """Hands out groups in the order of collection."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
