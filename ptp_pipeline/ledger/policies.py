"""Versions of an org's policy. What a policy may be is domain.policy; who may change it is decided by sql/ledger."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ptp_pipeline.domain import policy as rules
from ptp_pipeline.domain.policy import Policy, PolicyError
from ptp_pipeline.errors import Refused, UsageError
from ptp_pipeline.ledger.connection import Transaction
from ptp_pipeline.ledger.users import proof


@dataclass(frozen=True)
class Version:
    """One version. `changes` is what it changed in the policy its first day had before: key → (before, after)."""

    version: int
    effective_from: dt.date
    changed_by: str
    changed_at: dt.datetime
    reason: str
    changes: dict[str, tuple[Any, Any]]


def current(tx: Transaction, on: dt.date | None = None) -> Policy:
    """The policy of a day; without one, of today in the org's time zone."""
    return with_version(tx, on)[1]


def with_version(tx: Transaction, on: dt.date | None = None) -> tuple[int, Policy]:
    """Version number and policy of a day."""
    row = tx.one(
        "select version, policy from ptp.policy_version where org_id = ptp.current_org()"
        " and effective_from <= coalesce(%s, ptp.org_today()) order by effective_from desc, version desc limit 1",
        [on],
    )
    if row is None:
        raise _no_org(tx)
    return row["version"], rules.load(row["policy"])


def by_others(tx: Transaction, name: str) -> Policy:
    """Today's policy but for what this person changed: the gate holds them to both."""
    row = tx.one("select ptp.policy_by_others(%s) as policy", [name])
    if not (row and row["policy"]):
        raise _no_org(tx)
    return rules.load(row["policy"])


def change(tx: Transaction, changes: Mapping[str, Any], reason: str, effective_from: dt.date | None = None) -> Policy:
    """Apply changes from a day on (default: today in the org's time zone); returns the policy of that day.

    Only the changed keys move: each holds from that day until a version that starts later changed it itself, and nothing else of
    today's policy is carried back. Needs the operator, or an admin or controller who signed in.
    """
    if not changes:
        raise UsageError("There is nothing to change.", "Give key=value.")
    if not reason.strip():
        raise UsageError("A change of policy needs a reason.", "Add --reason.")
    tx.execute("select ptp.lock_org()")  # of two changes at once, the later one sees the first
    today = tx.one("select ptp.org_today() as day") or {}
    start = effective_from or today["day"]
    later = tx.all(
        "select distinct effective_from as day from ptp.policy_version"
        " where org_id = ptp.current_org() and effective_from > %s order by day",
        [start],
    )
    before = current(tx, start)
    changed = _store(tx, start, before, changes, reason)
    for row in later:
        then = current(tx, row["day"])
        changes = {key: value for key, value in changes.items() if rules.value_of(then, key) == rules.value_of(before, key)}
        if not changes:
            break
        try:
            _store(tx, row["day"], then, changes, f"{reason} (from {start} on)")
        except PolicyError as error:
            raise PolicyError(f"With the policy that starts on {row['day']}: {error.message}", error.next_step) from None
        before = then
    return changed


def _store(tx: Transaction, day: dt.date, policy: Policy, changes: Mapping[str, Any], reason: str) -> Policy:
    from psycopg.types.json import Jsonb

    changed = rules.change(policy, changes)
    tx.execute("select ptp.change_policy(%s, %s, %s, %s)", [proof(tx), Jsonb(changed.as_json()), reason, day])
    return changed


def history(tx: Transaction) -> list[Version]:
    """Every version, in the order they were made."""
    rows = tx.all(
        "select version, effective_from, changed_by, changed_at, reason, policy from ptp.policy_version"
        " where org_id = ptp.current_org() order by version"
    )
    if not rows:
        raise _no_org(tx)
    made: list[Version] = []
    known: list[tuple[dt.date, int, Policy]] = []
    for row in rows:
        policy = rules.load(row.pop("policy"))
        earlier = [k for k in known if k[0] <= row["effective_from"]]
        base = max(earlier, key=lambda k: k[:2])[2] if earlier else Policy()
        known.append((row["effective_from"], row["version"], policy))
        made.append(Version(**row, changes=rules.differences(base, policy)))
    return made


def _no_org(tx: Transaction) -> Refused:
    return Refused(f"There is no org {tx.org}.", "`ptp org list` shows those there are.")
