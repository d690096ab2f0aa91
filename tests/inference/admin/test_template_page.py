"""Chat templates in the admin: settings that are checked, and their preview."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse

from inference.admin.template_forms import ServedModelForm, sample_text
from inference.api.models.response import model_object
from inference.prompts.chat import prompt_render
from inference.prompts.messages import Message, Tool
from inference.prompts.preview import SAMPLES, preview, with_overrides
from registry.models import Kind, Model
from tests.admin_pages import said
from tests.factories import make_model, make_user

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db

TEMPLATES = Path(__file__).parents[2] / "chat_templates"
OWN = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
#: Knows tools in Hermes' way, system messages, and a switch for thinking.
HERMES = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% for c in m.tool_calls %}"
    "<tool_call>{{ c.function | tojson }}{% endfor %}{% endfor %}"
    "{% if tools %}{{ tools | tojson }}{% endif %}"
    "{% if enable_thinking is false %}<think></think>{% endif %}"
)


def url_of(model: Model) -> str:
    return reverse("admin:registry_model_template", args=[model.pk])


def show(client: Client, model: Model, **changes: str) -> Any:
    """Send the preview's form with changes."""
    fields = {"template": OWN, "conversation": sample_text("A question")}
    return client.post(url_of(model), {**fields, **changes})


def facts_of(response: Any) -> dict[str, str]:
    return dict(response.context["found"].facts)


def errors_of(model: Model, **changes: Any) -> dict[str, list[str]]:
    """Return what the form of a model's settings says of changes, by field."""
    form = ServedModelForm(changes, instance=model)
    return {name: [str(e) for e in errors] for name, errors in form.errors.items()}


# Settings ---------------------------------------------------------------------


def test_an_override_is_in_force_at_once_for_requests_and_the_list_of_models() -> None:
    model = make_model(kind=Kind.COMPLETION, chat_template="")
    assert model_object(model)["capabilities"] == ["completion"]

    Model.objects.filter(pk=model.pk).update(
        template_override="<{{ messages[0].content }}>",
        output_parser_override="mistral",
    )
    model.refresh_from_db()
    prompt = prompt_render(model, [Message("user", "Hi")])

    assert prompt.text == "<Hi>"
    assert prompt.output_parser.name == "mistral"
    assert model_object(model)["capabilities"] == ["chat", "completion"]


def test_an_override_also_takes_the_place_of_a_files_template_for_tools() -> None:
    model = Model(
        chat_template=OWN,
        metadata={"tokenizer.chat_template.tool_use": "theirs"},
        template_override=HERMES,
    )

    prompt = prompt_render(model, [Message("user", "Hi")], tools=[Tool("now")])

    assert prompt.text.startswith("<user>Hi")
    assert prompt.output_parser.name == "hermes"


def test_a_format_that_is_no_longer_known_is_refused_by_name() -> None:
    model = Model(name="m", chat_template=OWN, output_parser_override="esperanto")

    assert "'esperanto'" in preview(model, [Message("user", "Hi")], [], None).error


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{% for m in messages %}", "line 1"),
        ("Hello!", "does not render the user's messages"),
        ("{{ raise_exception('not for you') }}", "not for you"),
        ("{% for i in range(10 ** 9) %}{{ messages }}{% endfor %}", "failed"),
        ("{{ messages[0].content.__class__.__mro__ }}", "__class__"),
    ],
)
def test_a_template_that_cannot_be_used_is_an_error_of_its_field(
    source: str, reason: str
) -> None:
    errors = errors_of(make_model(chat_template=OWN), template_override=source)

    assert list(errors) == ["template_override"]
    assert reason in errors["template_override"][0]


def test_an_unknown_format_is_an_error_of_its_field() -> None:
    assert list(errors_of(make_model(), output_parser_override="klingon")) == [
        "output_parser_override"
    ]


def test_a_template_is_kept_as_a_file_has_it(admin_client: Client) -> None:
    model = make_model(chat_template=OWN)
    source = "\r\n{{ messages[0].content }}\r\n  "

    form = ServedModelForm({"template_override": source}, instance=model)

    assert form.is_valid(), form.errors
    assert form.cleaned_data["template_override"] == source.replace("\r\n", "\n")


# Preview ----------------------------------------------------------------------


def test_the_preview_shows_the_prompt_of_a_question(admin_client: Client) -> None:
    model = make_model(chat_template=OWN)

    response = admin_client.get(url_of(model))

    assert "[user]Is it sunny in Paris?" in response.content.decode()
    assert facts_of(response)["Output parser in use"] == "plain_json"


def test_what_is_edited_is_shown_and_nothing_is_saved(admin_client: Client) -> None:
    model = make_model(chat_template=OWN)

    response = show(admin_client, model, template="<<{{ messages[0].content }}>>")

    assert "&lt;&lt;Is it sunny in Paris?&gt;&gt;" in response.content.decode()
    model.refresh_from_db()
    assert model.template_override == ""


