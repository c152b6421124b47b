"""The ledger as a run reads it: one Parquet file per table, frozen at one moment, typed for DuckDB.

Everything is exported, decided or not, whatever the as_of: which facts count on a day is decided by business dates in
sql/warehouse. Only what depends on the day's policy, and pausing, is taken as of the day.
"""

import datetime as dt
import io
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptp_pipeline.domain import calendar
from ptp_pipeline.domain.money import EXPONENTS
from ptp_pipeline.domain.policy import KINDS, Policy
from ptp_pipeline.ledger import policies
from ptp_pipeline.ledger.connection import Transaction

if TYPE_CHECKING:
    import polars as pl

LEDGER_TABLES = {
    "params": "One row: what this run answers for, and the policy values every stage needs.",
    "kind_policy": "Tolerances by kind of commitment.",
    "currencies": "Decimals of every currency.",
    "holidays": "Public holidays of the org's calendar.",
    "weekend": "Closed days of the week.",
    "commitments": "One row per commitment: who committed, to whom, how it was logged.",
    "versions": "One row per version of a commitment: terms, decision, cancellation.",
    "overrides": "People's decisions on payments that are in effect, one row per part.",
    "accepted_lines": "What became of each line of a commitments file.",
}

_SEPARATOR = "\x1f"
_UTC = "to_char({} at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US')"

_COMMITMENTS = f"""
select commitment_id, kind, customer_id, currency, owner, channel, contact_name, contact_email, confidence, confidence_reason, note,
       evidence_link, logged_by, {_UTC.format("logged_at")} as logged_at, source, file_sha256, line_number
from ptp.commitment where org_id = ptp.current_org() order by commitment_id collate "C"
"""
_VERSIONS = f"""
select v.commitment_id, v.version, v.agreed_on, v.amount_minor, v.total_minor, v.discount_minor, v.down_payment_minor, v.frequency,
       v.installment_count, v.first_due_date, v.grace_days, v.overpayment_rule, array_to_string(v.invoice_ids, chr(31)) as invoice_ids,
       -- dates as days since 1970: inside a list Polars makes dates of numbers only
       (select jsonb_agg(x || jsonb_build_object('due_date', (x ->> 'due_date')::date - date '1970-01-01') order by (x ->> 'sequence')::int)
        from jsonb_array_elements(v.custom_schedule) as x) as custom_schedule,
       v.terms_digest, v.logged_by, {_UTC.format("v.logged_at")} as logged_at, a.decision, a.decided_by, a.decided_role,
       {_UTC.format("a.decided_at")} as decided_at, a.reason as decision_reason, a.schedule,
       case when a.decision = 'approve' then ptp.approval_fits(v, a)::text end as approval_fits,
       e.effective_on as cancelled_on, e.reason as cancel_reason, e.kind as ended_by,
       case when coalesce(p.kind, 'resume') = 'pause' then 'true' else 'false' end as is_paused
from ptp.commitment_version v
left join ptp.approval a using (org_id, commitment_id, version)
left join ptp.commitment_event e on e.org_id = v.org_id and e.commitment_id = v.commitment_id and e.kind in ('cancel', 'withdraw', 'close')
left join (
    select distinct on (commitment_id) commitment_id, kind from ptp.commitment_event
    where org_id = ptp.current_org() and kind in ('pause', 'resume') and effective_on <= %(as_of)s
    order by commitment_id, effective_on desc, event_id desc
) as p on p.commitment_id = v.commitment_id
where v.org_id = ptp.current_org() order by v.commitment_id collate "C", v.version
"""
_OVERRIDES = f"""
select payment_id, part, commitment_id, amount_minor, decided_by, {_UTC.format("decided_at")} as decided_at, reason
from ptp.payment_override_part where org_id = ptp.current_org() order by payment_id collate "C", part
"""
_LINES = """
select feed, file_sha256, line_number, outcome, commitment_id, rule, reason
from ptp.feed_line where org_id = ptp.current_org() order by feed, file_sha256, line_number
"""

MADE_OF = "made_of.json"
# Feeds of which no row enters the ledger.
_UNSEEN = ("payments", "invoices", "contacts")
# The state of the ledger that a snapshot is of. Answers to lines of a file may be given after the act that accepted it: they are counted.
_READ = """
select coalesce(e.seq, 0)::int as position, coalesce(e.hash, '') as head,
       (select count(*) from ptp.feed_line where org_id = ptp.current_org()) as lines
from (select) as always
left join lateral (
    select seq, hash from ptp.audit_event where org_id = ptp.current_org() and changes_inputs order by seq desc limit 1
) as e on true
"""
# The hash of an earlier state says that it is one of this ledger; what came since and may show in a snapshot is counted.
_SHOWN_SINCE = """
select coalesce((select hash from ptp.audit_event where org_id = ptp.current_org() and seq = %(position)s), '') as head,
       (select count(*) from ptp.audit_event where org_id = ptp.current_org() and changes_inputs and seq > %(position)s
          and not (action = 'file.accepted' and coalesce(after ->> 'feed' = any(%(unseen)s), false))) as acts
"""


