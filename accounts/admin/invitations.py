"""The admin of invitations. A link is shown only once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.widgets import UnfoldAdminIntegerFieldWidget

from accounts.forms import OnceForm
from accounts.models import Invitation
from accounts.people import check_joinable
from accounts.sign_in.invitations import (
    MAX_DAYS,
    invitation_create,
    may_give_view_rights,
)
from llm_manager.lib.badges import badge
from llm_manager.lib.unfold_types import ModelAdmin

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString

    ModelForm = forms.ModelForm[Invitation]
else:
    ModelForm = forms.ModelForm


class InvitationForm(OnceForm, ModelForm):
    """Whom an invitation is for, what it brings into, and for how long."""

    days = forms.IntegerField(
        label="Days",
        min_value=1,
        max_value=MAX_DAYS,
        initial=7,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="For how long the link works, for one person.",
    )

    class Meta:
        model = Invitation
        fields = ("note", "teams", "views_admin")

    def clean(self) -> dict[str, Any] | None:
        """Check that one can be invited into the teams. Raises ValidationError."""
        check_joinable(self.cleaned_data.get("teams", ()))
        return super().clean()


@admin.register(Invitation)
class InvitationAdmin(ModelAdmin[Invitation]):
    """Invitations: used once by whoever has the link, withdrawn by deletion."""

    list_display = ("label", "state", "expires_at", "created_by", "used_by")
    list_select_related = ("created_by", "used_by")
    search_fields = ("note", "used_by__username")
    search_help_text = "Note or user"
    fields = ("note", "teams", "days")
    _of_one = ("expires_at", "created_by", "used_at", "used_by")
    readonly_fields = ()

    def get_fields(self, request: HttpRequest, obj: Invitation | None = None) -> Any:
        """Return the fields; of one that exists, what became of it."""
        if obj is not None:
            return ("note", "teams", "views_admin", *self._of_one)
        may_give = may_give_view_rights(_user(request))
        return (*self.fields, *(["views_admin"] if may_give else []))

    def has_change_permission(
        self, request: HttpRequest, obj: Invitation | None = None
    ) -> bool:
        """Return False: whom it was sent to, nobody can say afterwards."""
        return False

    def get_form(
        self,
        request: HttpRequest,
        obj: Invitation | None = None,
        change: bool = False,  # noqa: FBT001, FBT002
        **kwargs: Any,
    ) -> type[forms.ModelForm[Invitation]]:
        """Return the form class, which has the request, for its session."""
        if obj is None:
            kwargs["form"] = type("Form", (InvitationForm,), {"request": request})
        return super().get_form(request, obj, change, **kwargs)

    def save_model(
        self, request: HttpRequest, obj: Invitation, form: Any, change: Any
    ) -> None:
        """Create the invitation."""
        made, token = invitation_create(
            days=form.cleaned_data["days"],
            teams=form.cleaned_data["teams"],
            note=obj.note,
            views_admin=form.cleaned_data.get("views_admin", False),
            created_by=_user(request),
        )
        vars(obj).update(vars(made), token_text=token)

    def response_add(
        self,
        request: HttpRequest,
        obj: Invitation,
        post_url_continue: str | None = None,
    ) -> HttpResponse:
        """Return the page that shows the link, as the response to the form."""
        token: str = obj.token_text  # type: ignore[attr-defined]
        link = request.build_absolute_uri(reverse("account_invitation", args=[token]))
        context = {
            **self.admin_site.each_context(request),
            "title": "Invitation created",
            "opts": self.opts,
            "link": link,
            "invitation": obj,
        }
        page = "admin/accounts/invitation/created.html"
        return TemplateResponse(request, page, context)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Return the form with a single button to save."""
        context |= {"show_save_and_add_another": False, "show_save_and_continue": False}
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(description="invitation", ordering="-created_at")
    def label(self, invitation: Invitation) -> str:
        """Return when it was made, and whom it is for."""
        return str(invitation)

    @admin.display(description="state")
    def state(self, invitation: Invitation) -> SafeString:
        """Return the state as a label."""
        if invitation.used_at is not None:
            return badge("used", "success")
        return badge("open", "info") if invitation.is_open else badge("expired", "")


def _user(request: HttpRequest) -> User | None:
    return request.user if isinstance(request.user, User) else None
