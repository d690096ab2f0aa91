"""How pytest-xdist spreads the tests over its processes: a module's tests together.

What they share, such as a loaded model, is then made once.
"""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

#: Folders or modules whose tests run one after the other in one process: those of e2e
#: share a server, and two browsers on two cores exceed their time limits. They begin
#: first, because they wait most and the process that ends last should have no such.
TOGETHER = ("tests/e2e/", "tests/test_postgresql.py", "tests/llm_manager/launcher/")


def group_of(nodeid: str) -> str:
    """Return the name of the tests that run in one process with this one."""
    for prefix in TOGETHER:
        if nodeid.startswith(prefix):
            return prefix
    return nodeid.partition("::")[0]


def rank(nodeid: str) -> int:
    """Return a test's place among the groups that begin first."""
    group = group_of(nodeid)
    return TOGETHER.index(group) if group in TOGETHER else len(TOGETHER)


class GroupScheduling(LoadScopeScheduling):
    """Hands out groups in the order of collection."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
