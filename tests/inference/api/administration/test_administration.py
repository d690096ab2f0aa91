"""/v1/admin: what programs may do that the admin's pages do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import async_to_sync
from auditlog.models import LogEntry
from django.contrib.auth.models import Permission, User

from accounts import key_secrets as keys
from accounts.audit.export import as_object
from accounts.models import ApiKey, Limit, Scope, Team
from inference.api.administration.routes import ROUTES
from tests.factories import make_api_key, make_model, make_team, make_user
from tests.inference.api.conftest import Api

if TYPE_CHECKING:
    from accounts.models import ApiKey as Key

pytestmark = pytest.mark.django_db(transaction=True)


class Admin:
    """A program with a key of the scope "admin"."""

    def __init__(self, key: Key, secret: str) -> None:
        self.key = key
        self._send = async_to_sync(Api(secret).send)

    def __call__(
        self, method: str, path: str, body: Any = None, status: int = 200
    ) -> Any:
        response = self._send(method, f"/v1/admin/{path}", body)
        assert response.status_code == status, response.content
        return response.json()

    def refused(self, method: str, path: str, body: Any = None) -> tuple[str, str]:
        """Return the member at fault and the sentence of a refusal."""
        error = self(method, path, body, status=400)["error"]
        return error["param"], error["message"]


@pytest.fixture
def admin() -> Admin:
    return Admin(*make_api_key(make_user("root"), scopes=[Scope.ADMIN], name="robot"))


def without_parameters(route: str) -> str:
    for part in ("<str:prefix>", "<any:name>", "<str:name>", "<str:id_>"):
        route = route.replace(part, "x")
    return route.replace("<int:number>", "1")


def test_every_route_and_method_takes_the_scope_admin() -> None:
    # One test: to empty the database after each of the combinations takes seconds.
    scopes = [Scope.INFERENCE, Scope.MODELS]
    _, secret = make_api_key(scopes=scopes, rate_limit=0)

    async def statuses() -> dict[tuple[str, str, int], int]:
        return {
            (method, route, expected): (
                await client.send(method, f"/v1/{without_parameters(route)}", {})
            ).status_code
            for route, _, _ in ROUTES
            for method in ("GET", "POST", "PATCH", "DELETE")
            for client, expected in ((Api(secret), 403), (Api(None), 401))
        }

    found = async_to_sync(statuses)()
    wrong = {
        asked: status
        for asked, status in found.items()
        if status not in (asked[2], 405)
    }
    assert wrong == {}
    assert set(found.values()) == {401, 403, 405}


def test_a_key_lives_its_life(admin: Admin) -> None:
    anna = make_user("anna")
    make_team("red", anna)
    make_model("tiny")
    made = admin(
        "POST",
        "keys",
        {
            "name": "laptop",
            "owner": "anna",
            "team": "red",
            "models": ["tiny"],
            "allowed_networks": ["10.0.0.0/8"],
            "rate_limit": 5,
            "weight": 2,
            "expires_at": "2999-01-31T18:00:00Z",
            "notes": "from a program",
        },
        status=201,
    )
    prefix = made["key"]["prefix"]
    key = ApiKey.objects.get(prefix=prefix)
    assert keys.matches(made["secret"], key.key_hash)
    assert (key.owner, key.created_by) == (anna, admin.key.owner)
    assert admin("GET", f"keys/{prefix}") == made["key"]
    assert made["key"] | {"created_at": ""} == {
        "object": "admin.key",
        "prefix": prefix,
        "name": "laptop",
        "owner": "anna",
        "team": "red",
        "scopes": ["inference"],
        "all_models": False,
        "models": ["tiny"],
        "allowed_networks": ["10.0.0.0/8"],
        "rate_limit": 5,
        "weight": 2,
        "expires_at": "2999-01-31T18:00:00+00:00",
        "state": "active",
        "last_used_at": None,
        "rotated_from": None,
        "captured_until": None,
        "created_at": "",
        "created_by": "root",
        "notes": "from a program",
    }

    changed = admin(
        "PATCH",
        f"keys/{prefix}",
        {
            "name": "desk",
            "team": None,
            "rate_limit": None,
            "all_models": True,
            "expires_at": "2999-01-31",
        },
    )
    assert (changed["name"], changed["team"], changed["rate_limit"]) == (
        "desk",
        None,
        None,
    )
    assert (changed["all_models"], changed["models"]) == (True, [])
    assert changed["weight"] == 2
    # A day alone is its end.
    assert changed["expires_at"] == "2999-01-31T23:59:00+00:00"

    rotated = admin("POST", f"keys/{prefix}/rotate", {"grace_hours": 1}, status=201)
    assert rotated["key"]["rotated_from"] == prefix
    key.refresh_from_db()
    assert key.is_usable
    revoked = admin("POST", f"keys/{prefix}/revoke")
    assert revoked["state"] == "revoked"
    assert "revoked" in admin.refused("PATCH", f"keys/{prefix}", {"name": "x"})[1]


def test_the_bodies_of_a_key_are_captured_by_who_may(admin: Admin) -> None:
    key, _ = make_api_key(make_user("anna"))
    capture = f"keys/{key.prefix}/capture"
    refused = admin("POST", capture, {"hours": 8}, 403)["error"]
    assert refused["code"] == "capture_not_allowed"
    assert admin("DELETE", capture, status=403)["error"]["code"] == refused["code"]
    root = User.objects.get(username="root")
    root.user_permissions.add(Permission.objects.get(codename="capture_apikey"))
    LogEntry.objects.all().delete()

    on = admin("POST", capture, {"hours": 8})
    key.refresh_from_db()
    assert key.is_captured
    assert on["captured_until"] == key.capture_until.isoformat()  # type: ignore[union-attr]
    assert admin.refused("POST", capture, {"hours": 100})[0] == "hours"
    assert admin("DELETE", capture)["captured_until"] is None
    by = [as_object(entry)["by"] for entry in LogEntry.objects.all()]
    assert by == ["root", "root"]
    admin("POST", f"keys/{key.prefix}/revoke")
    assert "is revoked" in admin.refused("POST", capture, {"hours": 1})[1]


#: What is no key, the member at fault, and what the sentence says.
NO_KEYS: list[tuple[dict[str, Any], str, str]] = [
    ({"owner": "nobody"}, "owner", "there is no active user 'nobody'"),
    ({"team": "blue"}, "team", "there is no team 'blue'"),
    ({"team": "red"}, "team", "not a member of the team 'red'"),
    ({"models": ["none"]}, "models", "there is no model 'none'"),
    ({"all_models": True, "models": ["tiny"]}, "models", "one of them"),
    ({"models": []}, "models", "one of them"),
    ({"weight": 1000.0}, "weight", "Enter a number from"),
    ({"rate_limit": -1}, "rate_limit", ""),
    ({"allowed_networks": ["home"]}, "allowed_networks", "is no network"),
    ({"expires_at": "2001-01-01"}, "expires_at", "in the past"),
    ({"expires_at": "soon"}, "expires_at", "write it as"),
    ({"expires_at": "0001-01-01T00:00+14:00"}, "expires_at", "write it as"),
    ({"scopes": ["root"]}, "scopes[0]", ""),
    ({"colour": "red"}, "colour", "Unknown parameter"),
    ({"name": "x" * 101}, "name", "at most 100 characters"),
]


def test_a_key_is_checked_as_in_the_admin(
    admin: Admin, subtests: pytest.Subtests
) -> None:
    make_user("anna")
    make_team("red")
    make_model("tiny")
    for change, param, complaint in NO_KEYS:
        with subtests.test(change=change):
            body = {"name": "laptop", "owner": "anna", "models": ["tiny"], **change}
            found, sentence = admin.refused("POST", "keys", body)
            assert (found, complaint in sentence) == (param, True), sentence
            assert ApiKey.objects.count() == 1


def test_keys_are_listed_by_page_owner_and_state(admin: Admin) -> None:
    anna = make_user("anna")
    made = [make_api_key(anna, name=f"key-{number}")[0] for number in range(3)]
    made[0].revoke()
    first = admin("GET", "keys?owner=anna&limit=2")
    assert [key["name"] for key in first["data"]] == ["key-2", "key-1"]
    assert first["has_more"]
    after = first["data"][-1]["prefix"]
    rest = admin("GET", f"keys?owner=anna&after={after}")
    assert [key["name"] for key in rest["data"]] == ["key-0"]
    ended = admin("GET", "keys?state=ended")["data"]
    assert [key["name"] for key in ended] == ["key-0"]
    assert admin.refused("GET", "keys?colour=red")[0] == "colour"
    assert admin.refused("GET", "keys?limit=0")[0] == "limit"


def test_a_team_lives_its_life(admin: Admin) -> None:
    make_user("anna")
    make_user("bob")
    make_model("tiny")
    made = admin(
        "POST", "teams", {"name": "red", "models": ["tiny"], "members": ["anna"]}, 201
    )
    assert (made["members"], made["models"], made["all_models"]) == (
        ["anna"],
        ["tiny"],
        False,
    )
    changed = admin("PATCH", "teams/red", {"members": ["bob"], "all_models": True})
    assert (changed["members"], changed["models"]) == (["bob"], [])
    assert changed["all_models"]
    assert [team["name"] for team in admin("GET", "teams")["data"]] == ["red"]
    assert "exists" in admin.refused("POST", "teams", {"name": "red"})[1]

    make_api_key(User.objects.get(username="bob"), team=Team.objects.get())
    assert "Keys belong to" in admin.refused("DELETE", "teams/red")[1]
    ApiKey.objects.filter(team__group__name="red").delete()
    assert admin("DELETE", "teams/red") == {"id": "red", "deleted": True}
    assert not Team.objects.exists()


def test_a_key_brings_nobody_into_a_team_whose_group_has_permissions(
    admin: Admin,
) -> None:
    team = make_team("staff")
    team.group.permissions.add(Permission.objects.get(codename="delete_user"))
    make_user("anna")
    for method, path, body, param in (
        ("PATCH", "teams/staff", {"members": ["anna"]}, "members"),
        ("PATCH", "users/anna", {"teams": ["staff"]}, "teams"),
        ("POST", "users", {"username": "bob", "teams": ["staff"]}, "teams"),
        ("POST", "invitations", {"teams": ["staff"]}, "teams"),
    ):
        found, sentence = admin.refused(method, path, body)
        assert (found, "chosen in the admin" in sentence) == (param, True), path
    assert not team.group.user_set.exists()
    changed = admin("PATCH", "teams/staff", {"notes": "x", "all_models": None})
    assert (changed["notes"], changed["all_models"]) == ("x", True)
    both = {"all_models": True, "models": [make_model("tiny").name]}
    assert admin.refused("PATCH", "teams/staff", both)[0] == "models"


def test_a_user_lives_its_life(admin: Admin) -> None:
    make_team("red")
    made = admin("POST", "users", {"username": "anna", "teams": ["red"]}, 201)
    assert (made["teams"], made["is_staff"], made["is_superuser"]) == (
        ["red"],
        False,
        False,
    )
    anna = User.objects.get(username="anna")
    assert not anna.has_usable_password()
    make_api_key(anna)
    changed = admin("PATCH", "users/anna", {"is_active": False, "teams": []})
    assert (changed["is_active"], changed["teams"]) == (False, [])
    weak = {"username": "bob", "password": "12345"}
    assert "too short" in admin.refused("POST", "users", weak)[1]
    assert admin.refused("PATCH", "users/anna", {"is_staff": True})[0] == "is_staff"
    assert len(admin("GET", "users?limit=1")["data"]) == 1


def test_a_key_changes_no_superuser(admin: Admin) -> None:
    make_user("boss", is_superuser=True)
    assert (
        "in the admin only"
        in (admin.refused("PATCH", "users/boss", {"is_active": False}))[1]
    )
    assert User.objects.get(username="boss").is_active


def test_an_invitation_is_a_link(admin: Admin) -> None:
    make_team("red")
    made = admin("POST", "invitations", {"teams": ["red"], "days": 1}, status=201)
    assert made["link"].startswith("http://testserver/account/invite/")
    assert made["teams"] == ["red"]


def test_limits_are_set_and_removed(admin: Admin) -> None:
    make_team("red")
    made = admin(
        "POST", "limits", {"team": "red", "kind": "tokens_day", "amount": 1000}, 201
    )
    assert (made["team"], made["amount"], made["is_shared"]) == ("red", 1000, True)
    assert admin("GET", "limits")["data"] == [made]
    again = {"team": "red", "kind": "tokens_day", "amount": 5}
    assert "a limit of this already" in admin.refused("POST", "limits", again)[1]
    half = {"team": "red", "kind": "parallel", "amount": 1.5}
    assert admin.refused("POST", "limits", half)[0] == "amount"
    path = f"limits/{made['id']}"
    changed = admin("PATCH", path, {"amount": 2000, "is_shared": False})
    assert changed == {**made, "amount": 2000, "is_shared": False}
    assert admin("GET", "limits")["data"] == [changed]
    assert admin.refused("PATCH", path, {"amount": 1.5})[0] == "amount"
    assert admin.refused("PATCH", path, {"amount": None})[0] == "amount"
    assert admin.refused("PATCH", path, {"team": "blue"})[0] == "team"
    admin("DELETE", path)
    assert not Limit.objects.exists()


def test_the_audit_log_says_which_key_did_it(admin: Admin) -> None:
    admin("POST", "teams", {"name": "red"}, status=201)
    (entry,) = admin("GET", "audit?kind=team")["data"]
    assert (entry["by"], entry["event"], entry["object"]) == ("root", "created", "red")
    assert entry["via"] == f"API /v1/admin/teams, key 'robot' ({admin.key.prefix}…)"
    latest = LogEntry.objects.select_related("content_type").latest("id")
    assert admin("GET", "audit?limit=1")["data"] == [as_object(latest)]
    assert admin("GET", f"audit?after={entry['id']}&kind=team")["data"] == []


def test_what_does_not_exist_is_404(admin: Admin) -> None:
    for method, path in (
        ("GET", "keys/sk-llmm-000000000000"),
        ("PATCH", "teams/none"),
        ("GET", "users/none"),
        ("PATCH", "limits/999"),
        ("DELETE", "limits/999"),
        ("GET", "keys/%00"),
    ):
        error = admin(method, path, {}, status=404)["error"]
        assert error["code"] == "not_found", path
