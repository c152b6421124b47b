"""What the checks of the matching stage notice, on tables written by hand: matching itself never gives them anything to find."""

from pathlib import Path

import duckdb
import pytest

from ptp_pipeline.warehouse.checks import CHECKS, parse_check

OVER_ALLOCATED = parse_check(Path(CHECKS / "matching_no_installment_is_over_allocated.sql"))

# Installment 1 of C amounts to 100. Of each allocation: commitment, version, sequence, day, amount, valid_from, valid_to; of each debit
# the same.
Rows = list[tuple[str, int, int, str, int, str | None, str | None]]


def found(allocated: Rows, debited: Rows) -> list[tuple[str | None, int | None, int, int]]:
    con = duckdb.connect()
    con.execute("create schema core; create schema matching")
    con.execute("create table core.versions as select 'C' as commitment_id, 1 as version union all select 'B', 1")
    con.execute("create table core.installments as select 'C' as commitment_id, 1 as version, 1 as sequence, 100::bigint as amount_minor")
    columns = "commitment_id varchar, version integer, sequence integer, {} date, amount_minor bigint, valid_from date, valid_to date"
    con.execute(f"create table matching.allocation_history ({columns.format('applied_on')})")
    con.execute(f"create table matching.debits ({columns.format('debited_on')})")
    for table, rows in (("allocation_history", allocated), ("debits", debited)):
        for row in rows:
            con.execute(f"insert into matching.{table} values (?, ?, ?, ?, ?, ?, ?)", row)
    broken = con.execute(OVER_ALLOCATED.sql).fetchall()
    return [(commitment, version, sequence, allocated) for commitment, version, sequence, _, allocated, *_ in broken]


def paid(amount: int, on: str = "2026-01-05", since: str | None = None, until: str | None = None) -> Rows:
    return [("C", 1, 1, on, amount, since, until)]


@pytest.mark.parametrize(
    ("allocated", "debited"),
    [
        (paid(60) + paid(40), []),
        (paid(100, until="2026-01-20") + paid(100, since="2026-01-20"), []),
        (paid(100) + paid(30, on="2026-02-01"), paid(30, on="2026-01-31")),
    ],
    ids=["paid in full", "said anew when a payment bounced", "a chargeback made it larger"],
)
def test_an_installment_may_get_its_amount_at_any_time_and_what_was_charged_back_to_it(allocated: Rows, debited: Rows) -> None:
    assert found(allocated, debited) == []


@pytest.mark.parametrize(
    ("allocated", "debited", "broken"),
    [
        (paid(60) + paid(41), [], ("C", 1, 1, 101)),
        (paid(100, until="2026-01-20") + paid(1, on="2026-01-06"), [], ("C", 1, 1, 101)),
        (paid(100) + paid(30), paid(30, on="2026-01-31"), ("C", 1, 1, 130)),
        (paid(130, on="2026-02-01"), paid(30, on="2026-01-31", until="2026-02-02"), ("C", 1, 1, 130)),
        ([("C", 1, 2, "2026-01-05", 1, None, None)], [], ("C", 1, 2, 1)),
        ([("C", 2, 1, "2026-01-05", 1, None, None)], paid(5), (None, None, 1, 1)),
        ([("X", 1, 1, "2026-01-05", 1, None, None)], [("X", 1, 1, "2026-01-01", 5, None, None)], (None, None, 1, 1)),
    ],
    ids=[
        "today",
        "on a day in the past",
        "before the chargeback",
        "after a chargeback that was taken back",
        "no such installment",
        "no such version",
        "no such commitment",
    ],
)
def test_more_than_an_installment_amounts_to_is_noticed(
    allocated: Rows, debited: Rows, broken: tuple[str | None, int | None, int, int]
) -> None:
    assert broken in found(allocated, debited)