def test_each_sample_can_be_picked(admin_client: Client) -> None:
    model = make_model(chat_template=HERMES)

    for name in SAMPLES:
        response = show(admin_client, model, template=HERMES, sample=name)
        assert response.context["found"].error == "", name
        assert response.context["form"]["conversation"].value() == sample_text(name)


def test_the_facts_show_what_a_template_supports(admin_client: Client) -> None:
    model = make_model(chat_template=OWN)

    response = show(
        admin_client, model, template=HERMES, conversation=sample_text("With tools")
    )
    facts = facts_of(response)

    assert facts["Detected output parser"] == facts["Output parser in use"] == "hermes"
    assert facts["System message"] == "in the prompt"
    assert facts["Tools"] == "described by the template"
    assert facts["Reasoning"] == "between <think> and </think>"
    assert "enable_thinking" in facts["Variables"]


def test_the_preview_shows_what_was_changed_for_a_template(
    admin_client: Client,
) -> None:
    gemma = (TEMPLATES / "google-gemma-2-2b-it.jinja").read_text()
    sample = sample_text("Out of order")

    response = show(admin_client, make_model(), template=gemma, conversation=sample)

    page = response.content.decode()
    assert (
        "Later system messages are at the beginning of the next user message." in page
    )
    assert "User messages in a row are one." in page
    assert "in one sentence.\n\nAnd in Rome?\n\nAnd tomorrow?" in page


def test_thinking_can_be_switched_off_in_the_preview(admin_client: Client) -> None:
    model = make_model(chat_template=OWN)

    prompt = show(admin_client, model, template=HERMES, effort="none").context["found"]
    other = facts_of(show(admin_client, model, effort="low"))

    assert prompt.prompt.text.endswith("<think></think>")
    assert other["Left out"] == "the thinking effort"


def test_a_format_can_be_chosen_in_the_preview(admin_client: Client) -> None:
    model = make_model(chat_template=OWN)

    facts = facts_of(
        show(admin_client, model, template=HERMES, output_parser="qwen3_coder")
    )

    assert facts["Detected output parser"] == "hermes"
    assert facts["Output parser in use"] == "qwen3_coder"


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("template", "{% if %}", "line 1"),
        ("conversation", "{", "line 1"),
        ("conversation", '{"messages": [{"role": "clown"}]}', "clown"),
        ("conversation", '{"messages": [], "model": "m"}', "at least 1 element"),
    ],
)
def test_errors_are_shown_at_their_field(
    admin_client: Client, field: str, value: str, reason: str
) -> None:
    response = show(admin_client, make_model(chat_template=OWN), **{field: value})

    assert reason in response.context["form"].errors[field][0]
    assert response.context["found"] is None


def test_a_template_that_raises_is_quoted(admin_client: Client) -> None:
    source = (
        "{% if messages | length > 2 %}{{ raise_exception('no <turns>') }}"
        "{% endif %}{{ messages[0].content }}"
    )
    sample = sample_text("Several turns")

    response = show(admin_client, make_model(), template=source, conversation=sample)

    assert "no <turns>" in response.context["found"].error
    assert "no &lt;turns&gt;" in response.content.decode()


def test_a_shown_template_can_be_saved(admin_client: Client) -> None:
    model = make_model(chat_template=OWN)

    response = show(
        admin_client, model, template=HERMES, output_parser="hermes", save="yes"
    )

    assert said(response) == ["success: The chat template was saved."]
    model.refresh_from_db()
    assert (model.template_override, model.output_parser_override) == (HERMES, "hermes")


def test_the_files_own_template_is_no_override(admin_client: Client) -> None:
    model = make_model(chat_template=OWN, template_override=HERMES)

    show(admin_client, model, template=OWN, save="yes")

    model.refresh_from_db()
    assert model.template_override == ""


def test_a_user_who_may_only_view_can_try_but_not_save(client: Client) -> None:
    model = make_model(chat_template=OWN)
    client.force_login(make_user("vera", "registry.view_model", is_staff=True))

    page = client.get(url_of(model))
    refused = show(client, model, template=HERMES, save="yes")

    assert page.status_code == 200
    assert 'name="save"' not in page.content.decode()
    assert refused.status_code == 403
    model.refresh_from_db()
    assert model.template_override == ""


def test_a_user_who_may_not_see_models_sees_no_template(client: Client) -> None:
    model = make_model(chat_template=OWN)
    client.force_login(make_user("mallory", is_staff=True))

    assert client.get(url_of(model)).status_code == 403


def test_a_model_that_answers_no_chats_has_no_preview(admin_client: Client) -> None:
    model = make_model(kind=Kind.EMBEDDING)

    assert admin_client.get(url_of(model)).status_code == 404


def test_copies_with_overrides_leave_the_model_alone() -> None:
    model = Model(name="m", chat_template=OWN)

    assert with_overrides(model, HERMES, "hermes").template_in_force() == HERMES
    assert model.template_in_force() == OWN
