"""Made-up books of any size: N payments and N installments, the same for the same seed, made by DuckDB a column at a time.

A book is a folder: CSV files for everybody, and the tables of the stages before matching. Plans are weekly, of 52
installments, agreed some 14 months before the as_of, so that all of a plan is due. No rule of allocation belongs here.
"""

import hashlib
import json
import shutil
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptp_pipeline.settings import Settings

if TYPE_CHECKING:
    import duckdb

AS_OF = date(2026, 6, 30)
ORG = "bench"
SHUFFLED = "shuffled"
VARIANTS = {
    "even": "every payment names its plan: 80 % pay one installment exactly, 10 % a part of one, 10 % two; surplus goes to the next one",
    "mixed": "as even, and: 10 % of plans on last, spread or hold; 5 % of payments reversed; 10 % of customers with 2 or 3 plans; 85 % of"
    " payments name their plan, 5 % an invoice or reference, 10 % nothing",
    "skewed": "as even, but one plan holds a tenth of both payments and installments",
}
INCREMENT_ROWS = 1000  # on 5 million payments; on smaller books as large a share, so that it concerns a few of the customers only
MOST_INSTALLMENTS = 100_000  # of one plan: the ledger takes no more
_PER_PLAN = 52

# A hash of our own: DuckDB's may change from version to version, and with it every book. Two rounds mix neighbours well enough.
_MACROS = """
create macro stir(x) as (xor(x, x >> 16) * 73244475) % 4294967296;
create macro mix(i, salt) as stir(stir((i * 2654435761 + salt * 97 + {seed} * 1013904223) % 4294967296));
create macro roll(i, salt) as mix(i, salt) % 10000;
create macro major(minor) as (minor // 100) || '.' || lpad((minor % 100)::varchar, 2, '0');
"""

# Of 20 customers, 18 have one plan, one has two and one has three: 23 plans.
_CUSTOMER = {
    "even": "c",
    "skewed": "c",
    "mixed": "(c // 23) * 20 + case when c % 23 < 18 then c % 23 when c % 23 < 20 then 18 else 19 end",
}
_RULE = {
    "even": "'next'",
    "skewed": "'next'",
    "mixed": "case when roll(c, 2) >= 1000 then 'next' else ['last', 'spread', 'hold'][1 + roll(c, 2) % 3] end",
}

_PLANS = """
create table plans as
with sized as (
    select
        c,
        case
            when c = 0 and {big} > 0 then {big}
            else least({per_plan}, {rows} - {big} - (c - ({big} > 0)::int) * {per_plan})
        end as installment_count,
        case when c = 0 and {big} > 0 then 0 else {big} + (c - ({big} > 0)::int) * {per_plan} end as first_line,
        c = 0 and {big} > 0 as is_big,
    from range({plan_count}) as r (c)
)

select
    c,
    'PLAN-' || lpad(c::varchar, 8, '0') as commitment_id,
    'CUST-' || lpad(({customer})::varchar, 8, '0') as customer_id,
    'INV-' || lpad(c::varchar, 8, '0') as invoice_id,
    is_big,
    first_line,
    installment_count::integer as installment_count,
    date '{as_of}' - 425 + (mix(c, 1) % 53)::integer as agreed_on,
    agreed_on + 7 as first_due_date,
    2000 + mix(c, 3) % 48000 as share_minor,
    share_minor * installment_count + mix(c, 4) % installment_count as total_minor,
    {rule} as overpayment_rule,
from sized
"""

_INSTALLMENTS = """
create table installments as
select
    p.c,
    p.first_line + k as line,
    p.commitment_id,
    (k + 1)::integer as sequence,
    p.first_due_date + (case when p.is_big then k * 357 // p.installment_count else 7 * k end)::integer as due_date,
    case when k = p.installment_count - 1 then p.total_minor - p.share_minor * k else p.share_minor end as amount_minor,
from plans as p, unnest(range(p.installment_count)) as u (k)
"""

# One payment for every installment, from 3 days before it is due to 10 days after.
_PAYMENTS = """
create table payments as
with paid as (
    select
        i.line,
        p.customer_id,
        p.commitment_id,
        p.invoice_id,
        least(i.due_date - 3 + (mix(i.line, 11) % 14)::integer, date '{as_of}') as received_date,
        case
            when roll(i.line, 12) < 8000 then p.share_minor
            when roll(i.line, 12) < 9000 then p.share_minor * (20 + mix(i.line, 13) % 61) // 100
            else 2 * p.share_minor
        end as amount_minor,
        case when {is_mixed} then roll(i.line, 14) else 0 end as direction,
    from installments as i
    inner join plans as p on i.c = p.c
)

select
    line,
    'P' || lpad(line::varchar, 9, '0') as payment_id,
    customer_id,
    received_date,
    amount_minor,
    'payment' as kind,
    null::varchar as reverses_payment_id,
    case when direction between 8500 and 8749 then invoice_id end as invoice_id,
    case when direction < 8500 then commitment_id end as commitment_id,
    case
        when direction between 8750 and 8874 then 'payment for ' || invoice_id || ', thank you'
        when direction between 8875 and 8999 then lower(commitment_id)
        when direction >= 9500 then 'ACH CREDIT ' || mix(line, 15)
    end as reference,
from paid
"""

