"""The committed data dictionary is what the models give."""

from ptp_pipeline.warehouse.dictionary import PAGE, render
from ptp_pipeline.warehouse.models import stage_models, table_stats
from tests.unit.outcomes.books import Book

RUN_INFO_TYPES = {
    "org_id": "VARCHAR", "as_of": "DATE", "built_at": "TIMESTAMP", "run_id": "VARCHAR", "ledger_position": "BIGINT",
    "policy_version": "INTEGER", "version": "VARCHAR", "audit_seq": "BIGINT", "audit_hash": "VARCHAR", "digest": "VARCHAR",
}  # fmt: skip


def test_the_data_dictionary_is_up_to_date() -> None:
    con = Book().outcomes("2026-03-01", ("outcomes", "published"))
    types = {m.table: dict(table_stats(con, m.name).columns) for m in stage_models("published")}
    assert PAGE.read_text(encoding="utf-8") == render({**types, "run_info": RUN_INFO_TYPES}), (
        "Rewrite it: python -m ptp_pipeline.warehouse.dictionary data/published/ORG/current/ptp.duckdb"
    )