def positions(tx: Transaction) -> int:
    """A number that grows whenever something a run reads was changed; runs, mail and logins leave it alone."""
    row = tx.one("select coalesce(max(seq), 0) as position from ptp.audit_event where org_id = ptp.current_org() and changes_inputs")
    return int(row["position"]) if row else 0


def export(tx: Transaction, directory: Path, as_of: dt.date, earlier: Path | None = None, made_by: str = "") -> dict[str, int]:
    """Write every table into a fresh directory; returns rows by table. Writers of the org wait meanwhile, so it is one moment.

    `earlier` is the folder of a snapshot of this org: its tables are copied, all but `params`, if they would be the same again. `made_by`
    names the program: what another one made is not copied.
    """
    tx.execute("select ptp.lock_org()")
    version, policy = policies.with_version(tx, as_of)
    made_of = {"as_of": as_of.isoformat(), "policy_version": version, "made_by": made_by, **(tx.one(_READ) or {})}
    known = _still_holds(tx, earlier, made_of) if earlier else {}
    frames = {"params": _params(tx, as_of, version, policy)}
    if not known:
        frames |= {
            **_policy_tables(tx, as_of, policy),
            "commitments": _copy(tx, _COMMITMENTS, _schema("commitments")),
            "versions": _versions(tx, as_of),
            "overrides": _copy(tx, _OVERRIDES, _schema("overrides")),
            "accepted_lines": _copy(tx, _LINES, _schema("accepted_lines")),
        }
    directory.mkdir(parents=True, exist_ok=True)
    for table, frame in frames.items():
        frame.write_parquet(directory / f"{table}.parquet", compression="zstd")
    if earlier:
        for table in known.keys() - frames.keys():
            shutil.copyfile(earlier / f"{table}.parquet", directory / f"{table}.parquet")
    rows = {**known, **{table: frame.height for table, frame in frames.items()}}
    (directory / MADE_OF).write_text(json.dumps({"made_of": made_of, "rows": rows}), encoding="utf-8")
    return rows


def _still_holds(tx: Transaction, earlier: Path, now: Mapping[str, Any]) -> dict[str, int]:
    """Rows by table of an earlier snapshot, if its tables are what the ledger says still; nothing otherwise.

    They are when it was made for the same day under the same policy by the same program, from an earlier state of this very ledger, and
    when nothing came since but files that leave the ledger's own tables alone.
    """
    try:
        found: dict[str, Any] = json.loads((earlier / MADE_OF).read_text(encoding="utf-8"))
        then, rows = found["made_of"], found["rows"]
    except (OSError, ValueError, KeyError):  # none, or what a crash left of one
        return {}
    if then.keys() != now.keys() or any(then[name] != now[name] for name in now.keys() - {"position", "head"}):
        return {}
    if rows.keys() != LEDGER_TABLES.keys() or not all((earlier / f"{table}.parquet").exists() for table in rows):
        return {}
    since = tx.one(_SHOWN_SINCE, {**then, "unseen": list(_UNSEEN)})
    return dict(rows) if since == {"head": then["head"], "acts": 0} else {}


def _schema(table: str) -> dict[str, Any]:
    import polars as pl

    text, number, big, day, instant = pl.String(), pl.Int32(), pl.Int64(), pl.Date(), pl.Datetime("us")
    installment = pl.Struct({"sequence": number, "due_date": day, "amount_minor": big, "grace_days": number})
    schemas: dict[str, dict[str, Any]] = {
        "commitments": {
            **dict.fromkeys(
                ("commitment_id", "kind", "customer_id", "currency", "owner", "channel", "contact_name", "contact_email"), text
            ),
            "confidence": number,
            **dict.fromkeys(("confidence_reason", "note", "evidence_link", "logged_by"), text),
            "logged_at": instant,
            "source": text,
            "file_sha256": text,
            "line_number": number,
        },
        "versions": {
            "commitment_id": text,
            "version": number,
            "agreed_on": day,
            **dict.fromkeys(("amount_minor", "total_minor", "discount_minor", "down_payment_minor"), big),
            "frequency": text,
            "installment_count": number,
            "first_due_date": day,
            "grace_days": number,
            "overpayment_rule": text,
            "invoice_ids": pl.List(text),
            "custom_schedule": pl.List(installment),
            "terms_digest": text,
            "logged_by": text,
            "logged_at": instant,
            **dict.fromkeys(("decision", "decided_by", "decided_role"), text),
            "decided_at": instant,
            "decision_reason": text,
            "schedule": text,
            "approval_fits": pl.Boolean(),
            "cancelled_on": day,
            "cancel_reason": text,
            "ended_by": text,
            "is_paused": pl.Boolean(),
        },
        "overrides": {
            "payment_id": text,
            "part": number,
            "commitment_id": text,
            "amount_minor": big,
            "decided_by": text,
            "decided_at": instant,
            "reason": text,
        },
        "accepted_lines": {
            "feed": text,
            "file_sha256": text,
            "line_number": number,
            **dict.fromkeys(("outcome", "commitment_id", "rule", "reason"), text),
        },
    }
    return schemas[table]


