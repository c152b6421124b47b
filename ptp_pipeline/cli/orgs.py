"""`ptp org`: the orgs of this installation and their policy."""

import json
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ptp_pipeline.cli import output
from ptp_pipeline.cli.frame import Json, Reason, Token, acting, command, launcher, new_group, open_ledger, operator, parse_date, settings
from ptp_pipeline.errors import UsageError

if TYPE_CHECKING:
    from ptp_pipeline.domain.policy import Policy

OrgName = Annotated[str, typer.Argument(metavar="ORG", help="Lower-case letters, digits, - and _.")]
Changes = Annotated[list[str], typer.Argument(metavar="KEY=VALUE…", help="Policy keys as `ptp org list --json` shows them.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    group = new_group("Orgs and their policy.")
    command(group, "org add acme --currency USD --timezone America/New_York", "org add acme calendar=US grace_days=2", name="add")(add)
    command(group, "org set acme grace_days=2 tolerance_amount=0.50 --reason 'agreed with finance'", name="set")(set_policy)
    command(group, "org list", "org list --json", name="list")(list_all)
    command(group, "org policy acme", "org policy acme --as-of 2026-03-31")(policy)
    command(group, "org history acme")(history)
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
    from ptp_pipeline.domain import policy as policies
    from ptp_pipeline.ledger import orgs
    from ptp_pipeline.settings import FEEDS

    wanted = parse_changes(changes or [])
    _check_columns(policies.change(policies.Policy(), wanted))
    orgs.create_org(open_ledger(), org, operator(), currency=currency.upper(), timezone=timezone, **wanted)
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
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Change an org's policy from a day on, as the operator, an admin or a controller. Earlier versions are kept."""
    from ptp_pipeline.ledger import policies

    wanted = parse_changes(changes)
    first_day = parse_date(effective_from, "--from") if effective_from else None
    with acting(org, token) as tx:
        known = len(policies.history(tx))
        changed_policy = policies.change(tx, wanted, reason, first_day)
        _check_columns(changed_policy)
        made, *later = policies.history(tx)[known:]
    policy = changed_policy.as_json()
    also = [version.effective_from for version in later]
    if as_json:
        changed = {key: policy[key] for key in dict.fromkeys(name.split(".")[0] for name in wanted)}
        moved = {key: {"before": before, "after": after} for key, (before, after) in made.changes.items()}
        output.print_json(
            {"org": org, "version": made.version, "from": made.effective_from, "changes": moved, "changed": changed, "policy": policy,
             "also_from": also}
        )  # fmt: skip
        return
    for key, (before, after) in made.changes.items():
        print(_change(key, before, after))
    print(f"Version {made.version} of the policy of {org}, from {made.effective_from} on." if made.changes else "Nothing is different.")
    if also:
        print(f"Also in the versions that start on {', '.join(map(str, also))}.")


def policy(
    *,
    org: OrgName,
    as_of: Annotated[str, typer.Option("--as-of", metavar="DATE", help="The policy of this business date; default today.")] = "",
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Show an org's policy of a day, key by key."""
    from ptp_pipeline.domain.policy import leaves
    from ptp_pipeline.ledger import policies

    day = parse_date(as_of, "--as-of") if as_of else None
    with acting(org, token) as tx:
        version, found = policies.with_version(tx, day)
    if as_json:
        output.print_json({"org": org, "as_of": day, "version": version, "policy": found.as_json()})
        return
    output.facts({"version": version, **{key: _short(value) for key, value in leaves(found).items()}})


def history(*, org: OrgName, token: Token = "", as_json: Json = False) -> None:
    """List the versions of an org's policy: who changed what, when, why, and from which day on."""
    from ptp_pipeline.ledger import policies

    with acting(org, token) as tx:
        versions = policies.history(tx)
    if as_json:
        output.print_json([{"org": org, **vars(version)} for version in versions])
        return
    rows = [
        [v.version, v.effective_from, v.changed_by, v.changed_at, "; ".join(_change(key, *c) for key, c in v.changes.items()), v.reason]
        for v in versions
    ]
    output.table(["version", "from", "by", "at (UTC)", "changed", "why"], rows, "No versions.")


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


def _check_columns(policy: "Policy") -> None:
    """What a mapping translates to must be a column of that feed; which those are is the feeds' business and not the policy's."""
    from ptp_pipeline.feeds.mapping import simplified
    from ptp_pipeline.feeds.schemas import FEEDS

    for feed, entry in policy.feed_mappings.items():
        known = FEEDS[feed].by_name
        for theirs, ours in entry.columns.items():
            if simplified(ours) not in known:
                nearest = get_close_matches(ours, known, n=1, cutoff=0.0)[0]
                raise UsageError(
                    f"feed_mappings.{feed}.columns.{theirs}: {feed} have no column {ours!r}; the nearest is {nearest!r}.",
                    f"Their columns: {', '.join(known)}.",
                )


def _change(key: str, before: Any, after: Any) -> str:
    return f"{key}: {_plain(before)} → {_plain(after)}"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _short(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if value is None or isinstance(value, dict | list) else value
