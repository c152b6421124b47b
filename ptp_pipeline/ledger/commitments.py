"""Commitments: logging, renegotiating, ending, pausing, and what waits for a decision.

Rules about terms are domain.terms; that they hold for everybody, who approved what, and what is the same promise twice is
decided by sql/ledger. Deciding is `approvals`.
"""

import datetime as dt
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ptp_pipeline.domain.terms import NewCommitment, Standing, Terms, guardrails, make_terms
from ptp_pipeline.errors import Refused, UsageError
from ptp_pipeline.ledger import policies
from ptp_pipeline.ledger.connection import Transaction

FEED = "commitments"
_ID_LETTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # none that are read as another
_ID_PREFIX = {"promise": "PR", "repeating_promise": "RP", "plan": "PL"}
_BIG_IMPORT = 1000
_SEPARATOR = "\x1f"  # between invoice ids on their way to the server: ragged arrays cannot be parameters
_TERMS = (
    "agreed_on, amount_minor, total_minor, discount_minor, down_payment_minor, frequency, installment_count, first_due_date, grace_days,"
    " overpayment_rule, invoice_ids, custom_schedule"
)

_DESCRIPTION = {
    **dict.fromkeys(("owner", "channel", "contact_name", "contact_email"), "text"),
    "confidence": "int",
    **dict.fromkeys(("confidence_reason", "note", "evidence_link", "file_sha256"), "text"),
    "line_number": "int",
}


@dataclass(frozen=True)
class Logged:
    """A commitment just logged. `rule_message` says why it waits for approval; empty when it does not."""

    commitment_id: str
    version: int
    status: str
    rule_message: str


@dataclass(frozen=True)
class LineOutcome:
    """What became of one row: loaded, duplicate (known already) or refused; `rule` and `reason` say why not loaded."""

    commitment_id: str
    outcome: str
    rule: str = ""
    reason: str = ""
    version: int | None = None
    status: str = ""
    next_step: str = ""


@dataclass(frozen=True)
class PendingItem:
    """A version waiting for a decision, with what policy says about it, what it replaces and where its customer stands.

    `barred` are those who do not decide on it in any role, and why, as the gate says it. `in_force` are the terms it would supersede,
    `before` those of the version before it, and `replaces` that version where nobody had decided on it.
    """

    commitment_id: str
    version: int
    customer_id: str
    owner: str
    terms: Terms
    terms_digest: str
    reason: str
    source: str
    logged_by: str
    logged_at: dt.datetime
    guardrails: list[str]
    barred: dict[str, str]
    before: Terms | None
    in_force: Terms | None
    replaces: int | None
    standing: Standing
    note: str

    @property
    def kind(self) -> str:
        return self.terms.kind

    @property
    def currency(self) -> str:
        return self.terms.currency


def log(tx: Transaction, new: NewCommitment, source: str = "cli") -> Logged:
    """Log one commitment. Raises Refused when its id or the same promise is known. Policy approves at once what it grants."""
    if tx.actor.role == "analyst":
        raise Refused(f"{tx.actor.name} is an analyst and does not log commitments.", "Ask a collector or a supervisor.")
    if source != "feed" and not new.owner:
        new = new.model_copy(update={"owner": tx.actor.name})
    (outcome,) = _log(tx, [new], source)
    if outcome.outcome != "loaded":
        raise Refused(outcome.reason, outcome.next_step or f"See `ptp show {outcome.commitment_id}`.")
    if outcome.status == "draft":
        return Logged(outcome.commitment_id, 1, outcome.status, _sent_back_why(tx, outcome.commitment_id, 1))
    standing = _standings(tx, [new.customer_id])[outcome.commitment_id]
    if outcome.status == "active":
        return Logged(outcome.commitment_id, 1, outcome.status, "")
    rules = guardrails(new.terms, policies.current(tx), standing, by_others=policies.by_others(tx, tx.actor.name))
    return Logged(outcome.commitment_id, 1, outcome.status, "; ".join(rules))


def _sent_back_why(tx: Transaction, commitment_id: str, version: int) -> str:
    row = tx.one(
        "select reason from ptp.approval where org_id = ptp.current_org() and commitment_id = %s and version = %s", [commitment_id, version]
    )
    return str(row["reason"]) if row else ""


