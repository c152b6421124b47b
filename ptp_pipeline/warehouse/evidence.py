"""What a run's audit event stands for: the matches and verdict changes of a published build, and what was different in the one before.

The event has counts and digests only. Here the published build is checked against them and read. Writing builds is `publish`.
"""

from typing import TYPE_CHECKING, Any

from ptp_pipeline.errors import WorkFailed
from ptp_pipeline.settings import Settings
from ptp_pipeline.warehouse.models import sql_text
from ptp_pipeline.warehouse.publish import DATABASE, attach_earlier, database_sha256

if TYPE_CHECKING:
    from collections.abc import Mapping

# A row is known by these; the rest of it says why.
_KEYS = {
    "allocations": "payment_id, commitment_id, version, sequence, amount, currency, applied_on, matched_by",
    "transitions": "commitment_id, version, sequence, effective_on, from_state, to_state",
}
_WORDS = {"allocations": "explanation", "transitions": "cause"}


def changes(
    settings: Settings, org: str, build_id: str, evidence: "Mapping[str, Any]", before: str | None
) -> dict[str, list[dict[str, Any]]]:
    """The matches and verdict changes of a build that the one before it did not have, and those only that one had, as `change` + or -.

    Without a build before it on this disk, everything is new. Raises WorkFailed when the build is gone, or is not what was audited.
    """
    import duckdb

    folder = settings.published(org) / build_id
    if not (folder / DATABASE).exists():
        raise WorkFailed(f"Build {build_id} is not on this disk any more.", "Rebuild it for its date: ptp rebuild --org ORG --as-of DATE.")
    if database_sha256(folder) != evidence.get("database_sha256"):
        raise WorkFailed(
            f"Build {build_id} is not what was audited: its file was changed since.",
            "Compare it with a backup, or rebuild it for its date.",
        )
    with duckdb.connect() as con:
        con.execute(f"attach {sql_text(folder / DATABASE)} as built (read_only)")
        is_there = before is not None and attach_earlier(con, settings.published(org) / before)
        return {table: _differences(con, table, is_there=is_there) for table in _KEYS}


def _differences(con: Any, table: str, *, is_there: bool) -> list[dict[str, Any]]:
    keys, words = _KEYS[table], _WORDS[table]
    rows = f"select '+' as change, {keys}, {words} as why from built.{table}"
    if is_there:
        rows = f"""
            select '+' as change, {keys}, {words} as why from built.{table} anti join known.{table} using ({keys})
            union all
            select '-', {keys}, {words} from known.{table} anti join built.{table} using ({keys})
        """
    result = con.execute(f"select * from ({rows}) order by all")
    names = [column[0] for column in result.description]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]
