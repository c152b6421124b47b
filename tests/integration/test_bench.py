"""The benchmark at a tiny size: that everybody who competes allocates the same, to the cent, and that it would be said if not."""

from pathlib import Path

import pytest

from bench import books
from bench.__main__ import Bench, main, parse_rows
from bench.report import disagreements

ROWS = 4000


@pytest.fixture(scope="module")
def bench(home: Path) -> Bench:
    """A book of each kind, all steps but the whole run; `same` fails by itself when it finds other tables."""
    made = Bench(home / "bench", threads=2, memory_limit="2GB", repeat=1, repeat_short=1)
    for variant in books.VARIANTS:
        made.measure(ROWS, variant, ["fast", "matching", "loop", "pandas", *(["same"] if variant == "mixed" else [])])
    return made


def allocated(bench: Bench, variant: str, step: str) -> list[object]:
    (found,) = (r.detail["allocated"] for r in bench.results if (r.variant, r.step) == (variant, step))
    return found


def test_all_contestants_allocate_the_same_to_payment_installment_and_cent(bench: Bench) -> None:
    assert {"floor", "fast", "matching", "loop", "pandas"} <= {r.step for r in bench.results}
    assert disagreements(bench.results) == []
    ours = allocated(bench, "even", "matching")
    assert ours[0] > ROWS
    assert ours == allocated(bench, "even", "loop") == allocated(bench, "even", "pandas")
    assert ours[:2] == allocated(bench, "even", "fast")


def test_a_contestant_that_allocates_otherwise_is_named(bench: Bench) -> None:
    (result,) = (r for r in bench.results if (r.variant, r.step) == ("even", "loop"))
    rows, money, digest = result.detail["allocated"]
    result.detail["allocated"] = [rows, money - 1, digest]
    said = disagreements(bench.results)
    result.detail["allocated"] = [rows, money, digest]
    assert len(said) == 1
    assert "money allocated differ" in said[0]


def test_a_book_of_a_kind_is_what_it_says(bench: Bench) -> None:
    import duckdb

    def query(variant: str, sql: str) -> tuple[float, ...]:
        folder = bench.folder / f"{variant}-{ROWS}"
        with duckdb.connect(":memory:") as con:
            for name in ("payments", "installments", "commitments"):
                con.execute(f"create view {name} as from read_csv('{folder / name}.csv', nullstr = '')")
            return con.execute(sql).fetchall()[0]

    for variant in books.VARIANTS:
        assert query(variant, "select count(*) filter (kind = 'payment') from payments") == (ROWS,)
        assert query(variant, "select count(*) from installments") == (ROWS,)
        assert query(variant, f"select count(*) filter (received_date > date '{books.AS_OF}') from payments") == (0,)
    shares = "select avg((kind = 'reversal')::int), avg((commitment_id is not null)::int) filter (kind = 'payment') from payments"
    assert query("mixed", shares) == (pytest.approx(0.05, abs=0.02), pytest.approx(0.85, abs=0.04))
    assert query("mixed", "select count(distinct overpayment_rule) from commitments")[0] > 1
    assert query("skewed", "select max(n) from (select count(*) as n from installments group by commitment_id)") == (ROWS // 10,)
    assert query("skewed", "select max(n) from (select count(*) as n from payments group by commitment_id)") == (ROWS // 10,)


def test_the_same_seed_gives_the_same_book(home: Path, bench: Bench) -> None:
    again = books.write_book(home / "bench-again", ROWS, "mixed")
    first = bench.folder / f"mixed-{ROWS}"
    for name in ("payments.csv", "installments.csv", "commitments.csv", "invoices.csv", "increment.csv"):
        assert (again.folder / name).read_bytes() == (first / name).read_bytes()


def test_a_whole_run_publishes_the_same_allocation_and_a_small_file_adds_to_it(bench: Bench) -> None:
    bench.measure(ROWS, "even", ["run", "increment", "least"])
    run, increment, *least = bench.results[-4:]
    assert [r.step for r in (run, increment, *least)] == ["run", "increment", "least, matching", "least, published"]
    assert run.detail["allocated"] == allocated(bench, "even", "matching")
    assert disagreements(bench.results) == []
    assert increment.detail["allocated"] != run.detail["allocated"]
    assert str(increment.detail["scope"]).startswith("Increment: 3 customers")
    assert {"intake", "core", "matching", "outcomes", "published"} <= run.detail["stages"].keys()
    assert run.seconds > sum(run.detail["stages"].values())


def test_sizes_are_read_as_people_write_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert [parse_rows(text) for text in ("1m", "2.5k", "20_000")] == [1_000_000, 2500, 20_000]
    with pytest.raises(SystemExit):
        main(["--rows", "many"])
    assert "write it like 250k,1m" in capsys.readouterr().err
