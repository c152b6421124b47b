"""Invariants of the warehouse: one SQL file per check in sql/warehouse/checks, returning the rows that break it.

A check says what must always hold whatever was fed in. Rules about single rows of input belong to the feeds, expectations about
what is published to `expectations`.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from ptp_pipeline.warehouse.models import MODELS, STAGES, ModelError, Warehouse

if TYPE_CHECKING:
    import duckdb

CHECKS = MODELS / "checks"
SAMPLE_ROWS = 5


@dataclass(frozen=True)
class Check:
    """One invariant. `sql` returns the offending rows: none means that it holds."""

    name: str
    stage: str
    message: str
    sql: str


@dataclass(frozen=True)
class Violation:
    """What a check found: how many rows break it, and some of them as text."""

    name: str
    stage: str
    message: str
    count: int
    sample: list[dict[str, str | None]]

    @property
    def passed(self) -> bool:
        return self.count == 0

    @property
    def detail(self) -> str:
        """The sample in one line, for a log or an error."""
        rows = "; ".join(", ".join(f"{name} {value}" for name, value in row.items()) for row in self.sample)
        return f"{self.count} rows: {rows}" if self.count else "holds"


def parse_check(path: Path) -> Check:
    """Read one check file. Raises ModelError when its header is not complete."""
    text = path.read_text(encoding="utf-8")
    comments = re.match(r"(--[^\n]*\n)*", text)
    header = re.sub(r"\n--    *", " ", comments[0] if comments else "")
    found = dict(re.findall(r"^-- (check|stage|message): *(.+)$", header, flags=re.MULTILINE))
    if found.keys() != {"check", "stage", "message"} or found["stage"] not in STAGES:
        raise ModelError(f"{path.name}: the header needs `-- check:`, `-- stage:` (one of {', '.join(STAGES)}) and `-- message:`")
    return Check(name=found["check"], stage=found["stage"], message=found["message"], sql=text)


@lru_cache
def stage_checks(stage: str) -> tuple[Check, ...]:
    """The checks of a stage, by name."""
    return tuple(c for c in map(parse_check, sorted(CHECKS.glob("*.sql"))) if c.stage == stage)


def run_checks(con: "duckdb.DuckDBPyConnection", stage: str) -> list[Violation]:
    """Every check of a stage evaluated, also those that hold (`passed`). Needs the stage's tables and all those upstream in `con`."""
    return [_evaluate(con, check) for check in stage_checks(stage)]


def run_stage_checks(warehouse: Warehouse, stage: str) -> list[Violation]:
    """The same over an org's Parquet."""
    con = warehouse.connect(STAGES[: STAGES.index(stage) + 1])
    try:
        return run_checks(con, stage)
    finally:
        con.close()


def _evaluate(con: "duckdb.DuckDBPyConnection", check: Check) -> Violation:
    con.execute(f"create or replace temp table offending as\n{check.sql}")
    (count,) = con.execute("select count(*) from offending").fetchall()[0]
    names = [row[0] for row in con.execute("describe offending").fetchall()]
    rows = con.execute(f"select columns(*)::varchar from offending order by all limit {SAMPLE_ROWS}").fetchall() if count else []
    con.execute("drop table offending")
    sample = [dict(zip(names, row, strict=True)) for row in rows]
    return Violation(check.name, check.stage, check.message, count, sample)
