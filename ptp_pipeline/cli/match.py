"""`ptp match`: where payments belong. People decide and take decisions back here; the next run applies them to the money.

Amounts and customers of payments are read from the newest published build, decisions from the ledger.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ptp_pipeline.cli import output, published
from ptp_pipeline.cli.frame import (
    Json,
    Org,
    Reason,
    Token,
    Yes,
    acting,
    command,
    confirm,
    launcher,
    new_group,
    parse_money,
    settings,
)
from ptp_pipeline.cli.log import begin
from ptp_pipeline.domain.text import visible
from ptp_pipeline.errors import Refused, UsageError, WorkFailed

if TYPE_CHECKING:
    from ptp_pipeline.ledger.connection import Transaction
    from ptp_pipeline.ledger.overrides import DecidedPart, Part

Payment = Annotated[str, typer.Argument(metavar="PAYMENT", help="The payment, as published.")]
MaybePayment = Annotated[str, typer.Argument(metavar="[PAYMENT]", show_default=False, help="Only this payment.")]
Commitment = Annotated[str, typer.Argument(metavar="COMMITMENT", help="Where it belongs.")]
Parts = Annotated[
    list[str], typer.Argument(metavar="COMMITMENT=AMOUNT…", help="Two parts or more, in order; aside=AMOUNT sets a part aside.")
]
Limit = Annotated[int, typer.Option(min=1, help="How many payments to show.")]
_ASIDE = "aside"


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    group = new_group("Say where payments belong: assign, split, set aside, undo; see what is suggested and accept it.")
    command(group, "match assign PAY-1001 PL-7 --org acme --reason 'remittance advice names this plan'")(assign)
    command(
        group,
        "match split PAY-1001 PL-7=60.00 PL-8=40.00 --org acme --reason 'one transfer for two plans'",
        "match split PAY-1001 PL-7=60.00 aside=40.00 --org acme --reason 'the rest is a deposit'",
    )(split)
    command(group, "match aside PAY-1001 --org acme --reason 'not ours, will be sent back'")(aside)
    command(group, "match undo PAY-1001 --org acme --reason 'the rules had it right'")(undo)
    command(group, "match list --org acme", "match list --stale --org acme", name="list")(list_decisions)
    command(group, "match suggest --org acme", "match suggest PAY-1001 --org acme")(suggest)
    command(
        group,
        "match accept PAY-1001 --org acme",
        "match accept PAY-1001 --rank 2 --org acme --reason 'confirmed on the phone'",
        "match accept --all --min-score 80 --org acme --reason 'weekly review' --yes",
    )(accept)
    app.add_typer(group, name="match")


# deciding ---------------------------------------------------------------------------------------------------------------


def assign(*, payment_id: Payment, commitment_id: Commitment, org: Org, reason: Reason, token: Token = "", as_json: Json = False) -> None:
    """Send a payment to a commitment. Goes before every rule of matching; the newest decision counts."""
    from ptp_pipeline.ledger import overrides

    who = begin(org, token)
    with published.open_build(settings(), org) as build:
        payment = _payment(build, org, payment_id)
    with who.ledger.transaction(org, who.actor) as tx:
        overrides.set_target(tx, payment_id, commitment_id, reason)
        warnings = _warnings(tx, payment, [commitment_id])
    _say(org, f"{payment_id} is sent to {commitment_id}.", warnings, as_json, payment_id=payment_id, commitment_id=commitment_id)


def split(*, payment_id: Payment, parts: Parts, org: Org, reason: Reason, token: Token = "", as_json: Json = False) -> None:
    """Divide a payment by hand. The parts must add up to its amount; they are applied in the order given."""
    from ptp_pipeline.ledger import overrides

    who = begin(org, token)
    with published.open_build(settings(), org) as build:
        payment = _payment(build, org, payment_id)
    divided = _parse_parts(parts, payment)
    with who.ledger.transaction(org, who.actor) as tx:
        overrides.split(tx, payment_id, divided, reason)
        warnings = _warnings(tx, payment, [part.commitment_id for part in divided])
    currency = payment["currency"]
    words = ", ".join(f"{output.minor_money(p.amount_minor, currency)} {_place(p.commitment_id)}" for p in divided)
    _say(org, f"{payment_id} is split: {words}.", warnings, as_json, payment_id=payment_id, parts=_documents(divided, currency))


def aside(*, payment_id: Payment, org: Org, reason: Reason, token: Token = "", as_json: Json = False) -> None:
    """Set a payment aside: it counts toward nothing, and is no longer listed as unmatched."""
    from ptp_pipeline.ledger import overrides

    who = begin(org, token)
    with published.open_build(settings(), org) as build:
        _payment(build, org, payment_id)
    with who.ledger.transaction(org, who.actor) as tx:
        overrides.set_target(tx, payment_id, None, reason)
    _say(org, f"{payment_id} is set aside.", [], as_json, payment_id=payment_id, commitment_id=None)


def undo(*, payment_id: Payment, org: Org, reason: Reason, token: Token = "", as_json: Json = False) -> None:
    """Take the decision on a payment back: the rules of matching hold for it again."""
    from ptp_pipeline.ledger import overrides

    who = begin(org, token)
    with who.ledger.transaction(org, who.actor) as tx:
        overrides.undo(tx, payment_id, reason)
    _say(org, f"The decision on {payment_id} is undone.", [], as_json, payment_id=payment_id, undone=True)


def _payment(build: published.Build, org: str, payment_id: str) -> published.Row:
    """The ledger knows no payments, so a mistyped id would be a decision that never takes effect. Raises UsageError, Refused."""
    rows = build.rows("select payment_id, customer_id, currency, kind, amount from payments where payment_id = $id", {"id": payment_id})
    if not rows:
        raise UsageError(f"There is no published payment {payment_id!r}.", f"Ids are exact. Received since? {launcher()} run --org {org}")
    if rows[0]["kind"] != "payment":
        raise Refused(f"{payment_id} is a {rows[0]['kind']}: it goes where the payment it takes back went.", "Decide on that payment.")
    return rows[0]


def _parse_parts(texts: Sequence[str], payment: published.Row) -> "list[Part]":
    """Parts that add up to the payment. Raises UsageError, saying the difference."""
    from ptp_pipeline.domain.money import to_minor
    from ptp_pipeline.ledger.overrides import Part

    parts: list[Part] = []
    for text in texts:
        name, equals, amount = text.rpartition("=")
        if not equals or not name:
            raise UsageError(f"{text!r} is not a part.", f"Write COMMITMENT=AMOUNT, or {_ASIDE}=AMOUNT.")
        target = None if name.lower() == _ASIDE else name
        parts.append(Part(target, parse_money(amount, payment["currency"], f"The part of {name}")))
    targets = [part.commitment_id for part in parts]
    if len(set(targets)) < len(targets):
        raise UsageError("A place is named twice.", "One part for each commitment, and one set aside.")
    total, amount_minor = sum(part.amount_minor for part in parts), to_minor(payment["amount"], payment["currency"])
    if total != amount_minor:
        said = [output.minor_money(minor, payment["currency"]) for minor in (total, amount_minor, abs(amount_minor - total))]
        raise UsageError(
            f"The parts add up to {said[0]}, but {payment['payment_id']} is {said[1]}: {said[2]}"
            f" {'are missing' if total < amount_minor else 'too much'}.",
            f"Set a rest aside with {_ASIDE}=AMOUNT.",
        )
    return parts


def _warnings(tx: "Transaction", payment: published.Row, commitment_ids: Sequence[str | None]) -> list[str]:
    """Why the next run will not apply it: the decision stands, but money never goes to another customer or currency."""
    rows = tx.all(
        "select commitment_id, customer_id, currency from ptp.commitment where commitment_id = any (%s::text[]) order by 1",
        [[name for name in commitment_ids if name is not None]],
    )
    return [
        f"{row['commitment_id']} is of customer {row['customer_id']} in {row['currency']}, the payment of {payment['customer_id']} in"
        f" {payment['currency']}: the money will stay unapplied until that is corrected at the source."
        for row in rows
        if (row["customer_id"], row["currency"]) != (payment["customer_id"], payment["currency"])
    ]


def _say(org: str, done: str, warnings: list[str], as_json: bool, **document: Any) -> None:
    if as_json:
        output.print_json({**document, "warnings": warnings})
        return
    print(f"{done} Published figures change with the next run: {launcher()} run --org {org}")
    for warning in warnings:
        print(f"! {visible(warning)}")


def _place(commitment_id: str | None) -> str:
    return f"to {commitment_id}" if commitment_id else "set aside"


def _documents(parts: "Sequence[Part]", currency: str) -> list[dict[str, Any]]:
    from ptp_pipeline.domain.money import to_decimal

    return [
        {"part": n, "commitment_id": p.commitment_id, "amount": to_decimal(p.amount_minor, currency), "currency": currency}
        for n, p in enumerate(parts, 1)
    ]


# looking ----------------------------------------------------------------------------------------------------------------


def list_decisions(
    *,
    org: Org,
    stale: Annotated[bool, typer.Option("--stale", help="Only those that do not work out.")] = False,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """List the decisions in effect. Stale ones, whose payment or target is gone or does not fit, say why and what to do."""
    from ptp_pipeline.ledger import overrides

    with acting(org, token) as tx:
        decided = overrides.in_effect(tx)
    rows = [row for row in _with_state(org, decided) if row["state"] == "stale" or not stale]
    if as_json:
        output.print_json({"org": org, "decisions": rows})
        return
    cells = [
        [r["payment_id"], r["part"], _place(r["commitment_id"]), output.money(r["amount"], r["currency"]) if r["currency"] else "",
         r["decided_by"], r["decided_at"], r["state"], r["problem"] or r["reason"]]
        for r in rows
    ]  # fmt: skip
    output.table(
        ["payment", "part", "goes", "amount", "by", "when (UTC)", "state", "why"], cells, "None is stale." if stale else "No decisions."
    )


def _with_state(org: str, decided: "Sequence[DecidedPart]") -> list[published.Row]:
    """Decisions of the ledger with what the newest run made of them: applied, stale, or not seen by it yet."""
    from datetime import UTC

    seen: dict[tuple[Any, ...], published.Row] = {}
    if settings().current_build(org).exists():
        with published.open_build(settings(), org) as build:
            if "decisions" in build.tables():
                seen = {(r["payment_id"], r["part"], r["decided_at"]): r for r in build.rows("from decisions")}
    rows = []
    for part in decided:
        at = part.decided_at.astimezone(UTC).replace(tzinfo=None)
        row = seen.get((part.payment_id, part.part, at))
        state = "next run" if row is None else "stale" if row["is_stale"] else "applied"
        rows.append(
            {
                "payment_id": part.payment_id,
                "part": part.part,
                "commitment_id": part.commitment_id,
                "amount": row and row["amount"],
                "currency": row and row["currency"],
                "decided_by": part.decided_by,
                "decided_at": at,
                "reason": part.reason,
                "state": state,
                "problem": row and row["problem"],
            }
        )
    return rows


_SUGGESTIONS = """
from suggestions
where ($id = '' or payment_id = $id)
order by max(score) over (partition by payment_id) desc, payment_id, rank
"""


def suggest(*, payment_id: MaybePayment = "", org: Org, limit: Limit = 20, as_json: Json = False) -> None:
    """Show where unmatched payments may belong, best first, and what speaks for it."""
    with published.open_build(settings(), org) as build:
        rows = _suggestions(build, org, payment_id)
        if payment_id and not rows:
            _payment(build, org, payment_id)
    shown = list(dict.fromkeys(row["payment_id"] for row in rows))[:limit]
    rows = [row for row in rows if row["payment_id"] in shown]
    if as_json:
        output.print_json({"org": org, "as_of": build.as_of, "suggestions": rows})
        return
    cells = [
        [r["payment_id"], r["customer_id"], output.money(r["amount"], r["currency"]), r["rank"], r["commitment_id"], r["score"],
         "yes" if r["is_acceptable"] else "no", r["reasons"]]
        for r in rows
    ]  # fmt: skip
    output.table(["payment", "customer", "amount", "rank", "commitment", "score", "acceptable", "reasons"], cells, "Nothing to suggest.")
    for correction in dict.fromkeys(f"{r['commitment_id']}: {r['correction']}" for r in rows if payment_id and r["correction"]):
        print(f"! {visible(correction)}")
    for note in sorted({r["note"] for r in rows if r["note"]}):
        print(f"! {note}")
    if any(row["is_acceptable"] for row in rows):
        print(f"\nAccept one: {launcher()} match accept PAYMENT --org {org}")


def _suggestions(build: published.Build, org: str, payment_id: str = "") -> list[published.Row]:
    if "suggestions" not in build.tables():
        raise WorkFailed("The newest build has no suggestions yet.", f"Run: {launcher()} run --org {org}")
    return build.rows(_SUGGESTIONS, {"id": payment_id})


# accepting --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Acceptance:
    """A suggestion somebody accepts: the payment as a whole (`parts` empty), or what is left of it beside what has its place."""

    suggestion: published.Row
    parts: tuple["Part", ...]
    reason: str

    @property
    def payment_id(self) -> str:
        return str(self.suggestion["payment_id"])


def accept(
    *,
    payment_id: MaybePayment = "",
    org: Org,
    rank: Annotated[int, typer.Option(min=1, help="Which of its suggestions.")] = 1,
    accept_all: Annotated[bool, typer.Option("--all", help="The best one of every payment that has one good enough.")] = False,
    min_score: Annotated[int, typer.Option(min=0, max=100, help="With --all: how good is good enough.")] = 80,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept with what the suggestion says.")] = "",
    token: Token = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Decide as suggested. What of the payment has its place stays there; the rest goes where the suggestion says."""
    from ptp_pipeline.ledger import overrides

    if bool(payment_id) == accept_all:
        raise UsageError("Name a PAYMENT, or give --all.", "One of the two.")
    if accept_all and not reason.strip():
        raise UsageError("Accepting many needs a reason.", "Add --reason.")
    who = begin(org, token)
    with who.ledger.transaction(org, who.actor) as tx:
        decided = {part.payment_id for part in overrides.in_effect(tx)}
    with published.open_build(settings(), org) as build:
        rows = _suggestions(build, org, payment_id)
        chosen, left = _best(rows, min_score, decided) if accept_all else ([_one(build, org, payment_id, rank, rows)], [])
        accepted = [_acceptance(build, row, reason) for row in chosen]
    if accept_all and not as_json:
        _show(accepted, left)
    if not accepted:
        raise Refused("No suggestion can be accepted.", f"`{launcher()} match suggest` shows those there are.")
    if accept_all:
        confirm(f"Accept these {len(accepted)}?", yes=yes)
    with who.ledger.transaction(org, who.actor) as tx:
        for one in accepted:
            if one.parts:
                overrides.split(tx, one.payment_id, one.parts, one.reason)
            else:
                overrides.set_target(tx, one.payment_id, one.suggestion["commitment_id"], one.reason)
    if as_json:
        output.print_json(
            {
                "org": org,
                "accepted": [
                    {"payment_id": a.payment_id, "commitment_id": a.suggestion["commitment_id"], "score": a.suggestion["score"],
                     "reason": a.reason, "parts": _documents(a.parts, a.suggestion["currency"])}
                    for a in accepted
                ],
                "left": [{"payment_id": row["payment_id"], "why": why} for row, why in left],
            }
        )  # fmt: skip
        return
    if not accept_all:
        print(f"{accepted[0].payment_id}: {_in_words(accepted[0])}.")
    print(f"{len(accepted)} accepted. Published figures change with the next run: {launcher()} run --org {org}")


