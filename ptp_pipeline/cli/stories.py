"""What `ptp show` tells about one payment or one commitment: sentences and short tables over published rows."""

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ptp_pipeline.cli import output
from ptp_pipeline.cli.frame import launcher
from ptp_pipeline.cli.published import Row
from ptp_pipeline.domain.text import visible

if TYPE_CHECKING:
    from ptp_pipeline.warehouse.whatif import Alternative, Place

_ROUTED = {
    "override": "a person's decision",
    "commitment_id": "the commitment on the row",
    "invoice_id": "the invoice on the row",
    "reference": "its reference",
    "exact_amount": "exact amount",
    "only_commitment": "the only commitment",
    "oldest_due": "oldest due",
}
_LAID_OUT = {
    "past_due": "past due",
    "due_that_day": "due that day",
    "next": "surplus: next",
    "last": "surplus: last",
    "spread": "surplus: spread",
    "held": "held until due",
    "carried": "carried over",
}
_WITHOUT = {
    "override": "Without the decision by hand",
    "commitment_id": "Without the commitment named on the row",
    "invoice_id": "Without the invoice named on the row",
    "reference": "Without what its reference names",
    "exact_amount": "Were it not exactly the amount of an installment",
}
_RULES = {
    "next": "what is more than is due pays the next installments",
    "last": "what is more than is due pays from the final installment backwards",
    "spread": "what is more than is due is spread evenly",
    "hold": "what is more than is due is held as credit until something falls due",
}
_STAGES = ("none", "stage_1", "exec")
# What terms are compared by, and how they are called.
_TERMS = {
    "payable_amount": "to be paid",
    "discount_amount": "discount",
    "installment_count": "installments",
    "frequency": "frequency",
    "first_due_date": "first due",
    "overpayment_rule": "overpayment rule",
    "invoice_ids": "invoices",
}


# payments ---------------------------------------------------------------------------------------------------------------


def payment(found: Row, org: str) -> None:
    """One payment, from where it came to what would have happened otherwise."""
    row = found["payment"]
    print(f"{row['kind'].capitalize()} {visible(row['payment_id'])}, as of {found['as_of']}: {_words(row['match_status'])}")
    output.paragraph(_arrival(row))
    figures = [output.money(row[f"{part}_amount"], row["currency"]) for part in ("allocated", "unapplied", "reversed")]
    output.paragraph("Applied {}, not applied {}, gone back {}.".format(*figures))
    output.paragraph(row["reason"])
    _part("Decided by people", [_decision(decision, row["currency"]) for decision in found["decisions"]])
    if found["allocations"]:
        output.heading("Where it went")
        output.table(
            ["amount", "to", "due", "timing", "laid out as", "routed by"],
            [[output.money(a["amount"], a["currency"]), _installment(a), a["due_date"], *_how(a)] for a in found["allocations"]],
        )
        for allocation in found["allocations"]:
            output.paragraph(allocation["explanation"], indent=2)
    told = {r["returned_by"] for r in found["returns"]} | {c["payment_id"] for c in found["chargebacks"]}
    went_back = [_returned(r, row["payment_id"]) for r in found["returns"]] + [_charged_back(c) for c in found["chargebacks"]]
    _part("What went back", went_back + [_in_vain(r) for r in found["reversed_by"] if r["payment_id"] not in told])
    _part("Where it may belong", [f"{s['rank']}. {s['commitment_id']}, score {s['score']}: {s['reasons']}" for s in found["suggestions"]])
    if any(s["is_acceptable"] for s in found["suggestions"]):
        print(f"  Accept one: {launcher()} match accept {visible(row['payment_id'])} --org {org}")
    if row["kind"] == "payment":
        _part("What would have happened otherwise", _otherwise_lines(found))


def _part(title: str, sentences: Sequence[str]) -> None:
    """A part of the story; nothing at all when there is nothing to tell."""
    if sentences:
        output.heading(title)
    for sentence in sentences:
        output.paragraph(sentence, indent=2)