def log_many(tx: Transaction, rows: Sequence[NewCommitment]) -> list[LineOutcome]:
    """Log rows of commitments files, each with its file and line; outcomes in the same order.

    A line is taken up once: asked again, it gives the answer it was given first.
    """
    if any(row.file_sha256 is None or row.line_number is None for row in rows):
        raise UsageError("Rows of a file need its sha256 and their line number.")
    tx.execute("select ptp.lock_org()")
    known = _known_lines(tx, {row.file_sha256 or "" for row in rows})
    fresh = [row for row in rows if (row.file_sha256, row.line_number) not in known]
    # A line's answer is kept as one text.
    answered = [replace(o, reason=f"{o.reason} {o.next_step}".rstrip(), next_step="") for o in _log(tx, fresh, "feed")]
    outcomes = dict(zip(((r.file_sha256, r.line_number) for r in fresh), answered, strict=True))
    tx.execute(
        "insert into ptp.feed_line (org_id, feed, file_sha256, line_number, outcome, commitment_id, rule, reason)"
        " select ptp.current_org(), %s, * from unnest(%s::text[], %s::int[], %s::text[], %s::text[], %s::text[], %s::text[])",
        [
            FEED,
            [sha for sha, _ in outcomes],
            [line for _, line in outcomes],
            [o.outcome for o in outcomes.values()],
            [o.commitment_id for o in outcomes.values()],
            [o.rule for o in outcomes.values()],
            [o.reason for o in outcomes.values()],
        ],
    )
    if len(outcomes) >= _BIG_IMPORT:
        tx.execute("select ptp.refresh_statistics()")
    answers = known | outcomes
    return [answers[row.file_sha256, row.line_number] for row in rows]


def _known_lines(tx: Transaction, files: set[str]) -> dict[tuple[str | None, int | None], LineOutcome]:
    rows = tx.all(
        "select l.file_sha256, l.line_number, l.outcome, l.commitment_id, l.rule, l.reason, s.version, coalesce(s.status, '') as status"
        " from ptp.feed_line l left join ptp.commitment_version_state s"
        "   on s.org_id = l.org_id and s.commitment_id = l.commitment_id and s.version = 1 and l.outcome = 'loaded'"
        " where l.org_id = ptp.current_org() and l.feed = %s and l.file_sha256 = any(%s)",
        [FEED, sorted(files)],
    )
    return {(row.pop("file_sha256"), row.pop("line_number")): LineOutcome(**row) for row in rows}


def _log(tx: Transaction, rows: Sequence[NewCommitment], source: str) -> list[LineOutcome]:
    """Everything set-based: a file may bring a hundred thousand rows."""
    if not rows:
        return []
    tx.execute("select ptp.lock_org()")
    rows = [row if row.commitment_id else row.model_copy(update={"commitment_id": _new_id(row.terms.kind)}) for row in rows]
    known_terms, claims = _known_terms(tx, rows), _claims(tx, rows)
    outcomes: list[LineOutcome | None] = []
    loaded: list[NewCommitment] = []
    for row, claimed_by in zip(rows, claims, strict=True):
        commitment_id, identity = row.commitment_id or "", _identity(row)
        first_id = claimed_by.get(identity)
        if commitment_id in known_terms:
            outcomes.append(_known(row, known_terms[commitment_id]))
        elif first_id:
            outcomes.append(LineOutcome(first_id, "duplicate", "identical_promise", _same_promise(row, first_id)))
        else:
            outcomes.append(None)
            loaded.append(row)
            known_terms[commitment_id] = {_content(row)}
            claimed_by[identity] = commitment_id
    beyond = _beyond_open(tx, loaded)
    outcomes = [_after_refusals(row, found, beyond) for row, found in zip(rows, outcomes, strict=True)]
    statuses = _insert(tx, [row for row in loaded if row.commitment_id not in beyond], source)
    return [
        found or LineOutcome(row.commitment_id or "", "loaded", version=1, status=statuses[row.commitment_id or ""])
        for row, found in zip(rows, outcomes, strict=True)
    ]


def _known(row: NewCommitment, versions: set[tuple[Any, ...]]) -> LineOutcome:
    commitment_id = row.commitment_id or ""
    if _content(row) in versions:
        return LineOutcome(commitment_id, "duplicate", "known_id", f"{commitment_id} is known already, with these terms.")
    return LineOutcome(
        commitment_id,
        "refused",
        "commitment_id_conflict",
        f"{commitment_id} is known already, with other terms. New terms of a commitment are a renegotiation, not a new row.",
    )


