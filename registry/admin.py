"""The admin of models and scans. The app `inference` adds their live state."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.utils import flatten_fieldsets
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.urls import path, reverse
from django.utils.html import format_html
from django.views.decorators.http import require_POST

from llm_manager.lib.badges import badge, chips
from llm_manager.lib.readonly_fields import shown_as, with_fields
from llm_manager.lib.unfold_types import ModelAdmin, TabularInline
from llm_manager.lib.units import human_bytes, human_count
from registry import services
from registry.errors import RegistryError
from registry.forms import ModelSettingsForm, defaults_in_force, setting_text
from registry.model_fieldsets import FIELDSETS
from registry.models import (
    SERVED,
    WITHOUT_FILE,
    Alias,
    Attachment,
    FileState,
    Kind,
    Model,
    ScanRun,
    context_at_load,
)
from registry.scan.scanner import ScanOutcome

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.forms import BaseModelForm
    from django.urls import URLPattern
    from django.utils.safestring import SafeString

logger = logging.getLogger(__name__)

#: The outcomes of a scan that need an administrator: its page shows them first.
_URGENT = (ScanOutcome.UNREADABLE, ScanOutcome.MISSING)
#: What a chip says of a kind where its name is long.
_SHORT_KINDS: dict[str, str] = {Kind.PROJECTOR: "projector", Kind.LORA: "adapter"}


class FileStateFilter(admin.ChoicesFieldListFilter):
    """Models by the state of their file, under the name of the list's column."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.title = "file"


class AliasInline(TabularInline[Alias, Model]):
    """The aliases of a model, below its settings."""

    model = Alias
    extra = 0
    hide_title = True
    verbose_name_plural = "aliases: other names that requests may use"


class AttachmentInline(TabularInline[Attachment, Model]):
    """The LoRA adapters that a model is loaded with."""

    model = Attachment
    fk_name = "model"
    extra = 0
    hide_title = True
    verbose_name = "adapter"
    verbose_name_plural = "LoRA adapters loaded with the model"


@admin.register(Model)
class RegistryModelAdmin(ModelAdmin[Model]):
    """Models. Scans create them; only their settings can be edited."""

    form = ModelSettingsForm
    inlines = (AliasInline, AttachmentInline)
    search_fields = ("name", "title", "architecture", "aliases__name")
    search_help_text = "Id, title, architecture or alias"
    list_display: tuple[str, ...] = (
        "identity",
        "file",
        "size",
        "context",
        "capabilities",
    )
    list_filter: ClassVar[tuple[Any, ...]] = (
        "kind",
        ("state", FileStateFilter),
        "architecture",
        "quantization",
        "is_enabled",
    )
    list_per_page = 50
    warn_unsaved_form = True
    fieldsets = FIELDSETS

    def get_queryset(self, request: HttpRequest) -> QuerySet[Model]:
        """Return the models of files: others have pages of their own."""
        return super().get_queryset(request).exclude(kind__in=WITHOUT_FILE)

    def get_readonly_fields(
        self, request: HttpRequest, obj: Model | None = None
    ) -> list[str]:
        """Return all fields except the settings: those that scans write."""
        editable = ModelSettingsForm.Meta.fields
        shown = flatten_fieldsets(self.get_fieldsets(request, obj))
        return [name for name in shown if name not in editable]

    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> Any:
        """Return the groups of fields; who may not edit sees the settings in force."""
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or self.has_change_permission(request, obj):
            return fieldsets
        return with_fields(
            fieldsets,
            {
                name: shown_as(Model, name, partial(_setting_text, name))
                for name in defaults_in_force(obj)
            },
        )

    def get_inlines(self, request: HttpRequest, obj: Model | None) -> list[type[Any]]:
        """Return the tables below the settings: adapters only for generative models."""
        takes_adapters = obj is not None and obj.is_generative
        return [AliasInline, *([AttachmentInline] if takes_adapters else [])]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return False: models come from scans."""
        return False

    def save_model(
        self, request: HttpRequest, obj: Model, form: BaseModelForm[Model], change: Any
    ) -> None:
        """Save only the changed settings.

        A scan may have written other columns since the page was loaded.
        """
        if form.changed_data:
            obj.save(update_fields=form.changed_data)

    # Scan ---------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        """Return the URLs of Django's admin and the scan."""
        scan = require_POST(self.admin_site.admin_view(self.scan_view))
        return [path("scan/", scan, name="registry_model_scan"), *super().get_urls()]

    def scan_view(self, request: HttpRequest) -> HttpResponse:
        """Scan all configured folders, show the result and log who started it."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        try:
            services.model_scan()
        except (RegistryError, OSError) as error:
            logger.warning("scan failed: %s", error)
            self.message_user(request, f"The scan failed: {error}", messages.ERROR)
        else:
            # If several scans ran at once, the one that finished last is this one.
            run = ScanRun.objects.exclude(finished_at=None).latest("finished_at")
            text = summary(run)
            scans = self.admin_site.get_model_admin(ScanRun)
            scans.log_addition(request, run, f"Scanned: {text}.")
            level = messages.WARNING if run.unreadable else messages.SUCCESS
            page = reverse("admin:registry_scanrun_change", args=[run.pk])
            said = format_html(
                'Scan finished: <a class="lm-link" href="{}">{}</a>.', page, text
            )
            self.message_user(request, said, level)
        return HttpResponseRedirect(reverse("admin:registry_model_changelist"))

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Return the list, with a scan button if the user may scan.

        Files that have appeared in the models directories are in it. Without any model,
        the first steps are in its place.
        """
        services.folders_look()
        context = {
            "may_scan": self.has_change_permission(request),
            "models_folders": services.configured_roots(),
            "may_add_key": request.user.has_perm("accounts.add_apikey"),
        }
        return super().changelist_view(request, context | (extra_context or {}))

    # Columns and read-only fields ------------------------------------------

    @admin.display(description="model", ordering="name")
    def identity(self, model: Model) -> SafeString:
        """Return the id, and below it the title and the architecture."""
        parts = [model.title, model.architecture, model.size_label]
        return _two_lines(model.name, " · ".join(part for part in parts if part))

    @admin.display(description="file", ordering="state")
    def file(self, model: Model) -> SafeString:
        """Return the file's state, and whether the model is disabled."""
        found = model.state == FileState.FOUND
        state = badge(model.get_state_display(), "" if found else "danger")
        if model.is_enabled:
            return state
        return format_html("{} {}", state, badge("disabled", "warning"))

    @admin.display(description="size", ordering="file_size")
    def size(self, model: Model) -> SafeString:
        """Return the size, and below it the quantization."""
        return _two_lines(human_bytes(model.file_size), model.quantization)

    @admin.display(description="context", ordering="context_length")
    def context(self, model: Model) -> SafeString | str:
        """Return the context in force, and below it the trained one."""
        if model.kind not in SERVED:
            return "-"
        trained = model.context_length
        return _two_lines(
            f"{self.context_now(model):,}",
            f"of {trained:,}" if trained else "trained: unknown",
        )

    def context_now(self, model: Model) -> int:
        """Return the context that the model has or would be loaded with."""
        return context_at_load(model, settings.CONFIG.models.default_ctx)

    @admin.display(description="capabilities")
    def capabilities(self, model: Model) -> SafeString | str:
        """Return what the model can do, as labels."""
        found = [_SHORT_KINDS.get(model.kind, model.get_kind_display().lower())]
        if model.supports_tools:
            found.append("tools")
        return chips(found, "info")

    @admin.display(description="parameters")
    def parameters(self, model: Model) -> str:
        """Return the number of weights."""
        return human_count(model.parameter_count)

    @admin.display(description="size")
    def bytes_on_disk(self, model: Model) -> str:
        """Return the size in a readable unit and in bytes."""
        return f"{human_bytes(model.file_size)} ({model.file_size:,} bytes)"

    @admin.display(description="chat template")
    def template(self, model: Model) -> SafeString | str:
        """Return the chat template as a text that scrolls."""
        if not model.chat_template:
            return "-"
        return format_html('<pre class="lm-pre">{}</pre>', model.chat_template)

    @admin.display(description="shards")
    def shard_paths(self, model: Model) -> str:
        """Return the path of each shard, one per line."""
        return "\n".join(map(str, model.shards)) or "one file"

    @admin.display(description="metadata")
    def metadata_table(self, model: Model) -> str:
        """Return the other keys of the header as a table."""
        rows = sorted(model.metadata.items())
        return render_to_string("admin/registry/model/metadata.html", {"rows": rows})


