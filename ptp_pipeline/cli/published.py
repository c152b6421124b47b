"""Reading published files: plain SQL over the org's DuckDB file, read-only. Never the ledger, never a running run's tables."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptp_pipeline.errors import UsageError, WorkFailed

if TYPE_CHECKING:
    import duckdb

    from ptp_pipeline.settings import Settings

Row = dict[str, Any]

# What a status shows of each list; the tables hold the rest.
TOP = 10

_TOTALS = """
select
    currency, count(*) as commitments, sum(total_amount) as total_amount, sum(paid_amount) as paid_amount,
    sum(outstanding_amount) as outstanding_amount
from commitments
where is_current and status in ('active', 'completed', 'defaulted')
group by currency
order by currency
"""
_BROKEN = """
select
    b.commitment_id, b.version, b.sequence, b.customer_id, b.customer_name, b.owner, b.due_date, b.broken_since,
    b.outstanding_amount, b.currency, b.reason
from broken_promises as b
where b.broken_since = $day
order by b.broken_since desc, b.outstanding_amount desc, b.commitment_id, b.sequence
"""
_BROKEN_TOTALS = (
    "select currency, count(*) as count, sum(outstanding_amount) as outstanding_amount from broken_promises group by 1 order by 1"
)
_BY_STATUS = """
select status, currency, count(*) as commitments, sum(outstanding_amount) as outstanding_amount
from commitments
where is_current
group by all
order by status, currency
"""
_OWNERS = """
select coalesce(owner, '') as owner, currency, count(*) as broken, sum(outstanding_amount) as outstanding_amount
from broken_promises
group by all
order by outstanding_amount desc, owner, currency
limit $top
"""
_COUNTS = """
select
    (select count(*) from unmatched_payments) as unmatched_payments,
    (select count(*) from quarantine) as quarantined,
    (select count(*) from payments) as payments,
    (select count(*) from invoices) as invoices,
    (select count(*) from customers) as customers
"""
_PAYMENT = """
select p.*, f.file_name
from payments as p
left join (select file_sha256, any_value(file_name) as file_name from files where feed = 'payments' group by 1) as f
    on p.file_sha256 = f.file_sha256
where p.payment_id = $id
"""
# By which rule money was laid out over a schedule: what was due, then the surplus by the rule of the commitment.
_ALLOCATIONS = """
select
    *,
    case
        when applied_as = 'carried_credit' then 'carried'
        when applied_as = 'held_credit' then 'held'
        when due_date < applied_on then 'past_due'
        when due_date = applied_on then 'due_that_day'
        else overpayment_rule
    end as laid_out_as
from allocations
"""
_NEAR = """
with ids as (
    select commitment_id as id from commitments
    union all
    select payment_id from payments
    union all
    select invoice_id from invoices
    union all
    select customer_id from customers
)