_REVERSALS = """
insert into payments by name
select
    {rows} + line as line,
    'R' || lpad(line::varchar, 9, '0') as payment_id,
    customer_id,
    least(received_date + 1 + (mix(line, 21) % 10)::integer, date '{as_of}') as received_date,
    case when roll(line, 22) < 8000 then amount_minor else (amount_minor + 1) // 2 end as amount_minor,
    'reversal' as kind,
    payment_id as reverses_payment_id,
    null as invoice_id,
    null as commitment_id,
    'returned: insufficient funds' as reference,
from payments
where roll(line, 20) < 500
"""

_CSV = {
    "payments": """
        select payment_id, customer_id, received_date, major(amount_minor) as amount, 'USD' as currency, kind, reverses_payment_id,
            invoice_id, commitment_id, reference
        from payments order by received_date, mix(line, 30)""",
    "installments": "select commitment_id, sequence, due_date, major(amount_minor) as amount from installments order by line",
    "commitments": """
        select commitment_id, customer_id, invoice_id, agreed_on, total_minor,
            case when is_big then 'custom' else 'weekly' end as frequency, installment_count, first_due_date, overpayment_rule,
            custom_schedule
        from plans left join listed using (c) order by c""",
    "invoices": """
        select invoice_id, customer_id, 'Customer ' || customer_id[6:] as customer_name, agreed_on - 40 as invoice_date,
            agreed_on - 10 as due_date, major(total_minor) as amount, 'USD' as currency, 'collector' || c % 20 as owner
        from plans order by c""",
    "increment": """
        select 'X' || lpad(n::varchar, 9, '0') as payment_id, p.customer_id, date '{as_of}' - (n % 60)::integer as received_date,
            major(p.share_minor) as amount, 'USD' as currency, 'payment' as kind, null as reverses_payment_id, null as invoice_id,
            p.commitment_id, null as reference
        from range({increment}) as r (n) inner join plans as p on p.c = mix(n, 40) % {plan_count} order by n""",
}

# As the ledger keeps the listed installments of a custom schedule.
_LISTED = """
create table listed as
select c, '[' || string_agg(
    '{"sequence": ' || sequence || ', "due_date": "' || due_date || '", "amount_minor": ' || amount_minor || ', "grace_days": null}',
    ', ' order by sequence) || ']' as custom_schedule
from installments inner join plans using (c)
where is_big
group by c
"""


@dataclass(frozen=True)
class Book:
    """A book on disk. `rows` is the number of payments, and of installments; reversals come on top."""

    folder: Path
    rows: int
    variant: str

    @property
    def payments(self) -> Path:
        return self.folder / "payments.csv"

    @property
    def installments(self) -> Path:
        return self.folder / "installments.csv"

    @property
    def commitments(self) -> Path:
        return self.folder / "commitments.csv"

    @property
    def invoices(self) -> Path:
        return self.folder / "invoices.csv"

    @property
    def increment(self) -> Path:
        return self.folder / "increment.csv"

    @property
    def home(self) -> Path:
        """PTP_HOME of the stage inputs; the whole run has one of its own."""
        return self.folder / "stages"

    @property
    def facts(self) -> dict[str, Any]:
        """Row counts, as written when the book was finished."""
        found: dict[str, Any] = json.loads((self.folder / "book.json").read_text())
        return found


def open_book(folder: Path) -> Book:
    """A book written earlier."""
    facts = json.loads((folder / "book.json").read_text())
    return Book(folder, facts["rows"], facts["variant"])


def write_book(folder: Path, rows: int, variant: str, seed: int = 1) -> Book:
    """Write a book's CSV files and stage inputs into `folder`, unless they are there and were made by the same code."""
    book = Book(folder, rows, variant)
    made_by = _code_digest()
    if not (folder / "book.json").exists() or book.facts.get("made_by") != made_by:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        with _generate(book, seed) as con:
            counts = {name: _count(con, name) for name in ("payments", "installments", "plans")}
            _write_stage_inputs(book, con)
        _run_stages_before_matching(book)
        (folder / "book.json").write_text(json.dumps({"rows": rows, "variant": variant, "seed": seed, "made_by": made_by, **counts}))
    return book


