"""Versions of an org's policy. What a policy may be is domain.policy; who may change it is decided by sql/ledger."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from ptp_pipeline.domain import policy as rules
from ptp_pipeline.domain.policy import Policy
from ptp_pipeline.errors import Refused, UsageError
from ptp_pipeline.ledger.connection import Transaction
from ptp_pipeline.ledger.users import proof


def current(tx: Transaction, on: dt.date | None = None) -> Policy:
    """The policy of a day; without one, of today in the org's time zone."""
    return with_version(tx, on)[1]


def with_version(tx: Transaction, on: dt.date | None = None) -> tuple[int, Policy]:
    """Version number and policy of a day."""
    row = tx.one(
        "select version, policy from ptp.policy_version where org_id = ptp.current_org()"
        " and effective_from <= coalesce(%s, ptp.org_today()) order by version desc limit 1",
        [on],
    )
    if row is None:
        raise Refused(f"There is no org {tx.org}.", "`ptp org list` shows those there are.")
    return row["version"], rules.load(row["policy"])


def change(tx: Transaction, changes: Mapping[str, Any], reason: str, effective_from: dt.date | None = None) -> Policy:
    """Apply changes to the newest policy as a new version, effective from a day (default: today in the org's time zone).

    Needs the operator, or an admin or controller who signed in.
    """
    from psycopg.types.json import Jsonb

    if not changes:
        raise UsageError("There is nothing to change.", "Give key=value.")
    newest = tx.one(
        "select policy, ptp.org_today() as today from ptp.policy_version where org_id = ptp.current_org() order by version desc limit 1"
    )
    if newest is None:
        raise Refused(f"There is no org {tx.org}.", "`ptp org list` shows those there are.")
    changed = rules.change(rules.load(newest["policy"]), changes)
    tx.execute("select ptp.change_policy(%s, %s, %s, %s)", [proof(tx), Jsonb(changed.as_json()), reason, effective_from or newest["today"]])
    return changed
