"""`ptp org`: the orgs of this installation and their policy."""

import json
from typing import Annotated, Any

import typer

from ptp_pipeline.cli import output
from ptp_pipeline.cli.frame import Json, Reason, command, launcher, new_group, open_ledger, operator, parse_date, require_org, settings
from ptp_pipeline.errors import UsageError

OrgName = Annotated[str, typer.Argument(metavar="ORG", help="Lower-case letters, digits, - and _.")]
Changes = Annotated[list[str], typer.Argument(metavar="KEY=VALUE…", help="Policy keys as `ptp org list --json` shows them.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    group = new_group("Orgs and their policy.")
    command(group, "org add acme --currency USD --timezone America/New_York", "org add acme calendar=US grace_days=2", name="add")(add)
    command(group, "org set acme grace_days=2 tolerance_amount=0.50 --reason 'agreed with finance'", name="set")(set_policy)
    command(group, "org list", "org list --json", name="list")(list_all)
    app.add_typer(group, name="org")


def add(
    *,
    org: OrgName,
    changes: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE…]", show_default=False, help="Policy other than the default.")
    ] = None,
    currency: Annotated[str, typer.Option(help="ISO 4217 code of amounts that name none.")] = "USD",
    timezone: Annotated[str, typer.Option(help="IANA name; decides which day it is.")] = "UTC",
    as_json: Json = False,
) -> None:
    """Add an org, with its policy, and make its inbox folders."""
    from ptp_pipeline.ledger import orgs
    from ptp_pipeline.settings import FEEDS

    orgs.create_org(open_ledger(), org, operator(), currency=currency.upper(), timezone=timezone, **parse_changes(changes or []))
    where = settings()
    for feed in FEEDS:
        where.inbox(org, feed).mkdir(parents=True, exist_ok=True)
    if as_json:
        output.print_json({"org": org, "currency": currency.upper(), "timezone": timezone, "inbox": where.inbox(org)})
        return
    print(f"Added {org}. Its CSVs go to {where.inbox(org)}/FEED/, FEED being one of {', '.join(FEEDS)}.")
    print(f"Next: {launcher()} user add NAME --org {org} --role collector")


def set_policy(
    *,
    org: OrgName,
    changes: Changes,
    reason: Reason,
    effective_from: Annotated[str, typer.Option("--from", metavar="DATE", help="First business date it holds for; default today.")] = "",
    as_json: Json = False,
) -> None:
    """Change an org's policy: a new version of it, the old ones are kept."""
    from ptp_pipeline.ledger import policies

    ledger = open_ledger()
    require_org(ledger, org)
    wanted = parse_changes(changes)
    with ledger.operator(operator(), org) as tx:
        first_day = parse_date(effective_from, "--from") if effective_from else None
        policy = policies.change(tx, wanted, reason, first_day).as_json()
    changed = {key: policy[key] for key in dict.fromkeys(name.split(".")[0] for name in wanted)}
    if as_json:
        output.print_json({"org": org, "changed": changed, "policy": policy})
        return
    output.facts({key: _short(value) for key, value in changed.items()})


def list_all(*, as_json: Json = False) -> None:
    """List orgs; with --json every policy key with its value."""
    from ptp_pipeline.ledger import orgs, policies

    ledger = open_ledger()
    rows = orgs.list_orgs(ledger)
    if as_json:
        document = []
        for row in rows:
            with ledger.transaction(row.org_id, operator()) as tx:
                document.append({"org": row.org_id, "policy": policies.current(tx).as_json()})
        output.print_json(document)
        return
    output.table(
        ["org", "currency", "time zone"], [[r.org_id, r.currency, r.timezone] for r in rows], f"No orgs yet. {launcher()} org add acme"
    )


def parse_changes(pairs: list[str]) -> dict[str, Any]:
    """`key=value` words. What a value may be, and how it is read, is the policy's business."""
    parsed: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise UsageError(f"{pair!r} is not KEY=VALUE.", "Write for example grace_days=2.")
        parsed[key] = text
    return parsed


def _short(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
