"""Orgs: the tenants. Only the operator creates and lists them; everything else happens inside one."""

import re
from dataclasses import dataclass
from typing import Any

from ptp_pipeline.domain import policy as policies
from ptp_pipeline.errors import UsageError
from ptp_pipeline.ledger.connection import Actor, Ledger

_READER = Actor(name="operator", role="operator", auth="operator", origin="pipeline")


@dataclass(frozen=True)
class OrgRow:
    """What is known of an org from outside it."""

    org_id: str
    timezone: str
    currency: str


def create_org(ledger: Ledger, org_id: str, actor: Actor, currency: str = "USD", timezone: str = "UTC", **policy: Any) -> None:
    """Make an org with its first policy, which holds from the beginning of time."""
    from psycopg.types.json import Jsonb

    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,62}", org_id):
        raise UsageError(f"{org_id!r} cannot be the name of an org.", "Use lower-case letters, digits, - and _; it becomes a folder name.")
    first = policies.change(policies.Policy(), {"currency": currency, "timezone": timezone, **policy})
    with ledger.operator(actor) as tx:
        tx.execute("select ptp.create_org(%s, %s)", [org_id, Jsonb(first.as_json())])


def list_orgs(ledger: Ledger) -> list[OrgRow]:
    """All orgs, with the time zone and currency of today's policy."""
    with ledger.operator(_READER) as tx:
        rows = tx.all(
            "select distinct on (org_id) org_id, policy ->> 'timezone' as timezone, policy ->> 'currency' as currency"
            " from ptp.org join ptp.policy_version using (org_id) where effective_from <= (now() at time zone 'UTC')::date"
            " order by org_id, effective_from desc, version desc"
        )
    return [OrgRow(**row) for row in rows]
