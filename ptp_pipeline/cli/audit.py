"""`ptp audit`: who did what, when and why; and whether that is still what was recorded."""

import csv
import json
import sys
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ptp_pipeline.cli import exports, output
from ptp_pipeline.cli.frame import (
    Json,
    Org,
    Token,
    acting,
    command,
    launcher,
    new_group,
    open_ledger,
    parse_date,
    person_or_operator,
    require_org,
    settings,
)
from ptp_pipeline.errors import UsageError

if TYPE_CHECKING:
    from ptp_pipeline.ledger.audit import AuditEvent, Verification

_CSV = (
    "seq",
    "at",
    "actor",
    "role",
    "auth",
    "origin",
    "place",
    "run",
    "action",
    "object_type",
    "object_id",
    "reason",
    "before",
    "after",
    "hash",
)
_NEWEST = 50
_SIGN_IN = "login.accepted"


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    group = new_group("The audit trail.")
    command(
        group,
        "audit show --org acme",
        "audit show --org acme --object PLAN-7 --limit 100",
        "audit show --org acme --person mia --action approval. --since 2026-06-01 --csv june.csv",
    )(show)
    command(group, "audit verify --org acme")(verify)
    command(group, "audit expand 812 --org acme", "audit expand 2026-06-30-44d16273 --org acme --json")(expand)
    app.add_typer(group, name="audit")


