"""The health page: every part, what is wrong first, no button one may not press."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from inference.models import EngineNode, RpcServer, WorkerState
from tests.admin_pages import count_queries, said
from tests.configuration import changed
from tests.factories import make_model, make_node, make_user, make_worker

if TYPE_CHECKING:
    from django.test import Client

    from registry.models import Model

pytestmark = pytest.mark.django_db
PAGE = "/admin/inference/enginenode/"
FORGET = f"{PAGE}forget/"


@pytest.fixture
def broken() -> Model:
    """Make a lost node, a living one, and a model that failed."""
    old = timezone.now() - timedelta(minutes=5)
    make_node("lost", heartbeat_at=old)
    model = make_model("broken")
    node = make_node("living", programs={"llama-cpp-python": "0.1"})
    make_worker(model, node, state=WorkerState.FAILED, error="missing tensor 'x'")
    return model


def test_what_is_wrong_comes_first_with_what_to_do(
    admin_client: Client, broken: Model
) -> None:
    html = admin_client.get(PAGE).content.decode()
    wrong, parts = html.index("What is wrong"), html.index(">Parts<")
    assert wrong < html.index("missing tensor &#x27;x&#x27;") < parts
    assert wrong < html.index("no heartbeat since") < parts
    assert wrong < html.index("Install the same versions there") < parts
    for text in ("SQLite", "llama-cpp-python 0.1", "Django", "Requests without a row"):
        assert text in html
    assert html.index(">Try again<") < parts
    assert html.index(">Forget<") < parts


def test_rpc_servers_are_shown_with_what_they_lend_and_what_is_wrong(
    admin_client: Client, settings: Any
) -> None:
    servers = ("10.0.0.2:1", "10.0.0.3:1")
    settings.CONFIG = changed(
        settings.CONFIG, rpc__servers=servers, rpc__secret="x" * 32
    )
    node = make_node("n1")
    lent = {"name": "CPU", "description": "EPYC", "total": 2**34, "free": 2**33}
    RpcServer.objects.create(
        node=node, address=servers[0], devices=[lent], holder="big on n1"
    )
    RpcServer.objects.create(node=node, address=servers[1], error="It is away.")
    # One that the configuration does not name any more.
    RpcServer.objects.create(node=node, address="10.0.0.4:1", error="Forgotten.")
    for page in (PAGE, "/admin/inference/worker/"):
        html = admin_client.get(page).content.decode()
        assert "RPC server 10.0.0.2:1" in html
        assert "EPYC, <b>7.6 GiB</b> lent, to big on n1" in html
        assert '<span class="lm-bad">It is away.</span>' in html
        assert "10.0.0.4" not in html
    wrong = admin_client.get(PAGE).content.decode().split(">Parts<")[0]
    assert "Seen from n1: It is away." in wrong
    assert "Start `llm-manager rpc` there" in wrong


def test_a_viewer_sees_it_all_and_no_button(client: Client, broken: Model) -> None:
    vera = make_user("vera", "inference.view_enginenode", is_staff=True)
    client.force_login(vera)
    html = client.get(PAGE).content.decode()
    assert "missing tensor" in html
    for button in ("Try again", "Forget", "Settings and reason"):
        assert button not in html
    lost = EngineNode.objects.get(name="lost")
    assert client.post(FORGET, {"node": lost.pk}).status_code == 403
    assert EngineNode.objects.filter(name="lost").exists()


def test_staff_without_the_permission_does_not_see_it(client: Client) -> None:
    client.force_login(make_user("carl", is_staff=True))
    assert client.get(PAGE).status_code == 403
    assert client.get(f"{PAGE}status/").status_code == 403
    assert PAGE not in client.get("/admin/").content.decode()


def test_a_lost_node_is_forgotten_and_a_living_one_is_not(
    admin_client: Client, broken: Model
) -> None:
    lost = EngineNode.objects.get(name="lost")
    living = EngineNode.objects.get(name="living")
    answer = admin_client.post(FORGET, {"node": lost.pk})
    assert said(answer) == ["success: lost was forgotten."]
    answer = admin_client.post(FORGET, {"node": living.pk})
    assert "not forgotten" in said(answer)[-1]
    answer = admin_client.post(FORGET, {"node": "x"})
    assert "not known" in said(answer)[-1]
    assert [node.name for node in EngineNode.objects.all()] == ["living"]
    assert admin_client.get(FORGET).status_code == 405


def test_the_page_costs_as_many_queries_for_many_nodes(admin_client: Client) -> None:
    make_worker(make_model(), make_node("n"))
    few = count_queries(admin_client, PAGE)
    for number in range(10):
        make_worker(make_model(), make_node(f"n{number}"))
    assert count_queries(admin_client, PAGE) == few