def _otherwise_lines(found: Row) -> list[str]:
    if found["otherwise_problem"]:
        return [f"That cannot be said now. {found['otherwise_problem']}"]
    return [one["text"] for one in found["otherwise"]] or ["Nothing else: no rule of matching had a say."]


def _how(allocation: Row) -> list[str]:
    return [_words(allocation["timing"]), _LAID_OUT[allocation["laid_out_as"]], _ROUTED[allocation["matched_by"]]]


def _arrival(row: Row) -> str:
    said = f"{output.money(row['amount'], row['currency'])} of customer {row['customer_id']}, dated {_day(row['received_date'])}"
    said += f", by {row['method']}" if row["method"] else ""
    named = {"commitment": "commitment_id", "invoice": "invoice_id", "payment": "reverses_payment_id", "reference": "reference"}
    names = [f"{what} {row[column]!r}" for what, column in named.items() if row[column]]
    said += f". The row names {', '.join(names)}" if names else ""
    file = row["file_name"] or f"the file {row['file_sha256'][:12]}"
    return f"{said}. It is line {row['line_number']} of {file}."


def _decision(row: Row, currency: str) -> str:
    place = f"to {row['commitment_id']}" if row["commitment_id"] else "set aside"
    said = f"{output.money(row['amount'], currency)} {place}: {row['decided_by']} on {visible(row['decided_at'])} UTC"
    said += f", {row['reason']!r}."
    return f"{said} ! {row['problem']}" if row["problem"] else said


def _returned(row: Row, seen_from: str) -> str:
    amount = output.money(row["amount"], row["currency"]) + ("" if seen_from == row["payment_id"] else f" of {row['payment_id']}")
    covered = ", taken from unapplied money" if row["kind"] != "reversal" else ""
    return f"{amount} went back on {_day(row['returned_on'])} by {row['kind']} {row['returned_by']}{covered}."


def _charged_back(row: Row) -> str:
    added = "the added " if row["is_added"] else ""
    return (
        f"{output.money(row['amount'], row['currency'])} was charged back on {_day(row['charged_back_on'])} by {row['payment_id']}"
        f" (payment {row['charged_payment_id']} stays applied): it has to be paid again, on {added}{_installment(row)},"
        f" due {_day(row['due_date'])}."
    )


def _in_vain(row: Row) -> str:
    return f"{row['kind'].capitalize()} {row['payment_id']} of {_day(row['received_date'])}: {row['reason']}"


# otherwise --------------------------------------------------------------------------------------------------------------


def otherwise(alternatives: "Iterable[Alternative]", currency: str) -> list[Row]:
    """Each alternative in words and figures; rules that come to the same are told once."""
    from ptp_pipeline.domain.money import to_decimal

    told: dict[Any, Row] = {}
    for one in alternatives:
        change = one.change
        key = (change.fact, change.commitment_id, change.version, one.otherwise)
        if key in told:
            told[key]["becomes"].append(change.becomes)
        else:
            places = [
                {"commitment_id": p.commitment_id, "version": p.version, "sequence": p.sequence, "due_date": p.due_date,
                 "amount": to_decimal(p.amount_minor, currency), "applied_on": p.applied_on, "matched_by": p.matched_by}
                for p in one.otherwise
            ]  # fmt: skip
            told[key] = {
                "fact": change.fact,
                "commitment_id": change.commitment_id or None,
                "version": change.version or None,
                "was": change.was or None,
                "becomes": [change.becomes] if change.becomes else [],
                "would_change": bool(one.gained() or one.lost()),
                "allocations": places,
                "text": _otherwise(one, currency),
            }
    for row in told.values():
        row["text"] = f"{_condition(row)}, {row['text']}."
    return list(told.values())


def _condition(row: Row) -> str:
    if row["fact"] != "overpayment_rule":
        return _WITHOUT[row["fact"]]
    *others, last = row["becomes"]
    rules = f"{', '.join(others)} or {last}" if others else last
    version = f" (version {row['version']})" if row["version"] > 1 else ""
    return f"With rule {rules} instead of {row['was']} on {row['commitment_id']}{version}"


