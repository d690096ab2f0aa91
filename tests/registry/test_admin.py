"""The admin of models and scans, by Django's test client."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from registry import services
from registry.errors import RegistryError
from registry.models import Alias, Attachment, FileState, Kind, Model, ScanRun
from tests.admin_pages import count_queries, said
from tests.factories import make_model, make_user
from tests.gguf_files import Tensor, write_gguf
from tests.tiny_adapters import write_adapter

if TYPE_CHECKING:
    from pathlib import Path

    from django.contrib.auth.models import User

pytestmark = pytest.mark.django_db

LIST = "/admin/registry/model/"
SCAN = "/admin/registry/model/scan/"
HOSTILE = "<script>alert(1)</script>"


def page_of(model: Model) -> str:
    return reverse("admin:registry_model_change", args=[model.pk])


def settings_of(model: Model, **changes: Any) -> dict[str, Any]:
    """Return the body that the settings form of a model sends."""
    aliases = list(model.aliases.all())
    body: dict[str, Any] = {
        "is_enabled": "on",
        "aliases-TOTAL_FORMS": len(aliases),
        "aliases-INITIAL_FORMS": len(aliases),
        "attachments-TOTAL_FORMS": 0,
        "attachments-INITIAL_FORMS": 0,
    }
    for i, alias in enumerate(aliases):
        body |= {
            f"aliases-{i}-id": alias.pk,
            f"aliases-{i}-model": model.pk,
            f"aliases-{i}-name": alias.name,
        }
    return body | changes


@pytest.fixture
def charlie(client: Client) -> Client:
    """A member of staff without any right."""
    client.force_login(make_user("charlie", is_staff=True))
    return client


@pytest.fixture
def viewer(client: Client) -> Client:
    client.force_login(
        make_user("vera", "registry.view_model", "registry.view_scanrun", is_staff=True)
    )
    return client


# The list -------------------------------------------------------------------


def test_list_shows_id_size_context_and_capabilities(admin_client: Client) -> None:
    projector = make_model("mmproj", kind=Kind.PROJECTOR, context_length=None)
    make_model(
        "llama",
        title="Llama 3.1 8B",
        size_label="8B",
        supports_tools=True,
        projector=projector,
        n_ctx=8192,
    )
    html = admin_client.get(LIST).content.decode()
    for text in ("Llama 3.1 8B", "5.0 GiB", "Q4_K_M", "8,192", "of 131,072"):
        assert text in html
    for chip in ("chat", "tools", "projector"):
        assert f">\n\n{chip}\n<" in html
    # Images cannot be sent yet, so a projector beside the model adds nothing.
    assert ">\n\nvision\n<" not in html


def test_filters_have_the_words_of_the_columns(admin_client: Client) -> None:
    make_model(kind=Kind.EMBEDDING, state=FileState.MISSING)
    filters = admin_client.get(LIST).context["cl"].filter_specs
    titles = {str(spec.title) for spec in filters}
    assert {"state", "file"} <= titles
    assert "loaded" not in titles


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("alpha", {"alpha"}),
        ("Grand Title", {"beta"}),
        ("mamba", {"gamma"}),
        ("gpt-4o", {"alpha"}),
        ("nothing", set()),
    ],
)
def test_search_finds_id_title_architecture_and_alias(
    admin_client: Client, query: str, found: set[str]
) -> None:
    Alias.objects.create(name="gpt-4o", model=make_model("alpha"))
    make_model("beta", title="Grand Title")
    make_model("gamma", architecture="mamba")
    response = admin_client.get(LIST, {"q": query})
    assert {model.name for model in response.context["cl"].result_list} == found


@pytest.mark.parametrize(
    "query",
    [
        {"kind__exact": Kind.EMBEDDING},
        {"state__exact": FileState.MISSING},
        {"architecture": "bert"},
        {"quantization": "Q8_0"},
        {"is_enabled__exact": "0"},
    ],
)
def test_filters_narrow_the_list(admin_client: Client, query: dict[str, str]) -> None:
    make_model("other")
    make_model(
        "wanted",
        kind=Kind.EMBEDDING,
        state=FileState.MISSING,
        architecture="bert",
        quantization="Q8_0",
        is_enabled=False,
    )
    response = admin_client.get(LIST, query)
    assert [model.name for model in response.context["cl"].result_list] == ["wanted"]


def test_list_costs_ten_queries_however_long_it_is(admin_client: Client) -> None:
    projector = make_model("mmproj", kind=Kind.PROJECTOR)
    make_model(projector=projector)
    # Session, user, architectures and quantizations for their filters, number of
    # the models found and of all, the models with the largest machine's limit and
    # projectors, their workers with nodes, their adapters, their context tests.
    assert count_queries(admin_client, LIST) == 10
    for _ in range(20):
        make_model(projector=projector)
    assert count_queries(admin_client, LIST) == 10


# A model's page ---------------------------------------------------------------


def test_page_shows_template_metadata_and_file(admin_client: Client) -> None:
    model = make_model(
        chat_template="{% for m in messages %}{{ m }}{% endfor %}",
        metadata={"llama.rope.freq_base": 500000.0},
        shards=["/models/a-00001-of-00002.gguf", "/models/a-00002-of-00002.gguf"],
    )
    html = admin_client.get(page_of(model)).content.decode()
    assert "{% for m in messages %}{{ m }}{% endfor %}</pre>" in html
    assert "llama.rope.freq_base" in html
    assert "500000.0" in html
    assert "/models/a-00002-of-00002.gguf" in html
    assert model.fingerprint in html
    assert "5,368,709,120 bytes" in html


def test_empty_settings_show_the_defaults_in_force(admin_client: Client) -> None:
    model = make_model(context_length=2048)
    html = admin_client.get(page_of(model)).content.decode()
    for default in (
        *("from 2048", "up to 32, as memory allows", "512", "0", "1"),
        *("-1 (all)", "0 (never unloaded)", "one per physical core", "by free memory"),
        *("0.7", "0.9", "4096"),
    ):
        assert f'placeholder="{default}"' in html
    for default in ("f16", "auto", "layer", "disabled"):
        assert f'<option value="" selected>Default: {default}</option>' in html
    for default in ("Yes", "No"):
        assert f'<option value="unknown" selected>Default: {default}</option>' in html


def test_settings_and_aliases_are_saved_and_recorded(admin_client: Client) -> None:
    model = make_model()
    body = settings_of(
        model,
        n_ctx=8192,
        temperature="0.3",
        cache_type_k="q8_0",
        is_pinned="true",
        use_mmap="false",
        tensor_split="3, 1",
        **{"aliases-TOTAL_FORMS": 1, "aliases-0-name": "gpt-4o"},
    )
    response = admin_client.post(page_of(model), body)
    assert response.status_code == 302
    model.refresh_from_db()
    assert (model.n_ctx, model.temperature, model.cache_type_k) == (8192, 0.3, "q8_0")
    assert (model.is_pinned, model.use_mmap, model.is_preloaded) == (True, False, None)
    assert model.settings_in_force().tensor_split == (3, 1)
    assert [alias.name for alias in model.aliases.all()] == ["gpt-4o"]
    message = LogEntry.objects.get().get_change_message()
    assert message == (
        "Changed Pinned, Temperature, Context, K type, Map the file and Shares of the "
        "GPUs. Added alias “gpt-4o”."
    )
    history = admin_client.get(reverse("admin:registry_model_history", args=[model.pk]))
    assert message in history.content.decode()


def test_saving_leaves_what_a_scan_wrote_meanwhile(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model()

    def scan_in_between(instance: Model) -> None:
        Model.objects.filter(pk=instance.pk).update(state=FileState.MISSING)

    monkeypatch.setattr(Model, "clean", scan_in_between)
    admin_client.post(page_of(model), settings_of(model, n_ctx=1024))
    model.refresh_from_db()
    assert (model.n_ctx, model.state) == (1024, FileState.MISSING)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"n_ctx": 200_000}, "The model was trained on 131072 tokens"),
        ({"n_ctx": 8}, "greater than or equal to 64"),
        ({"n_seq_max": 0}, "greater than or equal to 1"),
        ({"n_gpu_layers": -2}, "greater than or equal to -1"),
        ({"temperature": 3}, "less than or equal to 2"),
        ({"top_p": "much"}, "Enter a number"),
        ({"cache_type_k": "q3"}, "Select a valid choice"),
        ({"n_batch": 8}, "greater than or equal to 32"),
        ({"n_ubatch": 1024}, "A micro-batch of 1024 tokens is larger than the batch"),
        ({"cache_type_v": "q8_0", "flash_attention": "off"}, "only with flash"),
        ({"tensor_split": "a,b"}, "The shares of the GPUs must be numbers"),
        ({"tensor_split": "3,1", "split_mode": "none"}, "so there are no shares"),
        ({"main_gpu": 3}, "The main GPU is used only with the split mode none"),
        ({"replicas": 0}, "greater than or equal to 1"),
        (
            {"aliases-TOTAL_FORMS": 1, "aliases-0-name": "other"},
            "This name is the id of a model",
        ),
    ],
)
def test_bad_settings_are_refused(
    admin_client: Client, changes: dict[str, Any], complaint: str
) -> None:
    make_model("other")
    model = make_model()
    response = admin_client.post(page_of(model), settings_of(model, **changes))
    assert response.status_code == 200
    assert complaint in response.content.decode()
    assert not LogEntry.objects.exists()


def test_an_alias_that_became_the_id_is_an_error_of_the_form(
    admin_client: Client,
) -> None:
    model = make_model("twice")
    Alias.objects.create(name="twice", model=make_model("other"))
    response = admin_client.post(page_of(model), settings_of(model, n_ctx=1024))
    assert response.status_code == 200
    assert "This name is an alias of a model." in response.content.decode()


def test_fields_that_the_scan_writes_cannot_be_posted(admin_client: Client) -> None:
    model = make_model("steady", title="Steady")
    body = settings_of(model, name="stolen", path="/etc/passwd", title="New")
    admin_client.post(page_of(model), body)
    model.refresh_from_db()
    assert (model.name, model.title) == ("steady", "Steady")
    assert model.path != "/etc/passwd"


def test_models_cannot_be_added_by_hand(admin_client: Client) -> None:
    assert admin_client.get(f"{LIST}add/").status_code == 403


def test_deletion_says_that_the_file_stays(admin_client: Client) -> None:
    model = make_model()
    url = reverse("admin:registry_model_delete", args=[model.pk])
    assert "The file stays" in admin_client.get(url).content.decode()
    assert admin_client.post(url, {"post": "yes"}).status_code == 302
    assert not Model.objects.exists()


def test_names_and_metadata_of_a_hostile_file_are_escaped(
    admin_client: Client, admin_user: User
) -> None:
    model = make_model(
        HOSTILE,
        title=HOSTILE,
        architecture=HOSTILE,
        quantization=HOSTILE[:32],
        size_label=HOSTILE,
        license=HOSTILE,
        tokenizer=HOSTILE,
        pooling="<b onclick=x>",
        chat_template="</pre>" + HOSTILE,
        metadata={HOSTILE: HOSTILE, '" onload="x': "' onload='x"},
        shards=[HOSTILE],
    )
    Alias.objects.create(name=HOSTILE + "!", model=model)
    LogEntry.objects.log_actions(admin_user.pk, [model], 2, HOSTILE, single_object=True)
    ScanRun.objects.create(
        roots=[HOSTILE],
        entries=[
            {"outcome": "unreadable", "path": HOSTILE, "reason": HOSTILE},
            {"outcome": HOSTILE, "name": HOSTILE, "summary": HOSTILE},
        ],
        finished_at=timezone.now(),
    )
    run = ScanRun.objects.get()
    for url in (
        "/admin/",
        LIST,
        f"{LIST}?q={HOSTILE}",
        page_of(model),
        reverse("admin:registry_model_history", args=[model.pk]),
        reverse("admin:registry_model_delete", args=[model.pk]),
        reverse("admin:registry_scanrun_change", args=[run.pk]),
        "/admin/inference/worker/",
    ):
        html = admin_client.get(url).content.decode()
        assert "alert(1)" in html, url
        assert "<script>alert(1)" not in html, url
        assert "<b onclick" not in html, url
        assert '" onload="x' not in html, url
        assert "' onload='x" not in html, url


# Scans ------------------------------------------------------------------------


def pretend_scan(**counts: int) -> None:
    ScanRun.objects.create(roots=["/m"], finished_at=timezone.now(), **counts)


def test_scan_now_scans_says_what_was_found_and_is_recorded(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "model_scan", lambda: pretend_scan(new=2, missing=1))
    response = admin_client.post(SCAN)
    assert response.status_code == 302
    counts = "2 new, 0 changed, 0 unchanged, 1 missing, 0 unreadable"
    page = reverse("admin:registry_scanrun_change", args=[ScanRun.objects.get().pk])
    link = f'<a class="lm-link" href="{page}">{counts}</a>'
    assert said(response) == [f"success: Scan finished: {link}."]
    entry = LogEntry.objects.get()
    assert entry.object_id == str(ScanRun.objects.get().pk)
    assert entry.get_change_message().startswith("Scanned: 2 new")


def test_scan_with_unreadable_files_is_a_warning(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "model_scan", lambda: pretend_scan(unreadable=1))
    assert said(admin_client.post(SCAN))[0].startswith("warning: ")


def test_failed_scan_says_so_and_is_not_recorded(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RegistryError("The folder /m cannot be read.")

    monkeypatch.setattr(services, "model_scan", fail)
    response = admin_client.post(SCAN)
    assert said(response) == ["error: The scan failed: The folder /m cannot be read."]
    assert not LogEntry.objects.exists()


def test_scan_is_no_link(admin_client: Client) -> None:
    assert admin_client.get(SCAN).status_code == 405


def test_scan_needs_the_csrf_token(admin_user: Any) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    assert client.post(SCAN).status_code == 403


def test_scan_run_shows_its_findings_and_cannot_be_edited(admin_client: Client) -> None:
    run = ScanRun.objects.create(
        roots=["/srv/models"],
        unreadable=1,
        entries=[
            {
                "outcome": "unreadable",
                "path": "/srv/models/bad.gguf",
                "reason": "No GGUF file.",
            }
        ],
        finished_at=timezone.now(),
    )
    url = reverse("admin:registry_scanrun_change", args=[run.pk])
    html = admin_client.get(url).content.decode()
    assert "/srv/models/bad.gguf" in html
    assert "No GGUF file." in html
    assert admin_client.post(url, {"new": 5}).status_code == 403
    assert admin_client.get("/admin/registry/scanrun/add/").status_code == 403


def test_unfinished_scan_run_has_a_page(admin_client: Client) -> None:
    run = ScanRun.objects.create(roots=["/m"])
    url = reverse("admin:registry_scanrun_change", args=[run.pk])
    html = admin_client.get(url).content.decode()
    assert "not finished" in html
    assert "No model was new" in html


# Who may ------------------------------------------------------------------------


def test_charlie_sees_nothing(charlie: Client) -> None:
    model = make_model("secret-model")
    for url in (LIST, page_of(model), "/admin/registry/scanrun/"):
        assert charlie.get(url).status_code == 403
    assert charlie.post(SCAN).status_code == 403
    assert "secret-model" not in charlie.get("/admin/").content.decode()


def test_nobody_is_sent_to_the_login(client: Client) -> None:
    response = client.get(LIST)
    assert response.status_code == 302
    assert response["Location"].startswith("/admin/login/")


def test_viewer_reads_but_neither_edits_nor_scans(viewer: Client) -> None:
    model = make_model(n_ctx=4096)
    assert "Scan now" not in viewer.get(LIST).content.decode()
    assert viewer.get(page_of(model)).status_code == 200
    assert viewer.post(page_of(model), settings_of(model)).status_code == 403
    assert viewer.post(SCAN).status_code == 403
    model.refresh_from_db()
    assert model.n_ctx == 4096


def test_viewer_sees_the_settings_in_force(viewer: Client) -> None:
    model = make_model(cache_type_k="q8_0", keep_alive=90)
    html = viewer.get(page_of(model)).content.decode()
    for text in ("q8_0", "90", "Default: from 8192", "Default: 0.7", "Default: auto"):
        assert text in html
    # The label and the help of the field stay.
    assert "K type" in html
    assert "A fixed number of tokens per sequence." in html


# Adapters -----------------------------------------------------------------------


def test_an_adapter_is_attached_on_a_models_page_if_it_fits(
    admin_client: Client, tmp_path: Path
) -> None:
    path = write_gguf(tmp_path / "tiny.gguf")
    write_adapter(tmp_path / "pirate.gguf", path)
    other = write_gguf(
        tmp_path / "other.gguf", tensors=[Tensor("blk.0.attn_q.weight", (32, 32))]
    )
    write_adapter(tmp_path / "misfit.gguf", other)
    services.model_scan(roots=[tmp_path])
    model = Model.objects.get(name="tiny")

    def attach(name: str) -> Any:
        adapter = Model.objects.get(name=name)
        assert f">{name}</option>" in admin_client.get(page_of(model)).content.decode()
        body = settings_of(model) | {
            "attachments-TOTAL_FORMS": 1,
            "attachments-0-model": model.pk,
            "attachments-0-adapter": adapter.pk,
        }
        return admin_client.post(page_of(model), body)

    assert attach("pirate").status_code == 302
    assert [str(each) for each in Attachment.objects.all()] == ["tiny:pirate"]
    Attachment.objects.all().delete()
    assert "do not fit the model" in attach("misfit").content.decode()
    assert not Attachment.objects.exists()


def test_a_scans_page_shows_first_what_needs_an_administrator(
    viewer: Client,
) -> None:
    run = ScanRun.objects.create(
        roots=["/m"],
        finished_at=timezone.now(),
        unreadable=1,
        entries=[
            {"outcome": "new", "name": "fine", "path": "/m/fine.gguf"},
            {"outcome": "unreadable", "path": "/m/broken.gguf", "reason": "Empty."},
        ],
    )
    page = reverse("admin:registry_scanrun_change", args=[run.pk])
    html = viewer.get(page).content.decode()
    assert html.index("broken.gguf") < html.index("fine.gguf")
    assert html.count('id="unreadable"') == 1
    scans = viewer.get(reverse("admin:registry_scanrun_changelist")).content.decode()
    assert f'href="{page}#unreadable"' in scans
    assert f"{run.started_at:%Y-%m-%d %H:%M} UTC" in scans


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("registry/model/", ["Inference", "Models"]),
        ("registry/scanrun/", ["Inference", "Scans"]),
        ("accounts/apikey/", ["Access", "API keys"]),
        ("auth/user/", ["Access", "Users"]),
    ],
)
def test_the_path_above_a_page_has_the_sidebars_words(
    admin_client: Client, path: str, words: list[str]
) -> None:
    html = admin_client.get(f"/admin/{path}").content.decode()
    crumbs = re.findall(r'lm-crumb.*?tracking-tight">(.*?)</a>', html, re.DOTALL)
    assert crumbs == words
    sidebar = html[html.index('id="nav-sidebar"') :]
    for word in words:
        assert word in sidebar