def _one(build: published.Build, org: str, payment_id: str, rank: int, rows: list[published.Row]) -> published.Row:
    """The suggestion of this rank. Raises UsageError when there is none, Refused when nobody may accept it."""
    found = next((row for row in rows if row["rank"] == rank), None)
    if found is None:
        _payment(build, org, payment_id)
        raise UsageError(f"{payment_id} has no suggestion of rank {rank}.", f"{launcher()} match suggest {payment_id} --org {org}")
    if not found["is_acceptable"]:
        raise Refused(f"{found['commitment_id']} cannot take {payment_id} as it stands. {found['correction']}")
    return found


def _best(rows: list[published.Row], min_score: int, decided: set[str]) -> tuple[list[published.Row], list[tuple[published.Row, str]]]:
    """The first suggestion of each payment if it is good enough and nothing speaks against taking it unseen; the others with why not."""
    by_payment: dict[str, list[published.Row]] = {}
    for row in rows:
        by_payment.setdefault(row["payment_id"], []).append(row)
    firsts = sorted(by_payment.values(), key=lambda found: (-found[0]["score"], found[0]["received_date"], found[0]["payment_id"]))
    chosen: list[published.Row] = []
    left: list[tuple[published.Row, str]] = []
    taken: dict[tuple[Any, ...], str] = {}
    for first, *others in firsts:
        line = (first["commitment_id"], first["version"], first["sequence"])
        if first["score"] < min_score:
            continue
        if not first["is_acceptable"]:
            left.append((first, str(first["correction"])))
        elif first["payment_id"] in decided:
            left.append((first, "somebody decided on it"))
        elif others and others[0]["score"] == first["score"]:
            left.append((first, f"{others[0]['commitment_id']} is as good"))
        elif line in taken:
            left.append((first, f"{taken[line]} is as good for the same installment"))
        else:
            taken[line] = first["payment_id"]
            chosen.append(first)
    return chosen, left


