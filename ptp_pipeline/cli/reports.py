"""`ptp status`, `ptp show` and `ptp export`: what is published, on the screen and in files.

Looking needs no ledger. Taking a file away does: it is recorded.
"""

import shutil
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ptp_pipeline.cli import exports, output, published, stories
from ptp_pipeline.cli.frame import Json, Org, Token, command, launcher, open_ledger, person_or_operator, require_org, settings
from ptp_pipeline.cli.runs import print_broken_today
from ptp_pipeline.domain.text import visible
from ptp_pipeline.errors import UsageError, WorkFailed


class Format(StrEnum):
    CSV = "csv"
    XLSX = "xlsx"
    PARQUET = "parquet"


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    command(app, "status --org acme")(status)
    command(app, "show PLAN-7 --org acme", "show PAY-1001 --org acme --json")(show)
    command(app, "export --org acme --table installments --format xlsx --out installments.xlsx", "export --org acme --report scorecard")(
        export
    )


def status(*, org: Org, as_json: Json = False) -> None:
    """What broke today, what is open by state and by owner: from the newest published file."""
    with published.open_build(settings(), org) as build:
        found = published.status(build)
    if as_json:
        output.print_json({"org": org, **found})
        return
    print(f"{org} as of {found['as_of']}, built {visible(found['built_at'])} UTC")
    print_broken_today(found)
    output.heading("Broken in all")
    output.table(["installments", "missing"], [[r["count"], output.money(r["outstanding_amount"], r["currency"])] for r in found["broken"]])
    output.heading("Commitments in force")
    output.table(
        ["commitments", "promised", "paid", "open"],
        [[r["commitments"], *(output.money(r[c], r["currency"]) for c in _AMOUNTS)] for r in found["totals"]],
    )
    output.heading("By state")
    output.table(
        ["state", "commitments", "open"],
        [[r["status"], r["commitments"], output.money(r["outstanding_amount"], r["currency"])] for r in found["by_status"]],
    )
    output.heading("Broken by owner")
    output.table(
        ["owner", "broken", "missing"],
        [[r["owner"] or "No owner", r["broken"], output.money(r["outstanding_amount"], r["currency"])] for r in found["owners"]],
    )
    counts = found["counts"]
    print(f"\nPayments unmatched: {counts['unmatched_payments']:,}. Rows in quarantine: {counts['quarantined']:,}.")
    if counts["stale_decisions"]:
        print(f"! Decisions on {counts['stale_decisions']:,} payments do not work out: {launcher()} match list --stale --org {org}")


_AMOUNTS = ("total_amount", "paid_amount", "outstanding_amount")


def show(
    *,
    object_id: Annotated[str, typer.Argument(metavar="ID", help="A commitment, payment, invoice or customer.")],
    org: Org,
    as_json: Json = False,
) -> None:
    """Tell all about a commitment, payment, invoice or customer; of a payment also what would have happened otherwise."""
    with published.open_build(settings(), org) as build:
        found = published.show(build, object_id)
    if found["kind"] == "payment":
        found |= _otherwise(org, found)
    if as_json:
        output.print_json({"org": org, **found})
        return
    if found["kind"] == "payment":
        stories.payment(found, org)
        return
    if found["kind"] == "commitment":
        stories.commitment(found)
        return
    print(f"{found['kind'].capitalize()} {object_id}, as of {found['as_of']}")
    for title, value in found.items():
        if isinstance(value, dict):
            output.facts({name: cell for name, cell in output.readable(value).items() if cell not in (None, "")})
        elif isinstance(value, list):
            output.heading(title.replace("_", " ").capitalize())
            _print_rows(title, value)


def _otherwise(org: str, shown: published.Row) -> published.Row:
    """What would have become of a payment otherwise, or why that cannot be said: it takes the tables of the last run."""
    from ptp_pipeline.domain.money import to_decimal
    from ptp_pipeline.warehouse.whatif import alternatives

    payment = shown["payment"]
    if payment["kind"] != "payment":
        return {"otherwise": [], "otherwise_problem": None}
    try:
        found = alternatives(settings(), org, payment["payment_id"], shown["as_of"])
    except WorkFailed as problem:
        return {"otherwise": [], "otherwise_problem": f"{problem.message} The next run makes them anew."}
    published_now = sorted((a["commitment_id"], a["version"], a["sequence"], a["amount"]) for a in shown["allocations"])
    for one in found:
        if (
            sorted((p.commitment_id, p.version, p.sequence, to_decimal(p.amount_minor, payment["currency"])) for p in one.now)
            != published_now
        ):
            return {"otherwise": [], "otherwise_problem": "The tables of the last run are not those of what is published."}
    return {"otherwise": stories.otherwise(found, payment["currency"]), "otherwise_problem": None}


