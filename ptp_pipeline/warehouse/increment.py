"""Increments: a run whose only news is a few payments files makes the rows of the customers they concern; the others stay as published.

Nothing in matching, verdicts or scorecards crosses from one customer to another, but for what rows name of each other. So the ordinary
stages run over those customers' part of the book, in a warehouse of its own, and `publish.delta_draft` puts the rows in place of theirs in
a copy of the current build. Whoever is not sure makes everything anew: `why_full` has a word for each case.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptp_pipeline.domain.money import EXPONENTS, PUBLISHED_SCALE
from ptp_pipeline.settings import CHECKOUT, SQL, Settings
from ptp_pipeline.warehouse.models import Warehouse, sql_text

if TYPE_CHECKING:
    import duckdb

SCOPE = "scope.json"
PLACE = "increment"
CUSTOMERS = "customers.parquet"
# The stages a part is cut from. What comes after them is made from the part.
CUT = ("feed", "raw", "ledger")
_NEWS = ("file.accepted", "payments")
# Currencies finer than published money: what is published does not say what they were.
_TOO_FINE = sorted(currency for currency, exponent in EXPONENTS.items() if exponent > PUBLISHED_SCALE)


@dataclass(frozen=True)
class File:
    """An accepted file, as the feed stage and a published build know it."""

    file_sequence: int
    feed: str
    file_sha256: str
    rows_in: int


@dataclass(frozen=True)
class State:
    """What a build was made of, or would be made of now."""

    as_of: date
    ledger_position: int
    policy_version: int
    made_by: str
    files: frozenset[File]


@dataclass(frozen=True)
class Base:
    """The org's current build, and what it says it was made of; `state` is None when it does not say, or is gone."""

    build_id: str
    digest: str
    state: State | None


@dataclass(frozen=True)
class Scope:
    """What a run makes: everything, or the rows of some customers. Written beside the stages it was decided for."""

    is_increment: bool
    words: str
    base: str = ""
    base_digest: str = ""
    customers: int = 0
    made_from: Mapping[str, str] = field(default_factory=dict)


def why_full(base: Base | None, now: State, changes: Sequence[tuple[str, str]]) -> str:
    """Why a run cannot start from the current build, in words; empty when it can.

    `changes` are the acts since that build that change what a run reads, as (action, feed or ""). Only payments files may be among them.
    """
    if base is None:
        return "there is no recorded build that is current"
    return next(_reasons(base.state, now, changes), "")


def _reasons(before: State | None, now: State, changes: Sequence[tuple[str, str]]) -> Iterator[str]:
    if before is None or before.made_by != now.made_by:
        yield "the current build was made by another version"
        return
    if before.as_of != now.as_of:
        yield f"the current build answers for {before.as_of}"
    if before.policy_version != now.policy_version:
        yield "the policy is another one"
    if now.ledger_position < before.ledger_position:
        yield "the ledger is behind the current build"
    if others := sorted({f"{action} {feed}".strip() for action, feed in changes if (action, feed) != _NEWS}):
        yield f"more than payments came since: {', '.join(others)}"
    gone, new = before.files - now.files, now.files - before.files
    if gone:
        yield "a file of the current build is not there as it was"
    if any(file.feed != "payments" for file in new) or len(new) != len(changes):
        yield "the new files are not those the ledger recorded"
    if not new:
        yield "no new payments to limit the work to"
    elif min(file.file_sequence for file in new) <= max((file.file_sequence for file in before.files), default=0):
        yield "a file came before one of the current build"


@lru_cache  # like the models: what a process has read stays
def made_by(version: str, digest_method: str) -> str:
    """What must be the same for two runs to make the same rows of the same facts: the program to the letter, its packages (one of them
    knows the holidays), and how digests are taken."""
    code = hashlib.sha256()
    package = CHECKOUT / "ptp_pipeline"
    for path in [*sorted(SQL.rglob("*.sql")), *sorted(package.rglob("*.py")), package / "requirements.lock"]:
        code.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return f"{version}, code {code.hexdigest()[:16]}, {digest_method}"


