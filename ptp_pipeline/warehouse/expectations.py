"""Great Expectations on the published tables, and its Data Docs.

Says in a form analysts can read what they may rely on. Sums over several tables and everything that must hold for millions of rows
is SQL in sql/warehouse/checks: this runs on pandas frames, which lose decimals and cost memory, so it looks at values, not at sums.
An increment replaces a few rows of a build that met its expectations: `unmet` holds those rows, all of them, against the same
expectations in SQL. Loading Great Expectations alone takes longer than making them.
"""

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

# Above this a table is validated on its first rows only, and the result says so: what must hold for every row is a check in SQL.
ROW_LIMIT = 10_000

KINDS = ["promise", "repeating_promise", "plan"]
LIFE = ["draft", "pending_approval", "rejected", "active", "completed", "cancelled", "closed", "superseded", "defaulted"]
STATES = ["scheduled", "due_soon", "due_today", "in_grace", "broken", "kept", "recovered", "cancelled", "superseded"]
STAGES = ["none", "stage_1", "exec"]


def _required(*columns: str) -> list[tuple[str, dict[str, Any]]]:
    return [("ExpectColumnValuesToNotBeNull", {"column": column}) for column in columns]


def _one_of(column: str, values: list[str]) -> tuple[str, dict[str, Any]]:
    return ("ExpectColumnValuesToBeInSet", {"column": column, "value_set": values})


def _between(column: str, low: int, high: int | None = None) -> tuple[str, dict[str, Any]]:
    return ("ExpectColumnValuesToBeBetween", {"column": column, "min_value": low, "max_value": high})


def _key(*columns: str) -> tuple[str, dict[str, Any]]:
    if len(columns) == 1:
        return ("ExpectColumnValuesToBeUnique", {"column": columns[0]})
    return ("ExpectCompoundColumnsToBeUnique", {"column_list": list(columns)})


def _currency() -> tuple[str, dict[str, Any]]:
    return ("ExpectColumnValuesToMatchRegex", {"column": "currency", "regex": "^[A-Z]{3}$"})


EXPECTATIONS: Mapping[str, list[tuple[str, dict[str, Any]]]] = {
    "run_info": [("ExpectTableRowCountToEqual", {"value": 1}), *_required("as_of", "built_at", "ledger_position", "version")],
    "commitments": [
        _key("commitment_id", "version"),
        *_required("customer_id", "currency", "status", "agreed_on"),
        _currency(),
        _one_of("kind", KINDS),
        _one_of("status", LIFE),
        _one_of("escalation_stage", STAGES),
        _between("total_amount", 0),
        _between("paid_amount", 0),
        _between("outstanding_amount", 0),
        _between("adherence", 0, 1),
    ],
    "installments": [
        _key("commitment_id", "version", "sequence"),
        *_required("due_date", "amount", "status", "reason"),
        _one_of("status", STATES),
        _one_of("verdict", ["kept", "partially_kept", "broken", "open"]),
        _between("sequence", 1),
        _between("amount", 0),
        _between("paid_amount", 0),
        _between("charged_back_amount", 0),
        _between("outstanding_amount", 0),
        _between("days_late", 0),
    ],
    "payments": [
        _key("payment_id"),
        *_required("customer_id", "received_date", "currency", "file_sha256", "line_number"),
        _currency(),
        _one_of("kind", ["payment", "reversal", "chargeback", "refund"]),
        _between("amount", 0),
        _between("allocated_amount", 0),
        _between("unapplied_amount", 0),
        _between("reversed_amount", 0),
        _between("charged_back_amount", 0),
    ],
    "allocations": [
        *_required("payment_id", "commitment_id", "received_date", "applied_on", "matched_by", "explanation"),
        _one_of("timing", ["in_advance", "on_due_date", "late"]),
        _one_of("overpayment_rule", ["next", "last", "spread", "hold"]),
        _between("amount", 0),
    ],
    "chargebacks": [*_required("payment_id", "commitment_id", "charged_back_on", "due_date"), _between("amount", 0)],
    "returns": [*_required("payment_id", "returned_by", "returned_on"), _one_of("kind", ["reversal", "chargeback", "refund"])],
    "customers": [_key("customer_id"), *_required("customer_name")],
    "invoices": [_key("invoice_id"), *_required("customer_id", "invoice_date"), _currency(), _between("amount", 0)],
    "broken_promises": [
        _key("commitment_id", "version", "sequence"),
        *_required("customer_id", "broken_on", "reason"),
        _one_of("verdict", ["partially_kept", "broken"]),
        _between("outstanding_amount", 0),
        _between("days_late", 1),
    ],
    "unmatched_payments": [_key("payment_id"), *_required("reason"), _between("unapplied_amount", 0)],
    "quarantine": [*_required("feed", "file_name", "line_number", "rule", "message")],
    "files": [_key("file_sequence"), *_required("file_sha256", "rows_in")],
    "scorecard_customer": [
        _key("customer_id", "currency"),
        _currency(),
        _between("kept_rate_by_count", 0, 1),
        _between("kept_rate_by_amount", 0, 1),
    ],
    "scorecard_owner": [_currency(), _between("kept_rate_by_count", 0, 1), _between("kept_rate_by_amount", 0, 1)],
    "plan_status": [_key("commitment_id"), _one_of("status", LIFE), _between("progress", 0, 1)],
    "transitions": [
        _key("commitment_id", "version", "sequence", "effective_on", "from_state", "to_state"),
        *_required("to_state", "effective_on", "cause"),
    ],
}


