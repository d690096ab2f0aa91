"""Context tests on a model's page: request, watch, cancel, use, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.admin.models import LogEntry

from registry.models import ContextTest, Kind
from tests.admin_pages import count_queries, said
from tests.factories import make_context_test, make_model, make_node, make_user

if TYPE_CHECKING:
    from django.test import Client

    from registry.models import Model

pytestmark = pytest.mark.django_db
LIST = "/admin/registry/model/"
State = ContextTest.State


def page(client: Client, model: Model) -> str:
    response = client.get(f"{LIST}{model.pk}/change/")
    assert response.status_code == 200
    return response.content.decode()


def post(client: Client, where: str, **data: Any) -> list[str]:
    response = client.post(f"{LIST}{where}/", data)
    assert response.status_code == 302
    # Messages of earlier requests may wait as well.
    return said(response)[-1:]


def test_a_test_is_requested_of_the_engine(admin_client: Client) -> None:
    make_node()
    model = make_model("llama")
    assert post(
        admin_client, "test-context", model=model.pk, max_ctx=4096, budget_minutes=5
    ) == ["success: The engine was asked to test llama."]
    test = ContextTest.objects.get()
    assert (test.state, test.is_for_engine) == (State.REQUESTED, True)
    assert (test.kv_type, test.max_ctx, test.budget_minutes) == ("f16", 4096, 5)
    assert test.requested_by == "admin"
    assert "Requested 1 context test." in str(LogEntry.objects.latest("pk"))


def test_quantised_types_are_tested_besides(admin_client: Client) -> None:
    make_node()
    post(admin_client, "test-context", model=make_model().pk, with_quantized="on")
    types = ContextTest.objects.order_by("pk").values_list("cache_type_k", flat=True)
    assert list(types) == ["f16", "q8_0", "q4_0"]


def test_an_open_test_is_not_requested_twice(admin_client: Client) -> None:
    model = make_model("llama")
    post(admin_client, "test-context", model=model.pk)
    assert post(admin_client, "test-context", model=model.pk) == [
        "info: A test was requested already of llama."
    ]
    assert ContextTest.objects.count() == 1


def test_without_an_engine_that_is_said(admin_client: Client) -> None:
    (message,) = post(admin_client, "test-context", model=make_model("llama").pk)
    assert message.startswith("warning: No engine is running.")


def test_bounds_that_make_no_sense_are_refused(admin_client: Client) -> None:
    (message,) = post(admin_client, "test-context", model=make_model().pk, max_ctx=9)
    assert message.startswith("error: Not tested: max ctx:")
    assert not ContextTest.objects.exists()


def test_many_models_are_tested_from_the_list(admin_client: Client) -> None:
    make_node()
    models = [make_model("a"), make_model("b"), make_model("e", kind=Kind.EMBEDDING)]
    data = {"action": "test_contexts", "_selected_action": [m.pk for m in models]}
    messages = said(admin_client.post(LIST, data))
    assert "success: The engine was asked to test a, b." in messages
    assert "error: Cannot test e: it does not generate text." in messages


def test_progress_is_on_the_page_with_the_time_left(admin_client: Client) -> None:
    model = make_model()
    make_context_test(
        model,
        passed=[512],
        state=State.RUNNING,
        doing="8,192 tokens, 40 % computed",
        progress=0.4,
        seconds_left=90.0,
    )
    text = page(admin_client, model)
    assert "8,192 tokens, 40 % computed" in text
    assert "0:01:30 left" in text
    assert 'value="0.4"' in text


def test_a_running_test_is_cancelled(admin_client: Client) -> None:
    test = make_context_test(state=State.RUNNING)
    assert post(admin_client, "cancel-test", test=test.pk) == [
        f"success: Cancelled a test of {test.model}."
    ]
    test.refresh_from_db()
    # The process that runs it reads that.
    assert (test.is_cancelled, test.reason) == (True, "Cancelled by admin.")


def test_a_test_that_waits_is_cancelled_at_once(admin_client: Client) -> None:
    test = make_context_test(state=State.REQUESTED)
    post(admin_client, "cancel-test", test=test.pk)
    test.refresh_from_db()
    assert (test.state, test.reason) == (State.STOPPED, "Cancelled by admin.")
    assert "stopped" in page(admin_client, test.model)


def test_results_have_a_line_for_each_kv_type(admin_client: Client) -> None:
    model = make_model()
    make_context_test(model, "f16", failed=[16_384])
    make_context_test(model, "q8_0")
    text = page(admin_client, model)
    # Three charts of two lines.
    assert text.count("<polyline") == 6
    assert "q8_0, 8,192 tokens: 10" in text
    assert "16,384 failed" in text
    assert "killed by SIGKILL" in text


def test_results_of_an_earlier_file_are_not_drawn(admin_client: Client) -> None:
    model = make_model()
    make_context_test(model, fingerprint="another")
    text = page(admin_client, model)
    assert "<polyline" not in text
    assert "of an earlier file" in text
    assert "Use this" not in text


def test_a_recommendation_is_used(admin_client: Client) -> None:
    model = make_model("llama", cache_type_k="f16", cache_type_v="f16")
    test = make_context_test(model, "q8_0")
    (message,) = post(admin_client, "use-test", use=f"{test.pk}-4")
    assert message.startswith("success: 8,192 tokens for 4 with KV q8_0 are set for ")
    model.refresh_from_db()
    assert (model.n_ctx, model.n_seq_max) == (8192, 4)
    assert (model.cache_type_k, model.cache_type_v) == ("q8_0", "q8_0")
    assert "in use" in page(admin_client, model)


def test_one_that_conflicts_with_the_settings_is_refused(admin_client: Client) -> None:
    model = make_model(flash_attention="off")
    test = make_context_test(model, "q8_0")
    (message,) = post(admin_client, "use-test", use=f"{test.pk}-4")
    assert message.startswith("error: Cannot change")
    assert "flash attention" in message
    model.refresh_from_db()
    assert model.n_ctx is None


def test_results_are_deleted_unless_the_test_runs(admin_client: Client) -> None:
    test = make_context_test()
    running = make_context_test(state=State.RUNNING)
    post(admin_client, "forget-test", test=test.pk)
    assert not ContextTest.objects.filter(pk=test.pk).exists()
    (message,) = post(admin_client, "forget-test", test=running.pk)
    assert message.startswith("error: Still running")


@pytest.mark.parametrize(
    "where", ["test-context", "cancel-test", "use-test", "forget-test"]
)
def test_who_may_only_view_changes_nothing(client: Client, where: str) -> None:
    test = make_context_test(state=State.RUNNING)
    user = make_user("viewer", "registry.view_model", is_staff=True)
    client.force_login(user)
    data = {"model": test.model.pk, "test": test.pk, "use": f"{test.pk}-1"}
    assert client.post(f"{LIST}{where}/", data).status_code == 403
    assert client.get(f"{LIST}{where}/").status_code == 405
    text = page(client, test.model)
    assert "<polyline" in text
    assert "Use this" not in text
    assert "Test context" not in text


@pytest.mark.parametrize("use", ["", "x-1", "1-3", "99999-1"])
def test_what_does_not_exist_is_not_found(admin_client: Client, use: str) -> None:
    make_context_test()
    assert admin_client.post(f"{LIST}use-test/", {"use": use}).status_code == 404


def test_more_measurements_cost_no_more_queries(admin_client: Client) -> None:
    model = make_model()
    make_context_test(model)
    url = f"{LIST}{model.pk}/change/"
    before = count_queries(admin_client, url)
    for kv_type in ("q8_0", "q4_0"):
        make_context_test(model, kv_type, passed=[512, 1024, 2048])
    assert count_queries(admin_client, url) == before
