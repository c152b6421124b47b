"""`ptp audit`: who did what, when and why."""

import json
import sys
from typing import Annotated

import typer

from ptp_pipeline.cli import output
from ptp_pipeline.cli.frame import Json, Org, Token, command, new_group, open_ledger, person_or_operator, require_org


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    group = new_group("The audit trail.")
    command(group, "audit show --org acme", "audit show --org acme --object PLAN-7 --limit 100")(show)
    command(group, "audit verify --org acme")(verify)
    app.add_typer(group, name="audit")


def show(
    *,
    org: Org,
    object_id: Annotated[str, typer.Option("--object", metavar="ID", help="Only events of this commitment, file, user, …")] = "",
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest ones.")] = 50,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Show the newest events of the audit trail, oldest first."""
    from ptp_pipeline.ledger import audit

    ledger = open_ledger()
    require_org(ledger, org)
    with ledger.transaction(org, person_or_operator(ledger, org, token)) as tx:
        events = audit.show(tx, object_id=object_id or None, limit=limit)
    if as_json:
        output.print_json([vars(e) for e in events])
        return
    rows = [[e.seq, e.at, e.actor, e.role, e.action, e.object_id, e.reason or _after(e.after)] for e in events]
    output.table(["#", "when (UTC)", "who", "role", "what", "on", "why"], rows, "No events.")


def verify(*, org: Org, token: Token = "", as_json: Json = False) -> None:
    """Check the whole chain of the audit trail: nothing changed, removed or slipped in. Exit code 1 when something was.

    Events cut off at its end leave a chain that holds: keep number and head, and compare them the next time.
    """
    from ptp_pipeline.ledger import audit

    ledger = open_ledger()
    require_org(ledger, org)
    with ledger.transaction(org, person_or_operator(ledger, org, token)) as tx:
        found = audit.verify(tx)
    is_good = found.first_bad_seq is None
    if as_json:
        output.print_json({"org": org, "ok": is_good, **vars(found)})
    elif is_good:
        print(f"All good: {found.events:,} events, each fits the one before it.")
        output.facts({"chain head": found.head})
    else:
        print(f"ptp: The audit trail of {org} does not hold: event {found.first_bad_seq} is the first that does not fit.", file=sys.stderr)
        print("     Somebody changed the ledger behind ptp's back. Compare with a backup; trust no event from there on.", file=sys.stderr)
    if not is_good:
        raise typer.Exit(1)


def _after(after: object) -> str:
    text = json.dumps(after, default=str, ensure_ascii=False) if after else ""
    return text if len(text) <= 80 else text[:79] + "…"  # noqa: PLR2004 - what fits beside the other columns
