"""docs/data-dictionary.md, written from the headers of sql/warehouse/published: the same text the DuckDB file carries as comments.

Types are taken from tables that were really made, so that the page cannot say what a query does not give. Rewrite it with
`python -m ptp_pipeline.warehouse.dictionary path/to/ptp.duckdb`.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from ptp_pipeline.settings import CHECKOUT
from ptp_pipeline.warehouse.models import stage_models
from ptp_pipeline.warehouse.publish import RUN_INFO

PAGE = CHECKOUT / "docs" / "data-dictionary.md"
_INTRO = """# Data dictionary

<!-- Made from the headers of sql/warehouse/published by ptp_pipeline/warehouse/dictionary.py: edit those, not this page. -->

The tables of every published build: schema `main` of `ptp.duckdb`; tables of up to 250,000 rows also as Parquet in `tables/` and CSV in
`reports/`. The DuckDB file carries these texts as comments (`select * from duckdb_columns()`).

- Money is `DECIMAL(18,3)` in major units, beside its `currency`. Nothing adds up amounts of two currencies.
- Everything answers for `run_info.as_of`, a business date: what was received, agreed or cancelled after it is not there.
- *Kept* is satisfied by due date and grace: what is missing on an installment and all before it is at most the sum of their
  tolerances. Allocation itself stays exact to the minor unit.
- *Kept rate by count* is installments kept ÷ installments judged; *by amount* is what arrived by the deadline ÷ what was promised on
  the installments judged. An installment is judged once its deadline has passed, or as soon as it is kept; one whose version ended
  before it was due, or unsatisfied while grace was running, is not scored at all.
- Equal facts give equal rows, bit for bit. Rows are in the order of their key; in a build made from an earlier one (after a small file) the
  rows of the customers it was about come last.
- Sentences (`reason`, `explanation`, `cause`, `figures`, `timing`) are made when they are read: `payments`, `installments`, `allocations`
  and `transitions` are views that add them to what the schema `stored` holds. Ask for the rows you want before you ask for all of them.
"""


def render(types: Mapping[str, Mapping[str, str]]) -> str:
    """The page. `types` maps table → column → DuckDB type, for every published table and `run_info`."""
    tables = {m.table: (m.grain, m.description, m.columns) for m in stage_models("published") if m.is_kept}
    tables["run_info"] = ("one row", "What this build answers for.", RUN_INFO)
    parts = [_INTRO, "## Tables\n"]
    parts += [f"- [`{name}`](#{name}): {description}" for name, (_, description, _) in sorted(tables.items())]
    for name, (grain, description, columns) in sorted(tables.items()):
        parts += [f"\n## {name}\n", f"{description}\n", f"Grain: {grain}.\n", "| column | type | meaning |", "| --- | --- | --- |"]
        parts += [f"| `{column}` | {types[name][column]} | {meaning.replace('|', '&#124;')} |" for column, meaning in columns.items()]
    return "\n".join(parts) + "\n"


def types_of(database: Path) -> dict[str, dict[str, str]]:
    """Types of every table of a published DuckDB file."""
    import duckdb

    found: dict[str, dict[str, str]] = {}
    with duckdb.connect(str(database), read_only=True) as con:
        rows = con.execute(
            "select table_name, column_name, data_type from duckdb_columns() where not internal and schema_name = 'main'"
        ).fetchall()
        for table, column, kind in rows:
            found.setdefault(table, {})[column] = kind
    return found


if __name__ == "__main__":
    PAGE.write_text(render(types_of(Path(sys.argv[1]))), encoding="utf-8")