@dataclass(frozen=True)
class Failure:
    """One expectation that was not met."""

    table: str
    expectation: str
    column: str
    unexpected_count: int
    sample: list[str]


@dataclass(frozen=True)
class Validation:
    """The result over all tables. `notes` says where only a part was looked at."""

    expectation_count: int
    failures: list[Failure]
    notes: list[str]

    @property
    def passed(self) -> bool:
        return not self.failures


def load_ahead() -> None:
    """Load Great Expectations beside what is done meanwhile: it takes three seconds, and DuckDB leaves Python alone when it works."""
    Thread(target=_great_expectations, daemon=True).start()


def _great_expectations() -> Any:
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # before it is loaded: it says nothing to its maker's servers
    return import_module("great_expectations")


def validate(con: "duckdb.DuckDBPyConnection", schema: str, docs: Path | None = None) -> Validation:
    """Validate the published tables `<schema>.<table>` of a connection; Data Docs go as HTML into `docs` unless None."""
    context = _context(docs)
    batches = _batches(context)
    failures: list[Failure] = []
    notes: list[str] = []
    count = 0
    for table, expectations in EXPECTATIONS.items():
        frame, rows = _frame(con, f"{schema}.{table}", expectations)
        if rows > ROW_LIMIT:
            notes.append(f"{table}: the first {ROW_LIMIT:,} of {rows:,} rows were looked at.")
        results = _validate_frame(context, batches[table], table, expectations, frame)
        count += len(results)
        failures += [_failure(table, result) for result in results if not result["success"]]
    if docs is not None:
        context.build_data_docs()
        # Pictures of a tour we do not show; ten builds of an org would carry them ten times.
        for picture in (docs / "static" / "images").glob("*.gif"):
            picture.unlink()
    return Validation(count, failures, notes)


# What rows break an expectation by, as DuckDB says it; each gives a number of rows. NULL is no value: only the first asks for one.
_BROKEN_BY = {
    "ExpectColumnValuesToNotBeNull": 'count(*) filter (where "{column}" is null)',
    "ExpectColumnValuesToBeInSet": 'count(*) filter (where not list_contains({value_set}, "{column}"))',
    "ExpectColumnValuesToBeBetween": 'count(*) filter (where "{column}" < {min_value} or "{column}" > {max_value})',
    "ExpectColumnValuesToMatchRegex": "count(*) filter (where not regexp_matches(\"{column}\", '{regex}'))",
    "ExpectColumnValuesToBeUnique": 'count("{column}") - count(distinct "{column}")',
    "ExpectCompoundColumnsToBeUnique": "count(*) - count(distinct ({columns}))",
    "ExpectTableRowCountToEqual": "abs(count(*) - {value})",
}