def show(
    *,
    org: Org,
    object_id: Annotated[str, typer.Option("--object", metavar="ID", help="Only events of this commitment, file, user, …")] = "",
    who: Annotated[str, typer.Option("--person", metavar="NAME", help="Only what this user did; also `pipeline` or `operator`.")] = "",
    action: Annotated[str, typer.Option(metavar="NAME", help="Only this kind; `approval.` means all that begin so.")] = "",
    since: Annotated[str, typer.Option(metavar="DATE", help="From this day on (UTC).")] = "",
    until: Annotated[str, typer.Option(metavar="DATE", help="Up to and with this day (UTC).")] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many, the newest ones. Default 50; with --csv all.")] = None,
    with_sign_ins: Annotated[bool, typer.Option("--all", help="Also every sign-in; --csv and --json have them anyway.")] = False,
    to_csv: Annotated[str, typer.Option("--csv", metavar="FILE", show_default=False, help="Write them to a CSV file instead.")] = "",
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Show the newest events of the audit trail, oldest first. That somebody signed in is left out unless asked for."""
    from ptp_pipeline.ledger import audit

    if to_csv == exports.STDOUT and as_json:
        raise UsageError("--json and --csv - both want standard output.", "Give --csv a file.")
    ledger = open_ledger()
    require_org(ledger, org)
    actor = person_or_operator(ledger, org, token)
    said = {"object": object_id, "person": who, "action": action, "since": since, "until": until}
    wanted: dict[str, Any] = {
        "object_id": object_id or None,
        "actor": who or None,
        "action": action or None,
        "since": _midnight(since, "--since", 0),
        "until": _midnight(until, "--until", 1),
    }
    is_all = with_sign_ins or bool(action or to_csv or as_json)
    with ledger.transaction(org, actor) as tx:
        events = audit.show(tx, limit=limit or (None if to_csv else _NEWEST), but=None if is_all else _SIGN_IN, **wanted)
        left_out = 0 if is_all else audit.count(tx, **{**wanted, "action": _SIGN_IN})
    filters = {key: value for key, value in said.items() if value} or None
    if to_csv:
        with exports.written(ledger, org, actor, "audit", "audit", to_csv, format="csv", filters=filters) as draft:
            _write_csv(draft.path, events)
            draft.rows = len(events)
    elif as_json:
        exports.record(ledger, org, actor, "audit", "audit", format="json", filters=filters, rows=len(events))
    if as_json:
        output.print_json({"events": len(events), "file": to_csv} if to_csv else [vars(e) for e in events])
    elif to_csv:
        if to_csv != exports.STDOUT:
            print(f"{len(events):,} events written to {to_csv}.")
    else:
        rows = [[e.seq, e.at, e.actor, e.role, e.action, e.object_id or _items(e.after), e.reason or _after(e.after)] for e in events]
        output.table(["#", "when (UTC)", "who", "role", "what", "on", "why"], rows, "No events.")
        if left_out:
            print(f"\n{left_out:,} sign-in{'s' if left_out > 1 else ''} left out. Show them too: --all; only signing in: --action login.")


def _midnight(text: str, option: str, days: int) -> datetime | None:
    return datetime.combine(parse_date(text, option), time(), UTC) + timedelta(days=days) if text else None


def _write_csv(target: Path, events: "list[AuditEvent]") -> None:
    from ptp_pipeline.domain.export import guard

    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_CSV)
        writer.writerows([_cell(getattr(event, name), guard) for name in _CSV] for event in events)


def _cell(value: Any, guard: Any) -> Any:
    match value:
        case None:
            return ""
        case int():
            return value
        case datetime():
            return value.astimezone(UTC).isoformat()
        case str():
            return guard(value)
        case _:
            return json.dumps(value, ensure_ascii=False, sort_keys=True)


def verify(*, org: Org, token: Token = "", as_json: Json = False) -> None:
    """Check the audit trail: nothing changed, removed, slipped in or made anew. Exit code 1 when something was.

    The chain is recomputed, and compared with the heads that builds were published with: those the ledger recorded, and those in
    the published files on this disk.
    """
    from ptp_pipeline.ledger import audit
    from ptp_pipeline.warehouse.publish import audit_heads

    with acting(org, token) as tx:
        found = audit.verify(tx, audit_heads(settings(), org))
    if as_json:
        output.print_json({"org": org, "ok": found.is_good, **vars(found)})
    elif found.is_good:
        print(f"All good: {found.events:,} events, each fits the one before it, and {found.heads:,} published heads fit the chain.")
        output.facts({"chain head": found.head})
    if not found.is_good:
        print(f"ptp: The audit trail of {org} does not hold: {_what_is_wrong(found)}", file=sys.stderr)
        print("     Somebody changed the ledger behind ptp's back. Compare with a backup; trust no event from there on.", file=sys.stderr)
        raise typer.Exit(1)


def _what_is_wrong(found: "Verification") -> str:
    if found.first_bad_seq is not None:
        return f"event {found.first_bad_seq} is the first that does not fit."
    if (found.misfit_seq or 0) > found.events:
        return (
            f"build {found.misfit_build} was published at event {found.misfit_seq}, and there are only {found.events}: the end was cut off."
        )
    return (
        f"build {found.misfit_build} was published with another event {found.misfit_seq}. The first bad one is after event"
        f" {found.fitting_seq}: from there on the chain was made anew."
    )


def expand(
    *,
    event: Annotated[str, typer.Argument(metavar="EVENT", help="Number of a `build.recorded` event, or the name of the build.")],
    org: Org,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """List the payment matches and verdict changes a run's audit event stands for, from the build it published.

    First the build is compared with what was audited. Listed is what the recorded build before it did not have (+), and what only that
    one had (-).
    """
    from ptp_pipeline.ledger import audit, builds
    from ptp_pipeline.warehouse import evidence

    with acting(org, token) as tx:
        audit.demand_whole_book(tx)
        recorded = [e for e in audit.show(tx, action="build.recorded", limit=None) if event in (str(e.seq), e.object_id)]
        if not recorded:
            raise UsageError(f"{event!r} is no recorded build.", f"{launcher()} audit show --org {org} --action build.recorded")
        found = recorded[0]
        earlier = builds.latest(tx, before=found.object_id)
    changes = evidence.changes(settings(), org, found.object_id, found.after, earlier.build_id if earlier else None)
    if as_json:
        output.print_json({"build": found.object_id, "before": earlier.build_id if earlier else None, "event": found.seq, **changes})
        return
    print(f"Build {found.object_id}, event {found.seq}, run {found.run}: its file is the one that was audited.")
    print(f"Compared with {earlier.build_id}." if earlier else "It is the first: everything is new.")
    for table, what in (("allocations", "Payment matches"), ("transitions", "Changes of state")):
        output.heading(f"{what}: {found.after[table]['rows']:,} in all, {len(changes[table]):,} different")
        rows = [{name: cell for name, cell in output.readable(row).items() if name != "currency"} for row in changes[table]]
        output.table(list(rows[0]) if rows else [], [list(row.values()) for row in rows], "None.")


def _items(after: Any) -> str:
    """Of an event about many: how many."""
    return f"{len(after['items']):,} items" if isinstance(after, dict) and isinstance(after.get("items"), list) else ""


def _after(after: object) -> str:
    text = json.dumps(after, default=str, ensure_ascii=False) if after else ""
    return text if len(text) <= 80 else text[:79] + "…"  # noqa: PLR2004 - what fits beside the other columns