select distinct id, damerau_levenshtein(lower(id), lower($id)) as distance
from ids
where abs(length(id) - length($id)) < 3 and distance < least(3, length($id))
order by distance, id
limit 5
"""


@dataclass(frozen=True)
class Build:
    """One published build, opened read-only."""

    path: Path
    as_of: date
    built_at: datetime
    connection: "duckdb.DuckDBPyConnection"

    def rows(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """All rows of a query, as dicts."""
        result = self.connection.execute(sql, dict(parameters or {}))
        names = [column[0] for column in result.description]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def tables(self) -> list[str]:
        return [
            row["table_name"]
            for row in self.rows("select table_name from information_schema.tables where table_schema = 'main' order by 1")
        ]


@contextmanager
def open_build(settings: "Settings", org: str, folder: Path | None = None) -> Iterator[Build]:
    """The org's current build, or the one in a folder.

    Raises UsageError for an unknown org, WorkFailed when nothing was published or it does not open.
    """
    import duckdb

    link = folder or settings.current_build(org)
    if not link.exists():
        known = sorted(p.name for p in settings.home.glob("published/*") if p.is_dir()) + sorted(
            p.name for p in settings.home.glob("inbox/*") if p.is_dir()
        )
        if org not in known:
            here = ", ".join(sorted(set(known)))
            raise UsageError(f"There is no org {org!r} in {settings.home}.", f"Orgs here: {here}." if here else "Add one: ptp org add acme")
        raise WorkFailed(f"Nothing has been published for {org} yet.", f"Run: ptp run --org {org}")
    # The link may move to a newer build at any moment; what was opened stays one build.
    path = link.resolve()
    try:
        connection = duckdb.connect(str(path / "ptp.duckdb"), read_only=True)
    except duckdb.Error as error:
        raise WorkFailed(f"The published file of {org} does not open: {str(error).splitlines()[0]}", f"Run: ptp run --org {org}") from None
    try:
        info = connection.execute("select as_of, built_at from run_info").fetchall()[0]
        yield Build(path, info[0], info[1], connection)
    finally:
        connection.close()


def status(build: Build) -> Row:
    """What a morning starts with: what broke today, what is open, by state and by owner."""
    return {
        "as_of": build.as_of,
        "built_at": build.built_at,
        "build": build.path,
        "broken_today": build.rows(_BROKEN, {"day": build.as_of}),
        "broken": build.rows(_BROKEN_TOTALS),
        "totals": build.rows(_TOTALS),
        "by_status": build.rows(_BY_STATUS),
        "owners": build.rows(_OWNERS, {"top": TOP}),
        "counts": {**build.rows(_COUNTS)[0], "stale_decisions": _stale_decisions(build)},
    }


def _stale_decisions(build: Build) -> int:
    """Payments people decided about in vain; a build of an earlier version does not know."""
    if "decisions" not in build.tables():
        return 0
    return int(build.rows("select count(distinct payment_id) as n from decisions where is_stale")[0]["n"])


def scorecards(build: Build, best: bool, limit: int) -> list[Row]:
    """Customers with something judged, the best or the worst keepers by amount first."""
    direction = "desc" if best else "asc"
    return build.rows(
        f"select * from scorecard_customer where kept_rate_by_count is not null order by kept_rate_by_count {direction},"
        " judged_count desc, customer_id limit $limit",
        {"limit": limit},
    )


def show(build: Build, object_id: str) -> Row:
    """Everything about a commitment, payment, invoice or customer, whichever has this id. Raises UsageError when none has."""
    for kind, finder in {"commitment": _commitment, "payment": _payment, "invoice": _invoice, "customer": _customer}.items():
        if found := finder(build, object_id):
            return {"kind": kind, "id": object_id, "as_of": build.as_of, **found}
    near = [row["id"] for row in build.rows(_NEAR, {"id": object_id})]
    raise UsageError(
        f"Nothing published has the id {object_id!r}.",
        (f"Close to it: {', '.join(near)}. " if near else "")
        + "Ids are exact: commitment, payment, invoice or customer. What is pending is listed by `ptp pending`.",
    )


def _commitment(build: Build, object_id: str) -> Row | None:
    key = {"id": object_id}
    versions = build.rows("select * from commitments where commitment_id = $id order by version", key)
    if not versions:
        return None
    return {
        "versions": versions,
        "installments": build.rows("select * from installments where commitment_id = $id order by version, sequence", key),
        "allocations": build.rows(f"{_ALLOCATIONS} where commitment_id = $id order by received_date, payment_id, version, sequence", key),
        "chargebacks": build.rows("select * from chargebacks where commitment_id = $id order by charged_back_on, payment_id", key),
        "transitions": build.rows("select * from transitions where commitment_id = $id order by effective_on, version, sequence", key),
    }


def _payment(build: Build, object_id: str) -> Row | None:
    key = {"id": object_id}
    found = build.rows(_PAYMENT, key)
    if not found:
        return None
    return {
        "payment": found[0],
        "decisions": build.rows("select * from decisions where payment_id = $id order by part", key),
        "allocations": build.rows(f"{_ALLOCATIONS} where payment_id = $id order by commitment_id, version, sequence", key),
        "returns": build.rows("select * from returns where payment_id = $id or returned_by = $id order by returned_on, returned_by", key),
        "chargebacks": build.rows(
            "select * from chargebacks where payment_id = $id or charged_payment_id = $id order by charged_back_on, payment_id, sequence",
            key,
        ),
        "reversed_by": build.rows("select * from payments where reverses_payment_id = $id order by received_date, payment_id", key),
        "suggestions": build.rows("select * from suggestions where payment_id = $id order by rank", key),
    }


def _invoice(build: Build, object_id: str) -> Row | None:
    key = {"id": object_id}
    found = build.rows("select * from invoices where invoice_id = $id", key)
    if not found:
        return None
    return {
        "invoice": found[0],
        "commitments": build.rows(
            "select c.* from commitments as c where list_contains(string_split(c.invoice_ids, ';'), $id) order by commitment_id, version",
            key,
        ),
    }


def _customer(build: Build, object_id: str) -> Row | None:
    key = {"id": object_id}
    found = build.rows("select * from customers where customer_id = $id", key)
    if not found:
        return None
    return {
        "customer": found[0],
        "commitments": build.rows("select * from commitments where customer_id = $id order by commitment_id, version", key),
        "invoices": build.rows("select * from invoices where customer_id = $id order by due_date, invoice_id", key),
        "unmatched_payments": build.rows(
            "select * from unmatched_payments where customer_id = $id order by received_date, payment_id", key
        ),
    }