def unmet(con: "duckdb.DuckDBPyConnection", schema: str, tables: Collection[str]) -> list[Failure]:
    """The expectations that rows of these tables of a schema do not meet, whichever row it is."""
    failures = []
    for table, expectations in EXPECTATIONS.items():
        if table not in tables:
            continue
        counts = ", ".join(_broken_by(name, kwargs) for name, kwargs in expectations)
        found = con.execute(f"select {counts} from {schema}.{table}").fetchall()[0]
        for (name, kwargs), count in zip(expectations, found, strict=True):
            if count:
                columns = kwargs.get("column") or ", ".join(kwargs.get("column_list", []))
                failures.append(Failure(table, re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower(), columns, count, []))
    return failures


def _broken_by(name: str, kwargs: Mapping[str, Any]) -> str:
    limits = {"max_value": "null"} | {key: "null" if value is None else value for key, value in kwargs.items()}
    return _BROKEN_BY[name].format(**limits, columns=", ".join(f'"{column}"' for column in kwargs.get("column_list", [])))


def _context(docs: Path | None) -> Any:
    """An ephemeral context that writes its site where we want it."""
    gx = _great_expectations()
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    for name in list(context.list_data_docs_sites()):
        context.delete_data_docs_site(name)
    if docs is not None:
        docs.mkdir(parents=True, exist_ok=True)
        site: Any = {
            "class_name": "SiteBuilder",
            "show_how_to_buttons": False,
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs.resolve())},
        }
        context.add_data_docs_site("published", site)
    return context


def _frame(con: "duckdb.DuckDBPyConnection", table: str, expectations: list[tuple[str, dict[str, Any]]]) -> tuple["pd.DataFrame", int]:
    """The columns the expectations look at, up to the row limit, and how many rows there are."""
    columns = dict.fromkeys(name for _, kwargs in expectations for name in kwargs.get("column_list", [kwargs.get("column")]) if name)
    chosen = ", ".join(f'"{column}"' for column in columns)
    (rows,) = con.execute(f"select count(*) from {table}").fetchall()[0]
    return con.execute(f"select {chosen} from {table} limit {ROW_LIMIT}").df(), rows


def _batches(context: Any) -> dict[str, Any]:
    """What is validated, by table. Added all at once: the context writes its whole configuration for each single addition."""
    from great_expectations.datasource.fluent.pandas_datasource import PandasDatasource

    source: Any = PandasDatasource(name="published")
    for table in EXPECTATIONS:
        source.add_dataframe_asset(table).add_batch_definition_whole_dataframe("whole")
    source = context.data_sources.add_pandas(datasource=source)
    return {table: source.get_asset(table).get_batch_definition("whole") for table in EXPECTATIONS}


def _validate_frame(
    context: Any, batches: Any, table: str, expectations: list[tuple[str, dict[str, Any]]], frame: "pd.DataFrame"
) -> list[Any]:
    import great_expectations as gx

    suite = gx.ExpectationSuite(name=table)
    for name, kwargs in expectations:
        suite.add_expectation(getattr(gx.expectations, name)(**kwargs))
    suite = context.suites.add(suite)
    definition = context.validation_definitions.add(gx.ValidationDefinition(name=table, data=batches, suite=suite))
    return list(definition.run(batch_parameters={"dataframe": frame}).to_json_dict()["results"])


def _failure(table: str, result: Mapping[str, Any]) -> Failure:
    config, found = result["expectation_config"], result.get("result") or {}
    kwargs = config["kwargs"]
    return Failure(
        table=table,
        expectation=config["type"],
        column=kwargs.get("column") or ", ".join(kwargs.get("column_list", [])),
        unexpected_count=found.get("unexpected_count") or 0,
        sample=[str(value) for value in found.get("partial_unexpected_list", [])[:5]],
    )