def _beyond_open(tx: Transaction, rows: Sequence[NewCommitment]) -> dict[str, LineOutcome]:
    """Those of the rows that promise more on their invoices than is left open, by id."""
    found = tx.all(
        "select refused_id, message, next_step from ptp.beyond_open(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::date[])",
        [
            *_columns(rows, "commitment_id"),
            *_columns([row.terms for row in rows], "currency"),
            [_SEPARATOR.join(row.terms.invoice_ids) for row in rows],
            [row.terms.payable_minor for row in rows],
            [row.terms.agreed_on for row in rows],
        ],
    )
    return {
        row["refused_id"]: LineOutcome(row["refused_id"], "refused", "over_promised", row["message"], next_step=row["next_step"])
        for row in found
    }


def _after_refusals(row: NewCommitment, found: LineOutcome | None, beyond: dict[str, LineOutcome]) -> LineOutcome | None:
    """A repeat of a row that was not taken is no duplicate: it is not taken for the same reason."""
    if found is None:
        return beyond.get(row.commitment_id or "")
    first = beyond.get(found.commitment_id)
    return replace(first, commitment_id=row.commitment_id or "") if first else found


def _content(row: NewCommitment) -> tuple[Any, ...]:
    return (row.customer_id, row.terms)


def _identity(row: NewCommitment) -> tuple[Any, ...]:
    t = row.terms
    return (row.customer_id, t.currency, t.invoice_ids, t.amount_minor, t.first_due_date)


def _same_promise(row: NewCommitment, first_id: str) -> str:
    from ptp_pipeline.domain.money import format_amount

    t = row.terms
    invoices = f"invoices {', '.join(t.invoice_ids)}" if t.invoice_ids else "no invoice"
    amount = format_amount(t.amount_minor, t.currency)
    return f"{row.commitment_id} is the same as {first_id}: customer {row.customer_id}, {amount} due {t.first_due_date}, {invoices}."


def _known_terms(tx: Transaction, rows: Sequence[NewCommitment]) -> dict[str, set[tuple[Any, ...]]]:
    """By commitment id, the contents of all versions the ledger has."""
    found = tx.all(
        f"select commitment_id, customer_id, kind, currency, {_TERMS} from ptp.commitment_version"
        " where org_id = ptp.current_org() and commitment_id = any(%s)",
        [[row.commitment_id for row in rows]],
    )
    known: dict[str, set[tuple[Any, ...]]] = {}
    for row in found:
        known.setdefault(row["commitment_id"], set()).add((row["customer_id"], terms_of(row)))
    return known


def _claims(tx: Transaction, rows: Sequence[NewCommitment]) -> list[dict[tuple[Any, ...], str]]:
    """One dictionary, shared by all rows: identity → commitment that holds it. Grows as rows of this batch are taken."""
    found = tx.all(
        "select r.position, p.commitment_id from unnest(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::date[])"
        " with ordinality as r (customer_id, currency, invoice_ids, amount_minor, first_due_date, position)"
        " join ptp.promise_claim p on p.org_id = ptp.current_org() and p.identity ="
        "   ptp.promise_identity(r.customer_id, r.currency, string_to_array(r.invoice_ids, %s), r.amount_minor, r.first_due_date)",
        [
            [row.customer_id for row in rows],
            [row.terms.currency for row in rows],
            [_SEPARATOR.join(row.terms.invoice_ids) for row in rows],
            [row.terms.amount_minor for row in rows],
            [row.terms.first_due_date for row in rows],
            _SEPARATOR,
        ],
    )
    claims = {_identity(rows[row["position"] - 1]): row["commitment_id"] for row in found}
    return [claims] * len(rows)


