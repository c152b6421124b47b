"""`ptp pending`, `approve`, `reject`, `send-back` and `approval-code`. The gate itself is in the ledger; here is only the asking."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ptp_pipeline import previews
from ptp_pipeline.cli import output
from ptp_pipeline.cli.frame import (
    Json,
    Org,
    Reason,
    Token,
    Yes,
    command,
    confirm,
    launcher,
    open_ledger,
    operator,
    person,
    person_or_operator,
    require_org,
    settings,
)
from ptp_pipeline.domain.text import visible
from ptp_pipeline.errors import Refused, UsageError

if TYPE_CHECKING:
    from ptp_pipeline.domain.policy import Policy
    from ptp_pipeline.ledger.commitments import PendingItem
    from ptp_pipeline.ledger.connection import Actor, Ledger

Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID…]", show_default=False, help="Commitments; ID@2 names version 2.")]
AllPending = Annotated[bool, typer.Option("--pending", help="All that wait and that you may decide on.")]
Code = Annotated[str, typer.Option(metavar="CODE", show_default=False, help="A one-time approval code instead of a token.")]
User = Annotated[str, typer.Option(metavar="USER", help="Whose code it is.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    command(app, "pending --org acme")(pending)
    command(app, "approve PL-7 --org acme --reason 'terms as discussed'", "approve --pending --org acme --reason 'weekly review' --yes")(
        approve
    )
    command(app, "reject PL-7 --org acme --reason 'discount not agreed'")(reject)
    command(app, "send-back PL-7 --org acme --reason 'which invoices does it cover?'", name="send-back")(send_back)
    command(app, "approval-code PL-7 PL-8 --org acme", "approval-code --pending --org acme", name="approval-code")(approval_code)


def pending(*, org: Org, token: Token = "", as_json: Json = False) -> None:
    """List what waits for a decision: terms, schedule, what would change, where the customer stands, and what policy says."""
    from ptp_pipeline.ledger import approvals

    ledger = open_ledger()
    require_org(ledger, org)
    actor = person_or_operator(ledger, org, token)
    items, policy, _ = _waiting(ledger, org, actor, actor.name)
    shown = previews.previews(settings(), items, policy)
    if as_json:
        output.print_json([_document(item, preview) for item, preview in zip(items, shown, strict=True)])
        return
    for item, preview in zip(items, shown, strict=True):
        _show_item(item, preview)
    with ledger.transaction(org, actor) as tx:
        print(f"\n{previews.turnaround_in_words(approvals.turnaround(tx))}")
    if items:
        print(f"{len(items)} waiting. Decide: {launcher()} approve ID --org {org} --reason TEXT, or reject, or send-back.")
    else:
        print("Nothing waits for a decision.")


def approve(
    *,
    org: Org,
    reason: Reason,
    ids: Ids = None,
    token: Token = "",
    code: Code = "",
    user: User = "",
    all_pending: AllPending = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Approve terms: they become active, and their schedule starts. Whoever logged them cannot."""
    _decide(
        "approve",
        org=org,
        ids=ids or [],
        reason=reason,
        token=token,
        code=code,
        user=user,
        all_pending=all_pending,
        yes=yes,
        as_json=as_json,
    )


