"""Which limits hold for a request: rows of the database as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from accounts.models.limit import LimitKind
from accounts.session_access import SessionAccess

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from accounts.models import ApiKey
    from accounts.models.limit import Limit
    from registry.models import Model

_MINUTE_S = 60


@dataclass(frozen=True, slots=True)
class Spender:
    """Whose use a limit counts; None is anybody's, or any model's.

    ``key`` is the lineage of keys that were rotated, or of a person's sessions; the
    others are primary keys.
    """

    key: str | None = None
    owner: int | None = None
    team: int | None = None
    model: int | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """A limit that holds for a request.

    ``amount`` is in requests, tokens or billionths of money; ``slot`` names what is
    counted together, ``holder`` and ``model`` say whose it is. A bucket refills in
    ``window_s``.
    """

    kind: LimitKind
    amount: int
    slot: str
    holder: str
    spender: Spender = field(default_factory=Spender)
    model: str = ""
    window_s: int = _MINUTE_S


@dataclass(frozen=True, slots=True)
class DefaultLimit:
    """The requests of a client in a window, if nothing else is set; 0 is no limit."""

    requests: int
    window_s: int


def rules_for(
    key: ApiKey | SessionAccess,
    model: Model | None,
    limits: Iterable[Limit],
    default: DefaultLimit,
) -> list[Rule]:
    """Return what holds for a key that asks for a model, narrow and wide.

    Of limits for each key, a key's own goes before its team's, its owner's and the
    default; the shared ones of team and owner hold beside it. ``model`` None leaves
    out the limits of single models. A session has the limits of a key without any.
    """
    holding = [
        limit
        for limit in limits
        if limit.model_id is None or (model and limit.model_id == model.pk)
    ]
    each = {(rule.kind, rule.spender.model): rule for rule in _own(key, holding)}
    rules = list(each.values())
    requests = _requests(key, each, default)
    if requests is not None:
        rules.append(requests)
    return [*rules, *_shared(holding)]


def _own(key: ApiKey | SessionAccess, limits: list[Limit]) -> Iterator[Rule]:
    """Yield limits that the key does not share, the strongest of a kind last."""
    defaults = [limit for limit in limits if limit.is_for_each_key]
    defaults.sort(key=lambda limit: (bool(limit.team_id), bool(limit.user_id)))
    for limit in [*defaults, *(limit for limit in limits if limit.key_id)]:
        kind = LimitKind(limit.kind)
        counts_requests = kind == LimitKind.REQUESTS_MINUTE and limit.model_id is None
        if counts_requests and key.rate_limit is not None:
            continue
        yield Rule(
            kind=kind,
            amount=limit.units,
            slot=_slot(_group(key), limit),
            holder=_key_text(key, _source(limit)),
            spender=Spender(key=key.lineage, model=limit.model_id),
            model=str(limit.model or ""),
        )


def _shared(limits: list[Limit]) -> Iterator[Rule]:
    for limit in limits:
        if not (limit.is_for_each_key or limit.key_id):
            yield shared_rule(limit)


def shared_rule(limit: Limit) -> Rule:
    """Return a limit that is counted once: a key's, a shared one of a team or user."""
    if limit.key is not None:
        group, holder = f"key:{limit.key.lineage}", _key_text(limit.key, "")
        spender = Spender(key=limit.key.lineage, model=limit.model_id)
    elif limit.team_id:
        group, holder = f"team:{limit.team_id}", f"the team '{limit.team}'"
        spender = Spender(team=limit.team_id, model=limit.model_id)
    else:
        group, holder = f"user:{limit.user_id}", f"the user '{limit.user}'"
        spender = Spender(owner=limit.user_id, model=limit.model_id)
    return Rule(
        kind=LimitKind(limit.kind),
        amount=limit.units,
        slot=_slot(group, limit),
        holder=holder,
        spender=spender,
        model=str(limit.model or ""),
    )


def _requests(
    key: ApiKey | SessionAccess,
    each: dict[tuple[LimitKind, int | None], Rule],
    default: DefaultLimit,
) -> Rule | None:
    """Return the key's requests in a window, unless a row says them."""
    own = key.rate_limit
    if own is None and (LimitKind.REQUESTS_MINUTE, None) in each:
        return None
    amount = default.requests if own is None else own
    if amount == 0:
        return None
    return Rule(
        kind=LimitKind.REQUESTS_MINUTE,
        amount=amount,
        slot=f"{_group(key)}/{LimitKind.REQUESTS_MINUTE.value}",
        holder=_key_text(key, "the default" if own is None else ""),
        spender=Spender(key=key.lineage),
        window_s=default.window_s,
    )


def _group(key: ApiKey | SessionAccess) -> str:
    return key.lineage if isinstance(key, SessionAccess) else f"key:{key.lineage}"


def _slot(group: str, limit: Limit) -> str:
    model = f"/model:{limit.model_id}" if limit.model_id else ""
    return f"{group}{model}/{limit.kind}"


def _source(limit: Limit) -> str:
    if limit.key_id:
        return ""
    if limit.team_id:
        return f"of its team '{limit.team}'"
    return f"of its owner '{limit.user}'" if limit.user_id else "the default"


def _key_text(key: ApiKey | SessionAccess, source: str) -> str:
    if isinstance(key, SessionAccess):
        name = f"'{key.owner}' without a key"
    else:
        name = f"the API key '{key.name}'"
    return name + (f" ({source})" if source else "")
