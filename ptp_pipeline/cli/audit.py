"""`ptp audit`: who did what, when and why."""

import json
from typing import Annotated

import typer

from ptp_pipeline.cli import output
from ptp_pipeline.cli.frame import Json, Org, Token, command, new_group, open_ledger, person_or_operator, require_org


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    group = new_group("The audit trail.")
    command(group, "audit show --org acme", "audit show --org acme --object PLAN-7 --limit 100")(show)
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


def _after(after: object) -> str:
    text = json.dumps(after, default=str, ensure_ascii=False) if after else ""
    return text if len(text) <= 80 else text[:79] + "…"  # noqa: PLR2004 - what fits beside the other columns