def reject(
    *,
    org: Org,
    reason: Reason,
    ids: Ids = None,
    token: Token = "",
    code: Code = "",
    user: User = "",
    all_pending: AllPending = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Reject terms. Other terms need a new version."""
    _decide(
        "reject",
        org=org,
        ids=ids or [],
        reason=reason,
        token=token,
        code=code,
        user=user,
        all_pending=all_pending,
        yes=yes,
        as_json=as_json,
    )


def send_back(
    *,
    org: Org,
    reason: Reason,
    ids: Ids = None,
    token: Token = "",
    code: Code = "",
    user: User = "",
    all_pending: AllPending = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Send terms back to their author: not as they are. Logged again, with changes or with the answer, they wait again."""
    _decide(
        "send_back",
        org=org,
        ids=ids or [],
        reason=reason,
        token=token,
        code=code,
        user=user,
        all_pending=all_pending,
        yes=yes,
        as_json=as_json,
    )


def approval_code(*, org: Org, ids: Ids = None, token: Token = "", all_pending: AllPending = False, as_json: Json = False) -> None:
    """Print a one-time code to decide on exactly these terms elsewhere, for instance in the Dagster UI. It is shown this once."""
    from ptp_pipeline.ledger import approvals

    ledger = open_ledger()
    require_org(ledger, org)
    actor = person(ledger, org, token)
    waiting, policy, by_others = _waiting(ledger, org, actor, actor.name)
    mine = _mine("approve", waiting, [policy, *by_others], actor) if all_pending else {}
    chosen, left = _choose(waiting, ids or [], all_pending=all_pending, mine=mine)
    with ledger.transaction(org, actor) as tx:
        items = [(i.commitment_id, i.version) for i in chosen]
        issued = approvals.issue_code(tx, items, policy.approval.code_hours, previews.to_approve(settings(), chosen, policy))
    names = [f"{i.commitment_id}@{i.version}" for i in chosen]
    if as_json:
        output.print_json({"org": org, "user": actor.name, "code": issued, "hours": policy.approval.code_hours, "items": names})
        return
    print(issued)
    print(f"For {actor.name}, good once within {policy.approval.code_hours} hours, for {', '.join(names)}.")
    _say_left(left)


def _waiting(ledger: "Ledger", org: str, actor: "Actor", name: str) -> "tuple[list[PendingItem], Policy, list[Policy]]":
    """What waits, policy, and the policy that this person did not change where that is another."""
    from ptp_pipeline.ledger import commitments, policies

    with ledger.transaction(org, actor) as tx:
        by_others = policies.by_others(tx, name)
        return commitments.pending(tx), policies.current(tx), [by_others] if by_others else []


def _decide(
    decision: str, *, org: str, ids: list[str], reason: str, token: str, code: str, user: str, all_pending: bool, yes: bool, as_json: bool
) -> None:
    from ptp_pipeline.ledger import approvals

    if bool(code) != bool(user):
        raise UsageError("--code and --user go together: the code and whose it is.", "Or leave both out and use --token.")
    ledger = open_ledger()
    require_org(ledger, org)
    actor = _with_code(ledger, org, user) if code else person(ledger, org, token)
    waiting, policy, by_others = _waiting(ledger, org, operator() if code else actor, actor.name)
    mine = _mine(decision, waiting, [policy, *by_others], actor) if all_pending else {}
    chosen, left = _choose(waiting, ids, all_pending=all_pending, mine=mine)
    schedules = previews.to_approve(settings(), chosen, policy) if decision == "approve" else {}
    if len(chosen) > 1 and not as_json:
        _show_batch(chosen, policy)
        _say_left(left)
    if all_pending:
        confirm(f"{_VERBS[decision].capitalize()} these {len(chosen)}?", yes=yes)
    items = [(i.commitment_id, i.version) for i in chosen]
    if code:
        decided = approvals.decide_with_code(ledger, org, user, code, items, decision, reason, "cli", schedules)
    else:
        with ledger.transaction(org, actor) as tx:
            decided = approvals.decide(tx, items, decision, reason, "cli", schedules)
    done = _DONE[decision]
    if as_json:
        left_names = [{"commitment_id": i.commitment_id, "version": i.version, "why": why} for i, why in left]
        output.print_json({"org": org, "decision": decision, "decided": [vars(d) for d in decided], "left": left_names})
        return
    for d in decided if len(decided) <= _FEW else []:
        print(f"{d.commitment_id} version {d.version} {done} by {d.decided_by}, after {d.business_hours:g} business hours.")
    print(f"{len(decided)} {done}. Published figures change with the next run: {launcher()} run --org {org}")


_FEW = 20
_VERBS = {"approve": "approve", "reject": "reject", "send_back": "send back"}
_DONE = {"approve": "approved", "reject": "rejected", "send_back": "sent back"}


def _with_code(ledger: "Ledger", org: str, user: str) -> "Actor":
    """Who a code claims to be for: enough to look up what they may decide; the ledger checks the code itself."""
    from ptp_pipeline.ledger import users
    from ptp_pipeline.ledger.connection import Actor

    with ledger.transaction(org, operator()) as tx:
        roles = {u.user_name: u.role for u in users.list_users(tx)}
    if user not in roles:
        raise Refused("This approval code is not valid for this person.", "Check --user and --org.")
    return Actor(name=user, role=roles[user], auth="code", origin="cli")


def _choose(
    waiting: "Sequence[PendingItem]", ids: list[str], *, all_pending: bool, mine: "dict[tuple[str, int], str]"
) -> "tuple[list[PendingItem], list[tuple[PendingItem, str]]]":
    """What is meant, and with --pending what is left for others and why. Named ones go to the gate whoever asks: it says why not."""
    if bool(ids) == all_pending:
        raise UsageError("Name the commitments, or give --pending for all that wait.", "Not both.")
    if all_pending:
        chosen = [i for i in waiting if not mine[i.commitment_id, i.version]]
        left = [(i, mine[i.commitment_id, i.version]) for i in waiting if mine[i.commitment_id, i.version]]
        if not chosen:
            why = f" {len(left)} wait for others: {left[0][1]}." if left else ""
            raise Refused(f"Nothing waits that you may decide on.{why}", f"`{launcher()} pending` lists what waits.")
        return chosen, left
    known = {name: i for i in waiting for name in (i.commitment_id, f"{i.commitment_id}@{i.version}")}
    missing = [name for name in ids if name not in known]
    if missing:
        raise Refused(f"Not waiting for a decision: {', '.join(missing)}.", f"`{launcher()} pending` lists what waits.")
    return list({(known[name].commitment_id, known[name].version): known[name] for name in ids}.values()), []


def _mine(decision: str, waiting: "Sequence[PendingItem]", held: "Sequence[Policy]", who: "Actor") -> dict[tuple[str, int], str]:
    """By item, why this person may not decide on it; empty when they may. `held` are the policies the gate holds them to: today's, and
    today's but for what they changed. The ledger has the last word.
    """
    from ptp_pipeline.domain.policy import APPROVERS
    from ptp_pipeline.domain.terms import caps_exceeded

    reasons: dict[tuple[str, int], str] = {}
    for item in waiting:
        beyond = [
            broken
            for policy in held
            for broken in caps_exceeded(item.terms, policy.approval.caps.get(who.role), item.standing)  # type: ignore[call-overload]
            if decision == "approve"
        ]
        if who.role not in APPROVERS:
            why = f"a {who.role} decides on no terms"
        elif who.name in item.barred:
            why = f"{who.name} {item.barred[who.name].rstrip(',')}"
        else:
            why = beyond[0] if beyond else ""
        reasons[item.commitment_id, item.version] = why
    return reasons


def _show_item(item: "PendingItem", preview: previews.Preview) -> None:
    output.heading(f"{item.commitment_id} version {item.version}: {item.terms.kind.replace('_', ' ')} of {item.customer_id}")
    for line in preview.lines:
        output.paragraph(line)
    output.table(previews.SCHEDULE, previews.schedule_rows(preview.schedule, item.terms.currency))
    for rule in item.guardrails:
        print(f"! {visible(rule)}")


def _show_batch(chosen: "Sequence[PendingItem]", policy: "Policy") -> None:
    output.heading("To be decided")
    output.table(["kind", "count", "amount"], previews.totals(chosen))
    output.heading("Look at these")
    rows = [[i.commitment_id, i.customer_id, previews.terms_in_words(i.terms), why] for i, why in previews.outliers(chosen, policy)]
    output.table(["commitment", "customer", "terms", "why"], rows, "Nothing stands out.")


def _say_left(left: "Sequence[tuple[PendingItem, str]]") -> None:
    if left:
        output.heading("Left for others")
        output.table(["commitment", "customer", "why"], [[i.commitment_id, i.customer_id, why] for i, why in left])


def _document(item: "PendingItem", preview: previews.Preview) -> dict[str, Any]:
    return {
        "commitment_id": item.commitment_id,
        "version": item.version,
        "customer_id": item.customer_id,
        "owner": item.owner,
        "logged_by": item.logged_by,
        "logged_at": item.logged_at,
        "reason": item.reason,
        "note": item.note,
        "waiting_business_hours": preview.waiting_hours,
        "terms_digest": item.terms_digest,
        "terms": item.terms.model_dump(mode="json"),
        "guardrails": item.guardrails,
        "changes": preview.changes,
        "replaces_version": item.replaces,
        "exposure": previews.exposure_document(preview.exposure, item.terms.currency),
        "schedule": previews.schedule_document(preview.schedule, item.terms.currency),
    }
