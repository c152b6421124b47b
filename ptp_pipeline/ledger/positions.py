"""What the current build says is open, kept in the ledger for its own rules. A cache: a build can always fill it again.

Reading it out of a build is the warehouse's business; what is refused because of it is said in sql/ledger.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from ptp_pipeline.ledger.connection import Transaction

_CHUNK = 1 << 20
_KEYS = MappingProxyType({"invoice_position": ("invoice_id",), "commitment_position": ("commitment_id", "version")})
_VALUES = MappingProxyType(
    {
        "invoice_position": ("customer_id", "currency", "amount_minor", "open_minor"),
        "commitment_position": ("paid_minor", "outstanding_minor", "status"),
    }
)


@dataclass(frozen=True)
class Source:
    """The build that the positions are of."""

    build_id: str
    digest: str
    as_of: dt.date


def source(tx: Transaction) -> Source | None:
    """The build the positions are of; None when there are none."""
    row = tx.one("select build_id, digest, as_of from ptp.position_source where org_id = ptp.current_org()")
    return Source(**row) if row else None


def record(tx: Transaction, files: Mapping[str, Path], of: Source, *, is_whole: bool) -> int:
    """Make the positions those of a build; returns how many rows were written or removed.

    `files` are CSVs by table, without a header: key, values, and whether the row is gone. `is_whole` when what they leave out is gone too.
    """
    written = sum(_merge(tx, table, path, is_whole=is_whole) for table, path in files.items())
    tx.execute(
        "insert into ptp.position_source (org_id, build_id, digest, as_of) values (ptp.current_org(), %s, %s, %s)"
        " on conflict (org_id) do update set build_id = excluded.build_id, digest = excluded.digest, as_of = excluded.as_of,"
        " recorded_at = clock_timestamp()",
        [of.build_id, of.digest, of.as_of],
    )
    return written


def add_invoices(tx: Transaction, rows: Sequence[tuple[str, str, str, int, int]]) -> None:
    """Invoices as (invoice_id, customer_id, currency, amount_minor, open_minor) that files brought since the build; what it knows stays."""
    tx.execute(
        "insert into ptp.invoice_position (org_id, invoice_id, customer_id, currency, amount_minor, open_minor)"
        " select ptp.current_org(), r.* from unnest(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::bigint[]) as r"
        " on conflict do nothing",
        [list(column) for column in zip(*rows, strict=True)] or [[]] * 5,
    )


def _merge(tx: Transaction, table: str, path: Path, *, is_whole: bool) -> int:
    key, values = _KEYS[table], _VALUES[table]
    names = ", ".join(key + values)
    tx.execute(f"create temp table offered on commit drop as select {names}, false as is_gone from ptp.{table} limit 0")
    copy = f"copy offered ({names}, is_gone) from stdin (format csv)"
    with path.open("rb") as rows, tx.connection.cursor() as cursor, cursor.copy(copy.encode()) as target:
        while chunk := rows.read(_CHUNK):
            target.write(chunk)
    tx.execute("analyze offered")
    same = " and ".join(f"o.{name} = p.{name}" for name in key)
    gone = f"not exists (select from offered o where {same})" if is_whole else f"exists (select from offered o where {same} and o.is_gone)"
    removed = tx.execute(f"delete from ptp.{table} p where p.org_id = ptp.current_org() and {gone}").rowcount
    written = tx.execute(
        f"insert into ptp.{table} as p (org_id, {names}) select ptp.current_org(), {names} from offered where not is_gone"
        f" on conflict (org_id, {', '.join(key)}) do update set {', '.join(f'{name} = excluded.{name}' for name in values)}"
        f" where ({', '.join(f'p.{name}' for name in values)}) is distinct from ({', '.join(f'excluded.{name}' for name in values)})"
    ).rowcount
    tx.execute("drop table offered")
    return removed + written