def _acceptance(build: published.Build, suggestion: published.Row, reason: str) -> _Acceptance:
    """What is recorded. Money of the payment that pays something else already stays there, so the decision is then a split."""
    from ptp_pipeline.domain.money import to_minor
    from ptp_pipeline.ledger.overrides import MAX_PARTS, Part

    says = f"Suggested with score {suggestion['score']}: {suggestion['reasons']}."
    made = _Acceptance(suggestion, (), f"{reason.strip()} ({says})" if reason.strip() else says)
    key = {"id": suggestion["payment_id"]}
    (payment,) = build.rows("select amount, unapplied_amount from payments where payment_id = $id", key)
    if not payment["unapplied_amount"]:  # it named something unknown, and all of it moves
        return made
    held = build.rows(
        "select commitment_id, sum(amount) as amount from allocations where payment_id = $id group by 1 order by min(received_date), 1", key
    )
    if not held:
        return made
    rest: Decimal = payment["amount"] - sum(row["amount"] for row in held)
    if len(held) >= MAX_PARTS:
        raise Refused(f"{made.payment_id} pays {len(held)} commitments; a payment has {MAX_PARTS} parts at most.", "Split it by hand.")
    places = [(row["commitment_id"], row["amount"]) for row in held] + [(suggestion["commitment_id"], rest)]
    return replace(made, parts=tuple(Part(name, to_minor(amount, suggestion["currency"])) for name, amount in places))


def _in_words(acceptance: _Acceptance) -> str:
    currency = acceptance.suggestion["currency"]
    if acceptance.parts:
        return ", ".join(f"{output.minor_money(p.amount_minor, currency)} {_place(p.commitment_id)}" for p in acceptance.parts)
    return _place(acceptance.suggestion["commitment_id"])


def _show(accepted: list[_Acceptance], left: list[tuple[published.Row, str]]) -> None:
    output.heading("To be accepted")
    cells = [
        [a.payment_id, output.money(a.suggestion["amount"], a.suggestion["currency"]), _in_words(a), a.suggestion["score"],
         a.suggestion["reasons"]]
        for a in accepted
    ]  # fmt: skip
    output.table(["payment", "amount", "goes", "score", "reasons"], cells)
    if left:
        output.heading("Left for you to look at")
        output.table(["payment", "commitment", "why"], [[row["payment_id"], row["commitment_id"], why] for row, why in left])
