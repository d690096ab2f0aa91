"""What only the Python API raises."""

from __future__ import annotations

from llm_manager.lib.errors import INVALID, LLMManagerError


class ManagerClosed(LLMManagerError):
    """The manager has been closed, or belongs to another process."""

    code = "manager_closed"
    type = INVALID


class LeftOutWarning(UserWarning):
    """A hint in a request that means nothing to this model, and was left out.

    The HTTP API says the same in the header ``x-llm-manager-left-out``.
    """