def _copy(tx: Transaction, sql: str, schema: dict[str, Any], params: dict[str, Any] | None = None) -> "pl.DataFrame":
    """A query's rows by COPY: a million versions as Python objects would cost more than the rest of the run."""
    import polars as pl

    buffer = io.BytesIO()
    with tx.connection.cursor().copy(f"copy ({sql}) to stdout (format csv)".encode(), params) as copy:
        for data in copy:
            buffer.write(data)
    buffer.seek(0)
    frame = pl.read_csv(buffer, has_header=False, schema=dict.fromkeys(schema, pl.String), raise_if_empty=False)
    return frame.with_columns(_cast(name, kind) for name, kind in schema.items())


def _cast(name: str, kind: Any) -> "pl.Expr":
    import polars as pl

    column = pl.col(name)
    if kind == pl.Date:
        return column.str.to_date("%Y-%m-%d")
    if kind == pl.Datetime:
        return column.str.to_datetime("%Y-%m-%dT%H:%M:%S%.6f", time_unit="us")
    if kind == pl.Boolean:
        return column == "true"
    if kind == pl.List(pl.String):
        return pl.when(column == "").then(pl.lit([], dtype=kind)).otherwise(column.str.split(_SEPARATOR)).alias(name)
    if isinstance(kind, pl.List):
        as_written = pl.List(pl.Struct({"sequence": pl.Int32, "due_date": pl.Int32, "amount_minor": pl.Int64, "grace_days": pl.Int32}))
        return column.str.json_decode(as_written).cast(kind)
    return column.cast(kind)


def _versions(tx: Transaction, as_of: dt.date) -> "pl.DataFrame":
    return _copy(tx, _VERSIONS, _schema("versions"), {"as_of": as_of})


def _params(tx: Transaction, as_of: dt.date, version: int, policy: Policy) -> "pl.DataFrame":
    import polars as pl

    row = {
        "org_id": tx.org,
        "as_of": as_of,
        "currency": policy.currency,
        "timezone": policy.timezone,
        "business_day_rule": policy.business_day_rule,
        "grace_days": policy.grace_days,
        "exact_amount_window_days": policy.exact_amount_window_days,
        "due_soon_days": policy.due_soon_days,
        "default_after_broken": policy.default_after_broken,
        "ledger_position": positions(tx),
        "policy_version": version,
    }
    days = ("grace_days", "exact_amount_window_days", "due_soon_days", "default_after_broken", "policy_version")
    return pl.DataFrame([row], schema_overrides={"ledger_position": pl.Int64, "as_of": pl.Date, **dict.fromkeys(days, pl.Int32)})


def _policy_tables(tx: Transaction, as_of: dt.date, policy: Policy) -> dict[str, "pl.DataFrame"]:
    import polars as pl

    span = tx.one(
        "select min(agreed_on) as first, max(ptp.last_due_date(v)) as last from ptp.commitment_version v where org_id = ptp.current_org()"
    )
    # Payments may be older than the first agreement, and due dates move past the last nominal one: a year or two of room.
    first = dt.date(min(as_of, (span or {}).get("first") or as_of).year - 2, 1, 1)
    last = dt.date(min(max(as_of, (span or {}).get("last") or as_of).year + 2, 2202), 12, 31)
    return {
        "kind_policy": pl.DataFrame(
            [(kind, *policy.tolerance(kind)) for kind in KINDS],
            schema={"kind": pl.String, "tolerance_amount": pl.Decimal(18, 3), "tolerance_percent": pl.Decimal(9, 4)},
            orient="row",
        ),
        "currencies": pl.DataFrame(sorted(EXPONENTS.items()), schema={"currency": pl.String, "exponent": pl.Int32}, orient="row"),
        "holidays": pl.DataFrame(
            calendar.holidays_between(policy.calendar, first, last), schema={"date": pl.Date, "name": pl.String}, orient="row"
        ),
        "weekend": pl.DataFrame({"iso_dow": sorted(calendar.weekend_days(policy.calendar))}, schema={"iso_dow": pl.Int32}),
    }