# More places than these are summed up: `--json` has them all.
_PLACES_TOLD = 4


def _otherwise(one: "Alternative", currency: str) -> str:
    gained, lost = one.gained(), one.lost()
    if not gained and not lost:
        routed = {p.matched_by for p in one.otherwise}
        same_way = one.change.fact == "overpayment_rule" or routed == {p.matched_by for p in one.now}
        return "nothing would change" if same_way else f"nothing would change: {_by(one.otherwise)} it would have gone to the same place"
    by = "" if one.change.fact == "overpayment_rule" else f" {_by(one.otherwise)}"
    missing = sum(p.amount_minor for p in lost) - sum(p.amount_minor for p in gained)
    said = [
        f"{output.minor_money(p.amount_minor, currency)} would have gone{by if n == 0 else ''} to {_place(p)}" for n, p in enumerate(gained)
    ]
    if len(gained) > _PLACES_TOLD:
        total = output.minor_money(sum(p.amount_minor for p in gained), currency)
        said = [f"{total} would have gone{by} to {len(gained)} installments, from {_place(gained[0])} to {_place(gained[-1])}"]
    if missing > 0:
        said.append(f"{output.minor_money(missing, currency)} would have stayed unapplied")
    # What would only have got there on another day is no other place.
    other_day = {(p.commitment_id, p.version, p.sequence, p.amount_minor) for p in gained}
    instead = [p for p in lost if (p.commitment_id, p.version, p.sequence, p.amount_minor) not in other_day]
    places = " and ".join(map(_place, instead)) if len(instead) <= _PLACES_TOLD else f"{len(instead)} other installments"
    return ", and ".join(said) + ((", instead of " if gained else " instead of going to ") + places if places else "")


def _by(places: "Sequence[Place]") -> str:
    return "by " + " and ".join(dict.fromkeys(_ROUTED[p.matched_by] for p in places)) if places else ""


def _place(place: "Place") -> str:
    due = f" (due {_day(place.due_date)})" if place.due_date else ""
    later = f" only on {_day(place.applied_on)}" if place.applied_on > place.received_date else ""
    return f"{_installment({'commitment_id': place.commitment_id, 'version': place.version, 'sequence': place.sequence})}{due}{later}"


# commitments ------------------------------------------------------------------------------------------------------------


def commitment(found: Row) -> None:
    """One commitment: its terms, its schedule, the verdicts then and now, the money, and what happened."""
    versions = found["versions"]
    now = next((v for v in versions if v["is_current"]), versions[-1])
    several, currency = len(versions) > 1, now["currency"]
    print(f"{_words(now['kind']).capitalize()} {visible(now['commitment_id'])}, as of {found['as_of']}: {_words(now['status'])}")
    open_words = f"{output.money(now['paid_amount'], currency)} paid, {output.money(now['outstanding_amount'], currency)} open"
    owner = f"owner {now['owner']}" if now["owner"] else "no owner"
    paused = " Chasing is paused; verdicts are not." if now["is_paused"] else ""
    output.paragraph(f"{now['customer_name'] or 'Customer'} ({now['customer_id']}), {owner}: {open_words}.{paused}")
    output.heading("Terms")
    for before, version in zip([None, *versions], versions, strict=False):
        output.paragraph(_terms(version, several), indent=2)
        if before and (changes := _changes(before, version)):
            output.paragraph(f"Changed from version {before['version']}: {changes}.", indent=4)
        if before and (moved := _schedule_changes(found["installments"], before, version)):
            output.paragraph(f"Its schedule: {'; '.join(moved)}.", indent=4)
    output.heading(f"Schedule (in {currency})")
    output.table(*_schedule(found["installments"], several, currency), empty="None: not approved.")
    verdicts = [told for row in found["installments"] if (told := _verdict(row, found))]
    if verdicts:
        output.heading("Verdicts, then and now")
        for sentence in verdicts:
            output.paragraph(sentence, indent=2)
    output.heading("Money")
    output.table(
        ["received", "payment", "#", "amount", "timing", "laid out as", "routed by"],
        [
            [a["received_date"], a["payment_id"], _number(a, several), output.money(a["amount"], currency), *_how(a)]
            for a in found["allocations"]
        ],
    )
    for sentence in [*_carried(found["allocations"], currency), *map(_charged_back, found["chargebacks"])]:
        output.paragraph(sentence, indent=2)
    output.heading("What happened")
    for row in found["transitions"]:
        of = f"version {row['version']}" if several else "the commitment"
        what = (
            f"Installment {_number(row, several)}"
            if row["sequence"]
            else f"Escalation of {of}"
            if row["to_state"] in _STAGES
            else of.capitalize()
        )
        change = f"{_words(row['from_state'])} → {_words(row['to_state'])}" if row["from_state"] else _words(row["to_state"])
        output.paragraph(f"{row['effective_on']}  {what}: {change}. {row['cause']}", indent=2)
    if not found["transitions"]:
        print("Nothing yet.")


