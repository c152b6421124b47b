"""Dagster's instance as a run uses it: what it is asked with every event it is asked once."""

from sqlalchemy import Engine, event

from ptp_pipeline.instance import instance, keep_connections
from ptp_pipeline.ledger.connection import Ledger
from ptp_pipeline.partitions import ORGS
from ptp_pipeline.settings import Settings


def test_a_partition_that_is_there_and_the_columns_of_tables_are_asked_for_once_and_one_that_is_not_there_may_come(
    settings: Settings, ledger: Ledger, org: str
) -> None:
    asked: list[str] = []
    note = lambda _con, _cursor, statement, *_: asked.append(statement)  # noqa: E731
    with instance(settings, ledger) as dagster:
        keep_connections(dagster)
        storage = dagster.event_log_storage
        assert not dagster.has_dynamic_partition(ORGS, org)
        dagster.add_dynamic_partitions(ORGS, [org])
        assert dagster.has_dynamic_partition(ORGS, org)
        assert storage.has_asset_key_index_cols()
        assert not storage.has_asset_key_col("no_such_column")
        event.listen(Engine, "before_cursor_execute", note)
        try:
            assert dagster.has_dynamic_partition(ORGS, org)
            assert storage.has_asset_key_index_cols()
            assert not storage.has_asset_key_col("no_such_column")
            assert asked == []
            assert not dagster.has_dynamic_partition(ORGS, f"{org}-2")
            assert len(asked) == 1
        finally:
            event.remove(Engine, "before_cursor_execute", note)