@admin.register(ScanRun)
class ScanRunAdmin(ModelAdmin[ScanRun]):
    """Scan reports, read-only."""

    list_display = (
        "started_at",
        "duration",
        "new",
        "changed",
        "unchanged",
        "missing",
        "unreadable_files",
    )
    list_per_page = 50
    fieldsets = (
        (None, {"fields": (("started_at", "duration"), "result", "root_paths")}),
        ("Findings", {"fields": ("entries_table",)}),
    )
    readonly_fields = ("duration", "result", "root_paths", "entries_table")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Return False: only a scan writes its report."""
        return False

    def has_change_permission(
        self, request: HttpRequest, obj: ScanRun | None = None
    ) -> bool:
        """Return False: reports are read-only."""
        return False

    @admin.display(description="took")
    def duration(self, run: ScanRun) -> str:
        """Return how long the scan took."""
        if run.finished_at is None:
            return "not finished"
        return f"{(run.finished_at - run.started_at).total_seconds():.1f} s"

    @admin.display(description="unreadable", ordering="unreadable")
    def unreadable_files(self, run: ScanRun) -> SafeString | int:
        """Return how many files could not be read, as a link to them."""
        if not run.unreadable:
            return 0
        page = reverse("admin:registry_scanrun_change", args=[run.pk])
        return format_html(
            '<a class="lm-link" href="{}#unreadable">{}</a>', page, run.unreadable
        )

    @admin.display(description="result")
    def result(self, run: ScanRun) -> str:
        """Return the counts in one line."""
        return summary(run)

    @admin.display(description="folders")
    def root_paths(self, run: ScanRun) -> str:
        """Return the folders that were scanned."""
        return "\n".join(map(str, run.roots))

    @admin.display(description="files")
    def entries_table(self, run: ScanRun) -> str:
        """Return the new, changed, missing and unreadable models as a table.

        Those that need an administrator come first.
        """
        entries = sorted(
            run.entries,
            key=lambda entry: (*_URGENT, entry["outcome"]).index(entry["outcome"]),
        )
        return render_to_string(
            "admin/registry/scanrun/entries.html", {"entries": entries}
        )


def summary(run: ScanRun) -> str:
    """Return a scan's counts as text."""
    return ", ".join(f"{number} {outcome}" for outcome, number in run.counts().items())


def _setting_text(name: str, model: Model) -> str:
    return setting_text(model, name)


def _two_lines(first: str, second: str) -> SafeString:
    return format_html(
        '<span class="lm-two"><span>{}</span><small>{}</small></span>', first, second
    )