def _terms(row: Row, several: bool) -> str:
    currency = row["currency"]
    said = (
        f"Version {row['version']} ({_words(row['status'])}), agreed {_day(row['agreed_on'])}: "
        if several
        else f"Agreed {_day(row['agreed_on'])}: "
    )
    said += output.money(row["payable_amount"], currency)
    said += (
        f" ({output.money(row['total_amount'], currency)} less {output.money(row['discount_amount'], currency)})"
        if row["discount_amount"]
        else ""
    )
    count = row["installment_count"]
    said += f" in {count} installments, {row['frequency']}, the first" if count > 1 else ","
    said += f" due {_day(row['first_due_date'])}; {_RULES.get(row['overpayment_rule'], 'overpayment rule of the org')}."
    said += f" Invoices {', '.join(row['invoice_ids'].split(';'))}." if row["invoice_ids"] else ""
    said += f" Logged by {row['logged_by']} on {visible(row['logged_at'])} UTC"
    if row["approved_by"]:
        role = f" ({row['approved_role']})" if row["approved_role"] else ""
        said += f", approved by {row['approved_by']}{role} on {visible(row['approved_at'])} UTC"
    said += f": {row['decision_reason']!r}." if row["decision_reason"] else "."
    if row["effective_to"]:
        said += f" In force until {_day(row['effective_to'])}, when it was {_ended(row)}."
    return said


def _ended(row: Row) -> str:
    return f"{row['status']}: {row['closure_reason']!r}" if row["status"] in ("cancelled", "closed") else "replaced"


def _changes(before: Row, after: Row) -> str:
    told = []
    for column, name in _TERMS.items():
        was, now = before[column], after[column]
        if was != now:
            if isinstance(was, Decimal) and isinstance(now, Decimal):
                was, now = output.money(was, before["currency"]), output.money(now, after["currency"])
            told.append(f"{name} {visible(was) or 'none'} → {visible(now) or 'none'}")
    return "; ".join(told)


def _schedule_changes(rows: Sequence[Row], before: Row, after: Row) -> list[str]:
    """Of two versions that were approved: what was not has no schedule yet."""
    from ptp_pipeline.domain.money import to_minor
    from ptp_pipeline.domain.terms import schedule_changes

    currency = after["currency"]
    was, now = (
        [(i["due_date"], to_minor(i["amount"], currency)) for i in rows if i["version"] == version["version"]]
        for version in (before, after)
    )
    return schedule_changes(was, now, currency) if was and now else []


