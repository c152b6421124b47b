"""`ptp files`: what was dropped in the inbox and what became of it."""

from datetime import UTC, date
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from ptp_pipeline.cli import output
from ptp_pipeline.cli.frame import Json, Org, command, launcher, new_group, open_ledger, operator, require_org, settings
from ptp_pipeline.errors import Refused, UsageError

FileId = Annotated[str, typer.Argument(metavar="FILE", help="Number, name, or the first characters of the sha256.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    group = new_group("Files received, accepted and rejected.")
    command(group, "files list --org acme", name="list")(list_all)
    command(group, "files show 12 --org acme", "files show payments-june.csv --org acme")(show)
    command(group, "files reprocess 12 --org acme")(reprocess)
    app.add_typer(group, name="files")


def _received(org: str) -> list[Any]:
    from ptp_pipeline.ledger import files

    ledger = open_ledger()
    require_org(ledger, org)
    with ledger.transaction(org, operator()) as tx:
        return files.list_files(tx)


def list_all(*, org: Org, as_json: Json = False) -> None:
    """List the files received, oldest first."""
    rows = list(reversed(_received(org)))
    if as_json:
        output.print_json([_document(f) for f in rows])
        return
    table = [[f.file_sequence, f.received_at, f.feed, f.file_name, f.status, f.row_count, f.content_sha256[:12], f.reason] for f in rows]
    output.table(["#", "received (UTC)", "feed", "file", "status", "rows", "sha256", "why"], table, "No files received yet.")


def show(*, file: FileId, org: Org, as_json: Json = False) -> None:
    """Show a file: what was received when, what became of its rows, and where its bytes are kept."""
    from ptp_pipeline.cli import published
    from ptp_pipeline.feeds import archive

    received = _received(org)
    found = _find(received, file)
    kept_at = archive.location(settings(), found.content_sha256)
    document = {**_document(found), "archived": kept_at, "duplicate_of": _first(received, found), "quarantine": []}
    if settings().current_build(org).exists():
        with published.open_build(settings(), org) as build:
            counts = "rows_loaded, rows_quarantined, rows_duplicate, duplicate_of"
            for row in build.rows(f"select {counts} from files where file_sequence = $number", {"number": found.file_sequence}):
                document |= row
            document["quarantine"] = build.rows(
                "select * from quarantine where file_sha256 = $sha order by line_number, column_name", {"sha": found.content_sha256}
            )
    if as_json:
        output.print_json(document)
        return
    output.facts({k: v for k, v in document.items() if k != "quarantine"})
    output.heading("Rows in quarantine")
    rows = [[q["line_number"], q["column_name"], q["value"], q["message"]] for q in document["quarantine"]]
    output.table(["line", "column", "value", "why"], rows, "None.")


def reprocess(*, file: FileId, org: Org, as_json: Json = False) -> None:
    """Put the archived bytes of a rejected file back into the inbox, for instance after its column mapping was corrected.

    Accepted files need no reprocessing: every run reads them again from the archive, under the policy of the day they were received.
    A mapping corrected for that day (ptp org set --from DAY) holds for them from the next run on.
    """
    from ptp_pipeline.feeds import archive

    found = _find(_received(org), file)
    if found.status == "accepted":
        day = _received_on(org, found)
        raise Refused(
            f"{found.file_name} was accepted; every run reads it again from the archive, under the policy of {day}, when it was received.",
            f"To have it read otherwise: {launcher()} org set {org} feed_mappings.{found.feed}.KEY=VALUE --from {day} --reason TEXT,"
            f" then {launcher()} run --org {org}",
        )
    folder = settings().inbox(org, found.feed)
    target = folder / found.file_name
    if target.exists():
        raise Refused(f"{target} is in the inbox already.", f"Run: {launcher()} run --org {org}")
    archive.restore(settings(), found.content_sha256, target)
    if as_json:
        output.print_json({"file": found.file_name, "inbox": target})
    else:
        print(f"{found.file_name} lies in the inbox again. Next: {launcher()} run --org {org}")


def _received_on(org: str, file: Any) -> date:
    """The day a file was received where the org is: the day whose policy it is read under."""
    from ptp_pipeline.ledger import policies

    with open_ledger().transaction(org, operator()) as tx:
        policy = policies.current(tx, file.received_at.astimezone(UTC).date())
    received: date = file.received_at.astimezone(ZoneInfo(policy.timezone)).date()
    return received


def _find(rows: list[Any], wanted: str) -> Any:
    """The one file meant by a number, a name or the start of a hash. Raises UsageError when it is none or several."""
    matches = [f for f in rows if str(f.file_sequence) == wanted]
    matches = matches or [f for f in rows if f.file_name == wanted]
    matches = matches or [f for f in rows if len(wanted) >= 6 and f.content_sha256.startswith(wanted)]  # noqa: PLR2004 - shorter is a guess
    if not matches:
        raise UsageError(f"No file received is {wanted!r}.", "`ptp files list` shows them all.")
    if len(matches) > 1:
        numbers = ", ".join(str(f.file_sequence) for f in matches)
        raise UsageError(f"{wanted!r} is several files: {numbers}.", "Name one by its number.")
    return matches[0]


def _first(received: list[Any], file: Any) -> str | None:
    """The accepted file that a rejected one repeats, by bytes or by rows."""
    if file.status == "accepted":
        return None
    same = [
        f"{f.file_name} (number {f.file_sequence})"
        for f in received
        if (f.status, f.feed) == ("accepted", file.feed)
        and (f.content_sha256 == file.content_sha256 or f.rows_fingerprint == (file.rows_fingerprint or ""))
    ]
    return same[0] if same else None


def _document(file: Any) -> dict[str, Any]:
    return dict(vars(file))