def _code_digest() -> str:
    """A digest of whatever decides what a book looks like."""
    from ptp_pipeline.ledger import snapshot
    from ptp_pipeline.warehouse.models import MODELS

    sources = [Path(__file__), Path(snapshot.__file__), *sorted((MODELS / "raw").glob("*.sql")), *sorted((MODELS / "core").glob("*.sql"))]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()


def _generate(book: Book, seed: int) -> "duckdb.DuckDBPyConnection":
    import duckdb

    con = duckdb.connect(":memory:", config={"temp_directory": str(book.folder / "spill")})
    big = book.rows // 10 if book.variant == "skewed" else 0
    plan_count = -(-(book.rows - big) // _PER_PLAN) + (big > 0)
    values = {
        "rows": book.rows,
        "seed": seed,
        "as_of": AS_OF,
        "big": big,
        "per_plan": _PER_PLAN,
        "plan_count": plan_count,
        "increment": min(INCREMENT_ROWS, max(3, book.rows // 5000)),
        "customer": _CUSTOMER[book.variant],
        "rule": _RULE[book.variant],
        "is_mixed": str(book.variant == "mixed").lower(),
    }
    for statement in (_MACROS, _PLANS, _INSTALLMENTS, _PAYMENTS):
        con.execute(statement.format(**values))
    con.execute(_LISTED)
    if book.variant == "mixed":
        con.execute(_REVERSALS.format(**values))
    for name, sql in _CSV.items():
        con.execute(f"copy ({sql.format(**values)}) to '{book.folder / name}.csv' (header)")
    return con


def _count(con: "duckdb.DuckDBPyConnection", table: str) -> int:
    (count,) = con.execute(f"select count(*) from {table}").fetchall()[0]
    return int(count)


def settings(book: Book, threads: int = 2, memory_limit: str = "3GB") -> Settings:
    """Settings under which stages of the book are run."""
    return Settings(home=book.home, duckdb_threads=threads, duckdb_memory_limit=memory_limit)


def _write_stage_inputs(book: Book, con: "duckdb.DuckDBPyConnection") -> None:
    """The feed and ledger stages as the door and the ledger would have made them."""
    from ptp_pipeline.feeds.build import FEED_TABLES
    from ptp_pipeline.ledger.snapshot import LEDGER_TABLES
    from ptp_pipeline.warehouse.models import Warehouse

    warehouse = Warehouse(settings(book), ORG)
    _feed_tables(con)
    warehouse.replace_stage("feed", con, FEED_TABLES)
    con.execute("drop schema feed cascade")  # a big book would be in memory twice
    _ledger_tables(con)
    warehouse.replace_stage("ledger", con, LEDGER_TABLES)


def _run_stages_before_matching(book: Book) -> None:
    """Raw and core by their own models. A second org, `shuffled`, gets the same rows in another order."""
    from ptp_pipeline.warehouse.models import Warehouse

    warehouse = Warehouse(settings(book), ORG)
    warehouse.run_stage("raw")
    warehouse.run_stage("core")
    _shuffle(warehouse.root, Warehouse(settings(book), SHUFFLED).root)


def _feed_tables(con: "duckdb.DuckDBPyConnection") -> None:
    from ptp_pipeline.feeds import build
    from ptp_pipeline.feeds.schemas import FEEDS

    con.execute("create schema feed")
    build._files(con, [])  # noqa: SLF001 - the columns are written down nowhere else
    tables = {
        "quarantine": build.QUARANTINE_COLUMNS,
        "commitment_lines": build.LINE_COLUMNS,
        "commitment_quarantine": build.QUARANTINE_COLUMNS,
        **{feed.name: build.table_columns(feed) for feed in FEEDS.values()},
    }
    for table, columns in tables.items():
        typed = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
        con.execute(f"create table feed.{table} ({typed})")
    _fill(
        con,
        "feed.files",
        """
        select repeat(feed[1], 64) as file_sha256, file_sequence, feed, feed || '.csv' as file_name, rows_in, 0 as rows_quarantined,
            timestamp '2026-07-01 06:00:00' as received_at, false as has_repeated_ids
        from (
            select 'invoices' as feed, 1 as file_sequence, count(*) as rows_in from plans
            union all
            select 'payments', 2, count(*) from payments
        )
        """,
    )
    _fill(
        con,
        "feed.payments",
        """
        select * exclude (line), false as is_generated_id, 'USD' as currency, sha256(payment_id) as content_hash,
            repeat('p', 64) as file_sha256, 2 as file_sequence, (1 + row_number() over ())::integer as line_number
        from (select * from payments order by received_date, mix(line, 30))
        """,
    )
    _fill(
        con,
        "feed.invoices",
        """
        select invoice_id, customer_id, customer_id as customer_name, agreed_on - 40 as invoice_date, agreed_on - 10 as due_date,
            total_minor as amount_minor, 'USD' as currency, 'collector' || c % 20 as owner, false as disputed, 0 as deduction_count,
            sha256(invoice_id) as content_hash, repeat('i', 64) as file_sha256, 1 as file_sequence, (c + 2)::integer as line_number
        from plans
        """,
    )


def _fill(con: "duckdb.DuckDBPyConnection", table: str, rows: str) -> None:
    """Insert rows by name; columns the table does not have are left out, columns the rows do not have stay NULL."""
    has, gives = ({row[0] for row in con.execute(f"describe {source}").fetchall()} for source in (table, rows))
    con.execute(f"insert into {table} by name select {', '.join(sorted(has & gives))} from ({rows})")


def _ledger_tables(con: "duckdb.DuckDBPyConnection") -> None:
    """Tables with all the columns of the real snapshot; those this book says nothing about stay NULL."""
    import polars as pl

    from ptp_pipeline.domain import calendar
    from ptp_pipeline.domain.money import EXPONENTS
    from ptp_pipeline.domain.policy import KINDS, Policy
    from ptp_pipeline.ledger import snapshot

    policy = Policy()
    params = {name: getattr(policy, name) for name in snapshot_params() if hasattr(policy, name)}
    first, last = date(AS_OF.year - 3, 1, 1), date(AS_OF.year + 2, 12, 31)
    empty = {name: pl.DataFrame(schema=snapshot._schema(name)) for name in ("commitments", "versions", "overrides", "accepted_lines")}  # noqa: SLF001
    frames = {
        **empty,
        "params": pl.DataFrame(
            [{"org_id": ORG, "as_of": AS_OF, **params, "ledger_position": 1, "policy_version": 1}],
            schema_overrides={name: pl.Int32 for name, value in params.items() if isinstance(value, int)},
        ),
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
    con.execute("create schema ledger")
    for name, frame in frames.items():
        con.register("frame", frame.to_arrow())
        con.execute(f"create table ledger.{name} as from frame")
        con.unregister("frame")
    decided_at = datetime(2025, 5, 1, 9, tzinfo=UTC).replace(tzinfo=None)
    con.execute(
        "insert into ledger.commitments by name select commitment_id, 'plan' as kind, customer_id, 'USD' as currency,"
        " 'collector' || c % 20 as owner, '' as channel, '' as contact_name, '' as contact_email, 'bench' as logged_by, ? as logged_at,"
        " 'desk' as source from plans",
        [decided_at],
    )
    con.execute(
        """
        insert into ledger.versions by name
        with listed_lines as (
            select c, list({'sequence': sequence, 'due_date': due_date, 'amount_minor': amount_minor, 'grace_days': null::integer}
                order by sequence) as custom_schedule
            from installments where c in (select c from plans where is_big) group by c
        )
        select commitment_id, 1 as version, agreed_on, total_minor as amount_minor, total_minor, 0 as discount_minor,
            0 as down_payment_minor, case when is_big then 'custom' else 'weekly' end as frequency, installment_count, first_due_date,
            overpayment_rule, [invoice_id] as invoice_ids, custom_schedule, sha256(commitment_id) as terms_digest, 'bench' as logged_by,
            $at as logged_at, 'approve' as decision, 'sam' as decided_by, 'supervisor' as decided_role, $at as decided_at,
            'made up' as decision_reason, false as is_paused
        from plans left join listed_lines using (c)
        """,
        {"at": decided_at},
    )


def snapshot_params() -> tuple[str, ...]:
    """Columns of ledger.params that are values of the policy."""
    return ("currency", "timezone", "business_day_rule", "grace_days", "exact_amount_window_days", "due_soon_days", "default_after_broken")


def _shuffle(source: Path, target: Path) -> None:
    """A copy of the stages whose rows stand in another order."""
    import duckdb

    for parquet in sorted(source.glob("*/*.parquet")):
        copied = target / parquet.relative_to(source)
        copied.parent.mkdir(parents=True, exist_ok=True)
        with duckdb.connect(":memory:") as con:
            con.execute(f"copy (select * from read_parquet('{parquet}') as t order by hash(t)) to '{copied}' (format parquet)")
    for stamp in sorted(source.glob("*/stamp.json")):
        shutil.copy(stamp, target / stamp.relative_to(source))


if __name__ == "__main__":
    write_book(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