def _schedule(rows: Sequence[Row], several: bool, currency: str) -> tuple[list[str], list[list[Any]]]:
    """The verdicts of a row: what it was when the deadline passed, and what it is now."""
    has_debits = any(row["charged_back_amount"] for row in rows)
    amounts = ["amount", *(["charged_back_amount"] if has_debits else []), "paid_amount", "paid_in_advance", "paid_late"]
    titles = ["#", "due", "amount", *(["debits"] if has_debits else []), "paid", "early", "late", "state", "verdict then", "now"]
    cells = [
        [_number(row, several), row["due_date"], *(output.money(row[a], currency).removesuffix(f" {currency}") for a in amounts),
         _words(row["status"]), _verdict_word(row["first_verdict"]), _verdict_word(row["verdict"])]
        for row in rows
    ]  # fmt: skip
    return titles, cells


def _verdict(row: Row, found: Row) -> str:
    """How an installment was judged, by the dates and figures of each day on which that changed."""
    mine = (row["version"], row["sequence"])
    told = []
    for change in found["transitions"]:
        if (change["version"], change["sequence"]) != mine or change["to_state"] not in ("kept", "broken", "recovered"):
            continue
        if change["to_state"] == "broken" and not change["turned_by"]:
            graced = "grace" if change["deadline"] > change["due_date"] else "the due day"
            came = f"{_plain(change, 'paid_by_deadline')} of {output.money(change['amount'], change['currency'])}"
            then = _verdict_word("partially_kept" if change["paid_by_deadline"] else "broken")
            told.append(f"On {_day(change['effective_on'])}, when {graced} had run out, {came} had arrived: {then}.")
        elif change["to_state"] == "broken" or not change["satisfied_on"]:
            told.append(f"On {_day(change['effective_on'])}: {change['to_state']}. {change['cause']}")
        else:
            mine_paid = [a for a in found["allocations"] if (a["version"], a["sequence"]) == mine]
            last = dict.fromkeys(a["payment_id"] for a in mine_paid if a["received_date"] == change["satisfied_on"])
            who = f"payment {' and '.join(last)} brought" if last else "there was"
            what = "enough" if row["paid_amount"] < row["amount"] else "all" if len(last) == len(mine_paid) else "the last"
            due = output.money(change["amount"], change["currency"])
            told.append(f"On {_day(change['satisfied_on'])} {who} {what} of {due}: {change['to_state']}.")
    if row["status"] == "broken":
        came = f"{_plain(row, 'paid_amount')} of {output.money(row['amount'], row['currency'])}"
        told.append(f"By {_day(found['as_of'])} {came} has arrived: still broken.")
    return f"{_number(row, len(found['versions']) > 1)}, due {_day(row['due_date'])}. {' '.join(told)}" if told else ""


def _carried(allocations: Sequence[Row], currency: str) -> list[str]:
    """Credit that newer terms took over, by version and day."""
    sums: dict[tuple[int, date], list[Row]] = {}
    for row in allocations:
        if row["laid_out_as"] == "carried":
            sums.setdefault((row["version"], row["applied_on"]), []).append(row)
    return [
        f"{output.money(sum((row['amount'] for row in rows), Decimal(0)), currency)} was carried over to version {version} when it began on"
        f" {_day(on)}, from {', '.join(dict.fromkeys(row['payment_id'] for row in rows))}."
        for (version, on), rows in sums.items()
    ]


# words ------------------------------------------------------------------------------------------------------------------


def _installment(row: Row) -> str:
    version = f" (version {row['version']})" if row["version"] > 1 else ""
    return f"installment {row['sequence']} of {row['commitment_id']}{version}"


def _number(row: Row, several: bool) -> str:
    """`2`, or `2 of v1` where there are several versions."""
    return f"{row['sequence']} of v{row['version']}" if several else str(row["sequence"])


def _verdict_word(verdict: str | None) -> str:
    return {"partially_kept": "partly kept", None: ""}.get(verdict, verdict or "")


def _words(name: str | None) -> str:
    return (name or "").replace("_", " ")


def _plain(row: Row, column: str) -> str:
    return output.money(row[column] or Decimal(0), row["currency"]).removesuffix(f" {row['currency']}")


def _day(when: date | None) -> str:
    return f"{when.day} {when:%b %Y}" if when else ""
