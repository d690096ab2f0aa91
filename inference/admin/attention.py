"""What needs an administrator, and what to do: for the dashboard and health page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.urls import reverse

if TYPE_CHECKING:
    from inference.health.findings import HealthFinding
    from llm_manager.lib.badges import Tone


@dataclass(frozen=True, slots=True)
class AttentionLink:
    """A page where something can be seen or done."""

    label: str
    url: str


@dataclass(frozen=True, slots=True)
class AttentionAction:
    """A button: the page's form is sent to ``url`` with this name and value."""

    label: str
    url: str
    name: str
    value: int


@dataclass(frozen=True, slots=True)
class Attention:
    """Something that needs an administrator, and the ways on."""

    tone: Tone
    title: str
    text: str = ""
    advice: str = ""
    links: tuple[AttentionLink, ...] = ()
    action: AttentionAction | None = None


def attention_of(finding: HealthFinding, user: Any) -> Attention:
    """Return a finding with the links and the button that this user may press."""
    links: tuple[AttentionLink, ...] = ()
    action = None
    if finding.model_id is not None:
        if user.has_perm("registry.view_model"):
            page = reverse("admin:registry_model_change", args=[finding.model_id])
            links = (AttentionLink("Settings and reason", page),)
        if user.has_perm("registry.change_model"):
            url = reverse("admin:registry_model_load")
            action = AttentionAction("Try again", url, "model", finding.model_id)
    elif finding.node_id is not None and user.has_perm("inference.delete_enginenode"):
        url = reverse("admin:inference_enginenode_forget")
        action = AttentionAction("Forget", url, "node", finding.node_id)
    return Attention(
        finding.severity, finding.part, finding.text, finding.advice, links, action
    )