def files_now(warehouse: Warehouse) -> frozenset[File]:
    """The accepted files of the feed stage."""
    con = warehouse.connect(["feed"])
    try:
        rows = con.execute("select file_sequence, feed, file_sha256, rows_in from feed.files").fetchall()
    finally:
        con.close()
    return frozenset(File(*row) for row in rows)


CustomersOf = Callable[[Iterable[int]], Sequence[str]]


def decide(
    settings: Settings, org: str, base: Base | None, now: State, changes: Sequence[tuple[str, str]], customers_of: CustomersOf
) -> Scope:
    """Decide what the run makes, cut the part out if it is one, and write it down. The stages `CUT` must be there.

    `customers_of` tells whom files concern, by their file_sequence.
    """
    root = Warehouse(settings, org)
    shutil.rmtree(root.root / PLACE, ignore_errors=True)
    why = "increments are switched off" if settings.increment_percent == 0 else why_full(base, now, changes)
    scope = Scope(False, f"All customers are worked out anew: {why}.")
    if not why and base and base.state:
        scope = _cut_out(settings, org, base, customers_of([file.file_sequence for file in now.files - base.state.files]))
    scope = Scope(**{**asdict(scope), "made_from": _stamps(root)})
    fresh = root.root / f".{SCOPE}"
    fresh.write_text(json.dumps(asdict(scope), indent=2) + "\n", encoding="utf-8")
    fresh.replace(root.root / SCOPE)
    return scope


def forced(settings: Settings, org: str) -> Scope:
    """Write down that everything is made, because somebody asked for it."""
    (Warehouse(settings, org).root / SCOPE).unlink(missing_ok=True)
    shutil.rmtree(Warehouse(settings, org).root / PLACE, ignore_errors=True)
    return Scope(False, "All customers are worked out anew: it was asked for.")


