"""What a few new files touch: the customers they concern, and the rows of those customers in a large book, without reading the rest of it.

What else a changed customer drags along (decisions, matching, verdicts) is not known here.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ptp_pipeline.settings import Settings
from ptp_pipeline.warehouse.models import Warehouse

if TYPE_CHECKING:
    import duckdb

# Customers by what new rows say, and by who spoke before of what new rows bring: a reversal may come before its payment, a payment before
# its commitment or invoice, and an invoice may change hands.
_CONCERNED = """
with fresh_payments as (select * from feed.payments where file_sequence in (from wanted)),
fresh_invoices as (select * from feed.invoices where file_sequence in (from wanted)),
fresh_commitments as (select * from feed.commitments where file_sequence in (from wanted)),
fresh_installments as (select distinct commitment_id from feed.installments where file_sequence in (from wanted))

select customer_id from fresh_payments
union select customer_id from fresh_invoices
union select customer_id from fresh_commitments
union select customer_id from feed.contacts where file_sequence in (from wanted)
union select customer_id from feed.commitments where commitment_id in (from fresh_installments)
union select customer_id from feed.invoices where invoice_id in (select invoice_id from fresh_invoices)
union select customer_id from feed.commitments where commitment_id in (select commitment_id from fresh_commitments)
union select customer_id from feed.commitments where list_has_any(invoice_ids, (select coalesce(list(invoice_id), []) from fresh_invoices))
union select customer_id from feed.payments where reverses_payment_id in (select payment_id from fresh_payments)
union select customer_id from feed.payments where invoice_id in (select invoice_id from fresh_invoices)
union select customer_id from feed.payments where commitment_id in (select commitment_id from fresh_commitments)
order by customer_id
"""


def customers_of(settings: Settings, org: str, files: Iterable[int]) -> list[str]:
    """The customers whom accepted files concern. `files` are their file_sequence numbers; the feed stage must hold them."""
    con = Warehouse(settings, org).connect(["feed"])
    try:
        con.execute("create table wanted as select unnest(?::bigint[]) as file_sequence", [sorted(set(files))])
        return [row[0] for row in con.execute(_CONCERNED).fetchall()]
    finally:
        con.close()


def narrow(con: "duckdb.DuckDBPyConnection", table: str, customers: Iterable[str], target: str) -> None:
    """Make `target` the rows that these customers have in a table with a customer_id, such as `raw.payments`: one pass over that column,
    and the others only where it says so."""
    con.execute("create or replace temp table narrow_to as select unnest(?::varchar[]) as customer_id", [sorted(set(customers))])
    con.execute(f"create table {target} as select t.* from {table} as t where t.customer_id in (select n.customer_id from narrow_to as n)")
