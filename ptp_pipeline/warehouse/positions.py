"""What a build says is open, as the ledger keeps it: which of its positions another build did not have, in minor units.

An invoice is open for what was said when it was last received; for its whole amount where that was not said, and for nothing once settled.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ptp_pipeline.domain.money import EXPONENTS, PUBLISHED_SCALE
from ptp_pipeline.settings import Settings
from ptp_pipeline.warehouse.increment import Scope
from ptp_pipeline.warehouse.models import sql_text
from ptp_pipeline.warehouse.publish import Build, beside

# Currencies finer than published money are left out: what is published does not say what they were.
_DIVISORS = ", ".join(
    f"('{currency}', {10 ** (PUBLISHED_SCALE - exponent)})" for currency, exponent in EXPONENTS.items() if exponent <= PUBLISHED_SCALE
)
_MINOR = f"(({{}}) * {10**PUBLISHED_SCALE})::bigint // divisor"
_OPEN = _MINOR.format("case when settled_date is null then coalesce(open_amount, amount) else 0 end")
_AMOUNT, _PAID, _OUTSTANDING = (_MINOR.format(name) for name in ("amount", "paid_amount", "outstanding_amount"))
# Key, columns and relation of each table, in the order the ledger takes them.
_POSITIONS = {
    "invoice_position": ("invoice_id", f"invoice_id, customer_id, currency, {_AMOUNT}, {_OPEN}", "invoices"),
    "commitment_position": ("commitment_id, version", f"commitment_id, version, {_PAID}, {_OUTSTANDING}, status", "commitments"),
}


@dataclass(frozen=True)
class Changes:
    """CSV files by table of the ledger, without a header; the last column tells whether the row is gone."""

    files: dict[str, Path]
    is_whole: bool


@contextmanager
def changed_positions(
    settings: Settings, build: Build, known: str = "", known_digest: str = "", scope: Scope | None = None
) -> Iterator[Changes]:
    """The positions of a build that differ from those of the build `known`; all of them when that one is not there any more."""
    with beside(settings, build, known, known_digest, scope) as (con, folder, is_known, concerned):
        con.execute(f"create temp table divisors as from (values {_DIVISORS}) as t (currency, divisor)")
        changes = Changes({table: folder / f"{table}.csv" for table in _POSITIONS}, is_whole=not is_known)
        for table, (key, columns, relation) in _POSITIONS.items():
            rows = f"select {columns} from {{}}.{relation} join divisors using (currency) where {concerned}"
            con.execute(f"create or replace temp table now as {rows.format('built')}")
            con.execute(f"create or replace temp table before as {rows.format('known') if is_known else 'from now limit 0'}")
            changed = "from (from now except from before) select *, false"
            gone = f"from before anti join now using ({key}) select *, true"
            con.execute(f"copy ({changed} union all {gone}) to {sql_text(changes.files[table])} (format csv, header false, force_quote *)")
        con.close()
        yield changes
