"""Decisions on terms, and how long they took. The gate itself is in sql/ledger (ptp.decide and the trigger behind it); here is only how
to reach it.

Who approves, approves terms and the schedule they saw. The schedule is made by the warehouse's statements and handed in by the shell
that showed it; the gate keeps it with the approval.
"""

import datetime as dt
import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from ptp_pipeline.domain.calendar import business_time
from ptp_pipeline.domain.policy import Policy
from ptp_pipeline.errors import Refused, UsageError
from ptp_pipeline.ledger import audit, policies
from ptp_pipeline.ledger.connection import Actor, Ledger, Transaction
from ptp_pipeline.ledger.users import proof

DECISIONS = ("approve", "reject", "send_back")
_CODE_LETTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
_MAX_HOURS = 168

Item = tuple[str, int]
# Of every installment in order: nominal due date, due date, amount in minor units, days of grace.
Schedule = Sequence[tuple[dt.date, dt.date, int, int]]
Schedules = Mapping[Item, Schedule]


@dataclass(frozen=True)
class Decision:
    """One decision as the ledger keeps it, with the digests of the terms and of the schedule it was made on.

    `business_hours` is how long it took, in the org's office hours.
    """

    commitment_id: str
    version: int
    decision: str
    reason: str
    terms_digest: str
    schedule_digest: str | None
    decided_by: str
    decided_role: str
    decided_at: dt.datetime
    business_hours: float


@dataclass(frozen=True)
class Turnaround:
    """How long people took to decide lately: the median in business hours, and how many of their decisions took over a business day."""

    decisions: int
    median_hours: float | None
    late: int
    day_hours: float


def decide(
    tx: Transaction, items: Sequence[Item], decision: str, reason: str, channel: str, schedules: Schedules | None = None
) -> list[Decision]:
    """Decide on versions as the person who signed in: all of them or, when a rule says no to one, none.

    To approve takes the schedule of every item, as it was shown.
    """
    if problem := _problem(items, decision, reason):
        raise problem
    rows = tx.all(
        "select d.commitment_id, d.version, d.decision, d.reason, d.terms_digest, d.schedule_digest, d.decided_by, d.decided_role,"
        # left join: beside an empty table Postgres would not call the function at all
        " d.decided_at, v.logged_at from ptp.decide(%s, %s::jsonb, %s, %s, %s) as d"
        " left join ptp.commitment_version v using (org_id, commitment_id, version)",
        [proof(tx), _as_json(items, schedules), decision, reason, channel],
    )
    hours = _business_hours(policies.current(tx), [(row.pop("logged_at"), row["decided_at"]) for row in rows])
    return [Decision(**row, business_hours=spent) for row, spent in zip(rows, hours, strict=True)]


def turnaround(tx: Transaction, days: int = 30) -> Turnaround:
    """Decisions of people within the last days; what policy decided at once is not among them."""
    policy = policies.current(tx)
    opens, closes = policy.approval.office_hours
    day = (dt.datetime.combine(dt.date.min, closes) - dt.datetime.combine(dt.date.min, opens)).total_seconds() / 3600
    rows = tx.all(
        "select v.logged_at, a.decided_at from ptp.approval a join ptp.commitment_version v using (org_id, commitment_id, version)"
        " where a.org_id = ptp.current_org() and a.decided_by <> 'policy' and a.decided_at > now() - make_interval(days => %s)",
        [days],
    )
    hours = _business_hours(policy, [(row["logged_at"], row["decided_at"]) for row in rows])
    return Turnaround(len(hours), round(median(hours), 1) if hours else None, sum(h > day for h in hours), day)


def _business_hours(policy: Policy, spans: Sequence[tuple[dt.datetime, dt.datetime]]) -> list[float]:
    """Of each span. Those of a bulk decision are alike to the minute, so few are worked out."""
    known: dict[tuple[dt.datetime, dt.datetime], float] = {}
    hours = []
    for start, end in spans:
        key = (start.replace(second=0, microsecond=0), end.replace(second=0, microsecond=0))
        if key not in known:
            known[key] = round(
                business_time(*key, policy.calendar, policy.timezone, policy.approval.office_hours).total_seconds() / 3600, 1
            )
        hours.append(known[key])
    return hours


def _problem(items: Sequence[Item], decision: str, reason: str) -> UsageError | None:
    if decision not in DECISIONS:
        return UsageError(f"There is no decision {decision!r}.", f"Decisions: {', '.join(DECISIONS)}.")
    if not reason.strip():
        return UsageError("A decision needs a reason.", "Add --reason.")
    if not items:
        return UsageError("There is nothing to decide on.", "Name the commitments.")
    return None


def issue_code(tx: Transaction, items: Sequence[Item], hours: int = 24, schedules: Schedules | None = None) -> str:
    """A one-time code with which the person who signed in can decide on exactly these versions, shown this once.

    Approving with it takes the very schedules it was issued for.
    """
    if not 1 <= hours <= _MAX_HOURS:
        raise UsageError(f"A code cannot be good for {hours} hours.", f"Use 1 to {_MAX_HOURS}.")
    letters = "".join(secrets.choice(_CODE_LETTERS) for _ in range(16))
    until = dt.datetime.now(dt.UTC) + dt.timedelta(hours=hours)
    tx.execute(
        "select ptp.issue_code(%s, %s::jsonb, %s, %s)",
        [proof(tx), _as_json(items, schedules), hashlib.sha256(letters.encode()).hexdigest(), until],
    )
    return "-".join(letters[i : i + 4] for i in range(0, 16, 4))


def decide_with_code(
    ledger: Ledger,
    org: str,
    user_name: str,
    code: str,
    items: Sequence[Item],
    decision: str,
    reason: str,
    origin: str,
    schedules: Schedules | None = None,
) -> list[Decision]:
    """Decide with a one-time code, which is used up by being presented, whatever comes of it. A refused try is recorded.

    A slip of the pen (no reason, no items) is turned down before the code is presented, except from Dagster: there the code
    stands in the run's config for others to read, so it must be worthless afterwards.
    """
    problem = _problem(items, decision, reason)
    if problem and origin != "dagster":
        raise problem
    who = Actor(user_name, "none", "code", origin, present_code(ledger, org, user_name, code, origin))
    try:
        with ledger.transaction(org, who) as tx:
            return decide(tx, items, decision, reason, origin, schedules)
    except Refused as refusal:
        with ledger.transaction(org, who) as tx:
            audit.record(tx, "code.refused", "user", user_name, refusal.message)
        raise


def present_code(ledger: Ledger, org: str, user_name: str, code: str, origin: str) -> str:
    """Use up a code, in a transaction of its own; returns a proof good for a minute and the code's items. Raises Refused."""
    with ledger.door(org, Actor(name=user_name, role="none", auth="code", origin=origin)) as tx:
        row = tx.one("select * from ptp.redeem_code(%s, %s)", [user_name[:128], code.strip().upper().replace("-", "")]) or {}
    if row.get("proof") is None:
        raise Refused(
            row.get("refusal") or "This approval code is not valid.", row.get("next_step") or "Ask for a new code after signing in."
        )
    return str(row["proof"])


def _as_json(items: Sequence[Item], schedules: Schedules | None) -> str:
    return json.dumps(
        [
            {"commitment_id": commitment_id, "version": version}
            | ({"schedule": schedules[commitment_id, version]} if schedules and (commitment_id, version) in schedules else {})
            for commitment_id, version in dict.fromkeys(items)
        ],
        default=str,
    )