def _insert(tx: Transaction, rows: Sequence[NewCommitment], source: str) -> dict[str, str]:
    """Insert commitments with their first versions; returns status by id."""
    if not rows:
        return {}
    ids = [row.commitment_id or "" for row in rows]
    columns = {name: [getattr(row, name) for row in rows] for name in _DESCRIPTION}
    tx.execute(
        f"insert into ptp.commitment (org_id, source, commitment_id, kind, customer_id, currency, {', '.join(columns)})"
        " select ptp.current_org(), %s, r.* from unnest(%s::text[], %s::text[], %s::text[], %s::text[],"
        f" {', '.join(f'%s::{kind}[]' for kind in _DESCRIPTION.values())}) as r",
        [
            source,
            ids,
            *_columns([row.terms for row in rows], "kind"),
            *_columns(rows, "customer_id"),
            *_columns([row.terms for row in rows], "currency"),
            *columns.values(),
        ],
    )
    _insert_versions(tx, [(i, 1, row.customer_id, row.terms, "") for i, row in zip(ids, rows, strict=True)])
    decided = {
        row["commitment_id"]: "active" if row["decision"] == "approve" else "draft"
        for row in tx.all(
            "select commitment_id, decision from ptp.approval where org_id = ptp.current_org() and version = 1 and commitment_id = any(%s)",
            [ids],
        )
    }
    return {i: decided.get(i, "pending_approval") for i in ids}


def _columns(rows: Sequence[Any], *names: str) -> list[list[Any]]:
    return [[getattr(row, name) for row in rows] for name in names]


def _insert_versions(tx: Transaction, versions: Sequence[tuple[str, int, str, Terms, str]]) -> None:
    """Versions as (commitment_id, version, customer_id, terms, reason).

    Digest, author and time are set by the database, which also approves what policy grants and records it all in the audit trail.
    """
    from psycopg.types.json import Jsonb

    terms = [t for _, _, _, t, _ in versions]
    tx.execute(
        f"insert into ptp.commitment_version (org_id, commitment_id, version, customer_id, reason, kind, currency, {_TERMS})"
        " select ptp.current_org(), id, version, customer_id, reason, kind, currency, agreed_on, amount_minor, total_minor, discount_minor,"
        " down_payment_minor, frequency, installment_count, first_due_date, grace_days, overpayment_rule, string_to_array(invoice_ids, %s),"
        " custom_schedule from unnest(%s::text[], %s::int[], %s::text[], %s::text[], %s::text[], %s::text[], %s::date[], %s::bigint[],"
        " %s::bigint[], %s::bigint[], %s::bigint[], %s::text[], %s::int[], %s::date[], %s::int[], %s::text[], %s::text[], %s::jsonb[])"
        " as r (id, version, customer_id, reason, kind, currency, agreed_on, amount_minor, total_minor, discount_minor, down_payment_minor,"
        " frequency, installment_count, first_due_date, grace_days, overpayment_rule, invoice_ids, custom_schedule)",
        [
            _SEPARATOR,
            [v[0] for v in versions],
            [v[1] for v in versions],
            [v[2] for v in versions],
            [v[4] for v in versions],
            *_columns(terms, "kind", "currency", "agreed_on", "amount_minor", "total_minor", "discount_minor", "down_payment_minor"),
            *_columns(terms, "frequency", "installment_count", "first_due_date", "grace_days", "overpayment_rule"),
            [_SEPARATOR.join(t.invoice_ids) for t in terms],
            [Jsonb([line.model_dump(mode="json") for line in t.custom_schedule]) if t.custom_schedule else None for t in terms],
        ],
    )


def _new_id(kind: str) -> str:
    return f"{_ID_PREFIX[kind]}-{''.join(secrets.choice(_ID_LETTERS) for _ in range(8))}"


def terms_of(row: dict[str, Any]) -> Terms:
    """Terms from a row of ptp.commitment_version."""
    names = ("kind", "currency", *(name.strip() for name in _TERMS.split(",")))
    return make_terms(**{name: row[name] for name in names if name != "custom_schedule"}, custom_schedule=row["custom_schedule"] or ())