_SHOWN = {
    "commitments": ["commitment_id", "version", "kind", "status", "agreed_on", "total_amount", "outstanding_amount", "next_due_date"],
    "invoices": ["invoice_id", "invoice_date", "due_date", "amount", "open_amount"],
    "unmatched_payments": ["payment_id", "received_date", "amount", "reason"],
}


def _print_rows(title: str, rows: list[published.Row]) -> None:
    columns = [c for c in _SHOWN[title] if not rows or c in rows[0]]
    output.table([c.replace("_", " ") for c in columns], [[output.readable(row)[c] for c in columns] for row in rows])


def export(
    *,
    org: Org,
    table: Annotated[str, typer.Option(metavar="NAME", help="A published table.")] = "",
    report: Annotated[str, typer.Option(metavar="NAME", help="A report of the build, for example plan_status or scorecard_customer.")] = "",
    file_format: Annotated[Format, typer.Option("--format", help="csv, xlsx or parquet.")] = Format.CSV,
    out: Annotated[str, typer.Option(metavar="FILE", help="Where to; - is standard output. Default: NAME.FORMAT here.")] = "",
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Write a published table or report to a file, and to the audit trail that you did. Text that a spreadsheet would run as a formula
    is disarmed.
    """
    if bool(table) == bool(report):
        raise UsageError("Say what to export: --table NAME or --report NAME.", "For example --table installments.")
    if out == exports.STDOUT and as_json:
        raise UsageError("--json and --out - both want standard output.", "Give --out a file.")
    target, name = out or f"{table or report}.{file_format.value}", table or report
    with published.open_build(settings(), org) as build:
        _require_exported(build, table, report, file_format)
        ledger = open_ledger()
        require_org(ledger, org)
        who = person_or_operator(ledger, org, token)
        facts = {"format": file_format.value, "build": build.path.name, "as_of": build.as_of.isoformat()}
        with exports.written(ledger, org, who, "table" if table else "report", name, target, **facts) as draft:
            if table:
                _write_table(build, table, file_format, draft)
            else:
                shutil.copyfile(_report(build, report, file_format), draft.path)
    if as_json:
        output.print_json({"org": org, "as_of": build.as_of, "name": name, "rows": draft.rows, "file": Path(target).absolute()})
    elif out != exports.STDOUT:
        print(f"{target}: {f'{draft.rows:,} rows, ' if draft.rows is not None else ''}as of {build.as_of}")


def _require_exported(build: published.Build, table: str, report: str, file_format: Format) -> None:
    """Raises UsageError naming what there is."""
    if table and table not in build.tables():
        raise UsageError(f"There is no published table {table!r}.", f"Tables: {', '.join(build.tables())}.")
    if report and not _report(build, report, file_format).is_file():
        known = sorted(path.name for path in (build.path / "reports").glob("*.*"))
        raise UsageError(f"There is no report {report!r} as {file_format.value}.", f"Reports: {', '.join(known) or 'none'}.")


def _report(build: published.Build, report: str, file_format: Format) -> Path:
    return build.path / "reports" / f"{report}.{file_format.value}"


def _write_table(build: published.Build, table: str, file_format: Format, draft: exports.Draft) -> None:
    (draft.rows,) = build.connection.execute(f'select count(*) from "{table}"').fetchall()[0]
    if file_format is Format.XLSX:
        build.connection.sql(f'from "{table}"').pl().write_excel(draft.path, worksheet=table[:31], autofit=True)
    elif file_format is Format.PARQUET:
        build.connection.execute(f"copy \"{table}\" to '{_quoted(draft.path)}' (format parquet, compression zstd)")
    else:
        # Sentences make DuckDB write a long table in any order, unless told.
        options = "format csv, header, preserve_order true"
        build.connection.execute(f"copy ({_guarded(build, table)}) to '{_quoted(draft.path)}' ({options})")


def _guarded(build: published.Build, table: str) -> str:
    from ptp_pipeline.domain.export import guard_sql

    columns = [(row[0], row[1]) for row in build.connection.execute(f'describe "{table}"').fetchall()]
    cells = [f"{guard_sql(_name(name))} as {_name(name)}" if kind == "VARCHAR" else _name(name) for name, kind in columns]
    return f"select {', '.join(cells)} from {_name(table)}"


def _name(identifier: str) -> str:
    return f'"{identifier}"'


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