def current(settings: Settings, org: str) -> Scope | None:
    """The increment that the stages on disk are cut for; None when everything is made.

    Stages can be run one by one: a scope that was decided for other tables than those of now does not hold.
    """
    root = Warehouse(settings, org)
    try:
        found: dict[str, Any] = json.loads((root.root / SCOPE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    scope = Scope(**found)
    return scope if scope.is_increment and dict(scope.made_from) == _stamps(root) else None


def warehouse(settings: Settings, org: str) -> Warehouse:
    """Where the stages after the cut are made in the current scope."""
    return part(settings, org) if current(settings, org) else Warehouse(settings, org)


def part(settings: Settings, org: str) -> Warehouse:
    """The warehouse of an increment."""
    return Warehouse(settings, org, PLACE)


def customers_file(settings: Settings, org: str) -> Path:
    """The customers of the increment: a Parquet file with their `customer_id`."""
    return part(settings, org).root / CUSTOMERS


def _stamps(root: Warehouse) -> dict[str, str]:
    return {stage: root.stamp(stage) for stage in CUT}


# Whoever these customers' rows name: their answers say something of the other's payment or commitment.
_NAMED = """
with fresh as materialized (
    select payment_id, reverses_payment_id, commitment_id from theirs where customer_id in (select customer_id from latest)
),

named_payments as (
    select reverses_payment_id as payment_id from fresh where reverses_payment_id is not null
),

named_commitments as (
    select commitment_id from fresh where commitment_id is not null
    union
    select o.commitment_id from ledger.overrides as o semi join fresh as t on o.payment_id = t.payment_id where o.commitment_id is not null
)

select p.customer_id from raw.payments as p where p.payment_id in (select payment_id from named_payments)
union
select c.customer_id from ledger.commitments as c where c.commitment_id in (select commitment_id from named_commitments)
except
select customer_id from scope
"""
_THEIRS = "customer_id in (select customer_id from scope)"
_COMMITTED = f"commitment_id in (select commitment_id from ledger.commitments where {_THEIRS})"
# A decision on a payment that nobody has is in every increment: it is nobody's.
_DECIDED = """
payment_id in (select payment_id from theirs)
or payment_id not in (select p.payment_id from raw.payments as p where p.payment_id in (select o.payment_id from ledger.overrides as o))
"""
_PARTS = {
    "feed.payments": "select * from theirs",
    # The rows above are those that count already.
    "raw.payment_rows": "select * from raw.payment_rows limit 0",
    "raw.invoices": f"select * from raw.invoices where {_THEIRS}",
    "raw.contacts": f"select * from raw.contacts where {_THEIRS}",
    "ledger.commitments": f"select * from ledger.commitments where {_THEIRS}",
    "ledger.versions": f"select * from ledger.versions where {_COMMITTED}",
    "ledger.overrides": f"select * from ledger.overrides where {_DECIDED}",
}
_WHOLE = {
    "raw": ("files", "quarantine"),
    "ledger": ("params", "kind_policy", "currencies", "holidays", "weekend", "accepted_lines"),
}


def _cut_out(settings: Settings, org: str, base: Base, concerned: Sequence[str]) -> Scope:
    root, target = Warehouse(settings, org), part(settings, org)
    database = settings.published(org) / base.build_id / "ptp.duckdb"
    con = root.connect(CUT)
    try:
        con.execute(f"attach {sql_text(database)} as base (read_only)")
        (everybody,) = con.execute("select count(*) from base.customers").fetchall()[0]
        con.execute("detach base")
        most = everybody * settings.increment_percent // 100
        fine = f"select currency from raw.payments where list_contains({_TOO_FINE!r}, currency) limit 1"
        if con.execute(fine).fetchall():
            return Scope(False, f"All customers are worked out anew: there is money in {' or '.join(_TOO_FINE)}.")
        if len(concerned) > most or not _close(con, concerned, most):
            return Scope(
                False, f"All customers are worked out anew: the payments concern more than {settings.increment_percent} % of all customers."
            )
        (count,) = con.execute("select count(*) from scope").fetchall()[0]
        for stage in CUT:
            fresh = target.fresh_dir(stage)
            for table in _WHOLE.get(stage, ()):
                same_file(root.stage_dir(stage) / f"{table}.parquet", fresh / f"{table}.parquet")
            for name, rows in _PARTS.items():
                if name.startswith(f"{stage}."):
                    path = sql_text(fresh / f"{name.split('.')[1]}.parquet")
                    con.execute(f"copy ({rows}) to {path} (format parquet, compression zstd)")
            target.swap_in(stage, fresh)
        con.execute(f"copy (from scope order by all) to {sql_text(target.root / CUSTOMERS)} (format parquet)")
    finally:
        con.close()
    return Scope(True, f"Increment: {count:,} customers of {everybody:,}.", base.build_id, base.digest, count)


def _close(con: "duckdb.DuckDBPyConnection", customers: Sequence[str], most: int) -> bool:
    """Make `scope` the customers and whoever they lead to, and `theirs` their payments. False when they are more than `most`."""
    con.execute("create temp table scope (customer_id varchar)")
    con.execute("create temp table latest as select unnest(?::varchar[]) as customer_id", [list(customers)])
    con.execute("create temp table theirs as select * from raw.payments limit 0")
    while True:
        con.execute("insert into scope from latest")
        con.execute("insert into theirs select * from raw.payments where customer_id in (select customer_id from latest)")
        more = con.execute(_NAMED).fetchall()
        (count,) = con.execute("select count(*) from scope").fetchall()[0]
        if not more:
            return True
        if count + len(more) > most:
            return False
        con.execute("create or replace temp table latest as select unnest(?::varchar[]) as customer_id", [[row[0] for row in more]])


def same_file(source: Path | str, target: Path | str) -> None:
    """The same content under another name: a second link where the file system has them. Neither is ever written to again."""
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)