def renegotiate(tx: Transaction, commitment_id: str, terms: Terms, reason: str) -> Logged:
    """Log new terms; the old version stays in force until these are approved. Of what was turned down or sent back, the same terms
    again are a new request.
    """
    tx.execute("select ptp.lock_org()")
    before = newest(tx, commitment_id)
    if (before["kind"], before["currency"]) != (terms.kind, terms.currency):
        raise Refused(
            f"{commitment_id} is a {before['kind'].replace('_', ' ')} in {before['currency']}; that cannot change.",
            "Cancel it and log a new one.",
        )
    if not reason.strip():
        raise UsageError("New terms need a reason.", "Add --reason.")
    old, version = terms_of(before), int(before["version"]) + 1
    if old == terms and before["decision"] not in ("reject", "send_back"):
        raise Refused(f"These are the terms {commitment_id} has already.", "A reason alone makes no new version: say what is to change.")
    _insert_versions(tx, [(commitment_id, version, before["customer_id"], terms, reason)])
    if why := _sent_back_why(tx, commitment_id, version):
        return Logged(commitment_id, version, "draft", why)
    standing = _standings(tx, [before["customer_id"]])[commitment_id]
    rules = guardrails(terms, policies.current(tx), standing, is_new_terms=True)
    return Logged(commitment_id, version, "pending_approval", "; ".join(rules))


def customer_standing(tx: Transaction, customer_id: str, currency: str) -> Standing:
    """Where a customer stands before anything new is logged."""
    row = tx.one(
        "select coalesce(sum(used_minor), 0) as used_minor, coalesce(sum(in_process_minor), 0) as in_process_minor,"
        " coalesce(sum(in_process_minor), 0) as earlier_minor, ptp.customer_balance(%(customer)s, %(currency)s) as balance_minor,"
        " (now() at time zone 'UTC')::date as logged_on"
        " from ptp.commitment_exposure where org_id = ptp.current_org() and customer_id = %(customer)s and currency = %(currency)s",
        {"customer": customer_id, "currency": currency},
    )
    return _standing(row or {})


def _standings(tx: Transaction, customer_ids: Sequence[str]) -> dict[str, Standing]:
    """By commitment of these customers, what its customer has open and waiting beside it."""
    rows = tx.all("select * from ptp.standings(%s)", [sorted(set(customer_ids))])
    return {row["commitment_id"]: _standing(row) for row in rows}


def _standing(row: Mapping[str, Any]) -> Standing:
    balance = row.get("balance_minor")
    used, waiting, earlier, own = (int(row.get(f"{name}_minor") or 0) for name in ("used", "in_process", "earlier", "own"))
    return Standing(used, waiting, earlier, None if balance is None else int(balance), own, row.get("logged_on"))


def cancel(tx: Transaction, commitment_id: str, effective_on: dt.date, reason: str) -> None:
    """End a commitment from a day on: a supervisor, a controller or legal. One that never became active is withdrawn, also by its
    own collector.
    """
    tx.execute("select ptp.lock_org()")
    newest(tx, commitment_id)
    is_approved = tx.one(
        "select 1 from ptp.approval where org_id = ptp.current_org() and commitment_id = %s and decision = 'approve'", [commitment_id]
    )
    if is_approved:
        _event(tx, commitment_id, "cancel", effective_on, reason)
    else:
        _event(tx, commitment_id, "withdraw", effective_on, reason)


def close(tx: Transaction, commitment_id: str, effective_on: dt.date, reason: str) -> None:
    """Close what is in force though not all was paid: written off, settled otherwise. What remains is not chased any more; what was due
    before stays judged. One that is paid in full needs no closing.
    """
    newest(tx, commitment_id)
    _event(tx, commitment_id, "close", effective_on, reason)


def withdraw(tx: Transaction, commitment_id: str, effective_on: dt.date, reason: str) -> None:
    """Take back what was never approved."""
    newest(tx, commitment_id)
    _event(tx, commitment_id, "withdraw", effective_on, reason)


def pause(tx: Transaction, commitment_id: str, effective_on: dt.date, reason: str) -> None:
    """Stop chasing from a day on. Verdicts go on."""
    newest(tx, commitment_id)
    _event(tx, commitment_id, "pause", effective_on, reason)


def resume(tx: Transaction, commitment_id: str, effective_on: dt.date, reason: str) -> None:
    """Chase again from a day on."""
    newest(tx, commitment_id)
    _event(tx, commitment_id, "resume", effective_on, reason)


def _event(tx: Transaction, commitment_id: str, kind: str, effective_on: dt.date, reason: str) -> None:
    if not reason.strip():
        raise UsageError("This needs a reason.", "Add --reason.")
    tx.execute(
        "insert into ptp.commitment_event (org_id, commitment_id, kind, effective_on, reason) values (ptp.current_org(), %s, %s, %s, %s)",
        [commitment_id, kind, effective_on, reason],
    )


