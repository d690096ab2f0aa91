"""What a test leaves in the database, no other test finds."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType

from tests.emptying import DatabaseAtStart

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def start() -> DatabaseAtStart:
    return DatabaseAtStart()


def test_rows_that_a_test_adds_are_deleted_whatever_they_refer_to(
    start: DatabaseAtStart,
) -> None:
    user = User.objects.create(username="anna")
    user.groups.add(Group.objects.create(name="research"))
    user.user_permissions.add(Permission.objects.latest("pk"))
    start.restore()
    assert not User.objects.exists()
    assert not Group.objects.exists()
    assert not User.groups.through.objects.exists()
    assert not User.user_permissions.through.objects.exists()


def test_rows_that_came_with_the_migrations_stay(start: DatabaseAtStart) -> None:
    permissions = list(Permission.objects.order_by("pk").values())
    assert permissions
    User.objects.create(username="anna")
    start.restore()
    assert list(Permission.objects.order_by("pk").values()) == permissions


@pytest.mark.parametrize("change", ["delete", "add", "rename"])
def test_rows_of_the_migrations_that_a_test_changes_are_made_again(
    start: DatabaseAtStart, change: str
) -> None:
    names = set(Permission.objects.values_list("codename", flat=True))
    permission = Permission.objects.latest("pk")
    if change == "delete":
        permission.delete()
    elif change == "add":
        kind = ContentType.objects.get_for_model(User)
        Permission.objects.create(codename="fly", name="Fly", content_type=kind)
    else:
        Permission.objects.filter(pk=permission.pk).update(codename="renamed")
    start.restore()
    assert set(Permission.objects.values_list("codename", flat=True)) == names
    # What was made again is what later tests start from.
    User.objects.create(username="anna")
    start.restore()
    assert set(Permission.objects.values_list("codename", flat=True)) == names
    assert not User.objects.exists()