def newest(tx: Transaction, commitment_id: str) -> dict[str, Any]:
    """The newest version of a commitment with its state. Raises Refused when there is none."""
    row = tx.one(
        "select * from ptp.commitment_version_state where org_id = ptp.current_org() and commitment_id = %s order by version desc limit 1",
        [commitment_id],
    )
    if row is None:
        raise Refused(f"There is no commitment {commitment_id}.", "`ptp status` shows those there are.")
    return row


def replaced(tx: Transaction, commitment_id: str) -> tuple[dict[str, Any], Terms | None]:
    """What new terms come after: the newest version with its state, and the terms in force. Raises Refused when there is none."""
    row = newest(tx, commitment_id)
    in_force = next((v for v in _history(tx, [commitment_id])[commitment_id] if v["version"] == row["newest_approved"]), None)
    return row, terms_of(in_force) if in_force else None


def pending(tx: Transaction) -> list[PendingItem]:
    """Everything that waits for a decision, oldest first."""
    policy = policies.current(tx)
    rows = tx.all(
        f"select s.commitment_id, s.version, s.customer_id, c.owner, s.kind, s.currency, {_TERMS}, s.terms_digest, s.reason, c.source,"
        " c.note, s.logged_by, s.logged_at, s.newest_approved, b.barred from ptp.commitment_version_state s"
        " join ptp.commitment c using (org_id, commitment_id)"
        " cross join lateral (select jsonb_object_agg(x.user_name, x.reason) as barred"
        "   from ptp.commitment_version v cross join lateral ptp.barred(v) as x"
        "   where v.org_id = s.org_id and v.commitment_id = s.commitment_id and v.version = s.version) as b"
        " where s.org_id = ptp.current_org() and s.status = 'pending_approval' order by s.logged_at, s.commitment_id"
    )
    standings = _standings(tx, [row["customer_id"] for row in rows])
    history = _history(tx, [row["commitment_id"] for row in rows if row["version"] > 1])
    by_others = {name: policies.by_others(tx, name) for name in {row["logged_by"] for row in rows}}
    items = []
    for row in rows:
        terms, standing, in_force = terms_of(row), standings[row["commitment_id"]], row["newest_approved"]
        earlier = {v["version"]: v for v in history.get(row["commitment_id"], []) if v["version"] < row["version"]}
        facts = {name: row[name] for name in PendingItem.__dataclass_fields__ if name in row}
        items.append(
            PendingItem(
                **facts,
                terms=terms,
                guardrails=guardrails(terms, policy, standing, is_new_terms=row["version"] > 1, by_others=by_others[row["logged_by"]]),
                before=terms_of(earlier[row["version"] - 1]) if earlier else None,
                in_force=terms_of(earlier[in_force]) if in_force else None,
                replaces=row["version"] - 1 if earlier and earlier[row["version"] - 1]["decision"] is None else None,
                standing=standing,
            )
        )
    return items


def _history(tx: Transaction, commitment_ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    """All versions of some commitments."""
    versions: dict[str, list[dict[str, Any]]] = {}
    for row in tx.all(
        f"select commitment_id, version, kind, currency, decision, {_TERMS} from ptp.commitment_version_state"
        " where org_id = ptp.current_org() and commitment_id = any(%s)",
        [list(commitment_ids)],
    ):
        versions.setdefault(row["commitment_id"], []).append(row)
    return versions


def resolve_pending(tx: Transaction, names: Sequence[str]) -> list[tuple[str, int]]:
    """`PLAN-7` (its version that waits) or `PLAN-7@2` as (id, version). Raises Refused naming those that do not wait."""
    waiting = {
        row["commitment_id"]: row["version"]
        for row in tx.all(
            "select commitment_id, version from ptp.commitment_version_state"
            " where org_id = ptp.current_org() and status = 'pending_approval'"
        )
    }
    found, missing = [], []
    for name in dict.fromkeys(n.strip() for n in names):
        commitment_id, _, version = name.rpartition("@")
        if name in waiting:
            found.append((name, waiting[name]))
        elif version.isdigit() and waiting.get(commitment_id) == int(version):
            found.append((commitment_id, int(version)))
        else:
            missing.append(name)
    if missing:
        raise Refused(f"Not waiting for a decision: {', '.join(missing)}.", "`ptp approve --pending` takes everything that waits.")
    return found
