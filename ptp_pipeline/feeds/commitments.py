"""Rows of the commitments and installments feeds to the ledger, where they wait for approval like any other.

The ledger answers each commitments line once and keeps its answer. A line that cannot be put to it yet (a custom plan whose
installments are missing or do not add up) is tried again by every run. What terms may be is `domain.terms`.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from ptp_pipeline.domain import terms as domain_terms
from ptp_pipeline.domain.money import BadAmount, format_amount, parse_amount
from ptp_pipeline.domain.policy import Policy
from ptp_pipeline.feeds.build import LINE_COLUMNS, QUARANTINE_COLUMNS
from ptp_pipeline.ledger import commitments, policies, positions
from ptp_pipeline.ledger.connection import Actor, Ledger, Transaction
from ptp_pipeline.settings import Settings
from ptp_pipeline.warehouse.models import Warehouse

if TYPE_CHECKING:
    import polars as pl

# What the ledger calls a line it did not load, and what the quarantine calls it. The rest are plain repeats.
_QUARANTINED = MappingProxyType(
    {
        "identical_promise": "duplicate_commitment",
        "commitment_id_conflict": "commitment_id_conflict",
        "over_promised": "over_promised",
    }
)
_DETAILS = ("owner", "channel", "contact_name", "contact_email", "confidence_reason", "note", "evidence_link")

Place = tuple[str, int]  # file_sha256, line_number


class Problem(NamedTuple):
    """Why a line was not taken."""

    rule: str
    message: str


class Line(NamedTuple):
    """A row of the installments feed."""

    commitment_id: str
    sequence: int
    due_date: dt.date
    amount: str
    grace_days: int | None
    file_sha256: str
    file_sequence: int
    line_number: int

    @property
    def place(self) -> Place:
        return self.file_sha256, self.line_number

    @property
    def content(self) -> tuple[int, dt.date, str, int | None]:
        return self.sequence, self.due_date, self.amount, self.grace_days


@dataclass(frozen=True)
class Known:
    """What the ledger holds of a commitment: its first terms."""

    currency: str
    total_minor: int
    overpayment_rule: str
    schedule: tuple[domain_terms.CustomInstallment, ...]


@dataclass(frozen=True)
class Answers:
    """What became of every line, by place: (outcome, commitment_id) or a problem beside the commitment_id."""

    taken: dict[Place, tuple[str, str]]
    refused: dict[Place, tuple[str, Problem]]


def register(settings: Settings, ledger: Ledger, org: str, actor: Actor) -> dict[str, int]:
    """Put new commitments lines to the ledger; returns what became of all lines of both feeds: loaded, duplicate, quarantined.

    Reads the feed stage, and writes its commitment_lines and commitment_quarantine.
    """
    warehouse = Warehouse(settings, org)
    stage = warehouse.stage_dir("feed")
    lines = _lines(warehouse)
    with ledger.transaction(org, actor) as tx:
        answered = _answered(tx)
        rows, fresh = _rows(warehouse, answered)
        ids = {row["commitment_id"] for row in fresh} | {line.commitment_id for line in lines}
        known = _known(tx, ids)
        schedules = _by_id(lines)
        ready, waiting = _prepare(fresh, schedules, known, policies.current(tx), lambda: _invoices(warehouse))
        if positions.source(tx):
            # An invoice that came with its commitment is known, though no build has it yet.
            positions.add_invoices(tx, _open(warehouse, {i for new in ready for i in new.terms.invoice_ids}))
        for new, outcome in zip(ready, commitments.log_many(tx, ready), strict=True):
            answered[new.file_sha256 or "", new.line_number or 0] = outcome
        known |= _known(tx, {new.commitment_id or "" for new in ready} & schedules.keys())
    of_commitments = _commitment_answers(rows, answered, waiting)
    of_installments = _installment_answers(schedules, known, _first_problems(of_commitments.refused))
    _write(stage, {"commitments": of_commitments, "installments": of_installments})
    outcomes = [outcome for answers in (of_commitments, of_installments) for outcome, _ in answers.taken.values()]
    return {
        "loaded": outcomes.count("loaded"),
        "duplicate": outcomes.count("duplicate"),
        "quarantined": len(of_commitments.refused) + len(of_installments.refused),
    }


# --- reading ---


def _read(warehouse: Warehouse, sql: str) -> "pl.DataFrame":
    """A query on the feed stage."""
    con = warehouse.connect(["feed"])
    try:
        frame: pl.DataFrame = con.sql(sql).pl()
        return frame
    finally:
        con.close()


def _rows(warehouse: Warehouse, answered: Iterable[Place]) -> tuple[list[tuple[str, int, str]], list[dict[str, Any]]]:
    """All rows of the commitments feed as (file_sha256, line_number, commitment_id), and those without an answer in full."""
    import polars as pl

    rows = _read(warehouse, "from feed.commitments order by file_sequence, line_number")
    places = pl.DataFrame(list(answered), schema={"file_sha256": pl.String, "line_number": pl.Int32}, orient="row")
    fresh = rows.join(places, on=["file_sha256", "line_number"], how="anti", maintain_order="left")
    return rows.select("file_sha256", "line_number", "commitment_id").rows(), fresh.to_dicts()


def _lines(warehouse: Warehouse) -> list[Line]:
    rows = _read(warehouse, f"select {', '.join(Line._fields)} from feed.installments order by file_sequence, line_number")
    return [Line(*row) for row in rows.iter_rows()]


def _by_id(lines: Iterable[Line]) -> dict[str, list[Line]]:
    grouped: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        grouped[line.commitment_id].append(line)
    return dict(grouped)


def _answered(tx: Transaction) -> dict[Place, commitments.LineOutcome]:
    rows = tx.all(
        "select file_sha256, line_number, commitment_id, outcome, rule, reason from ptp.feed_line"
        " where org_id = ptp.current_org() and feed = 'commitments'"
    )
    return {(row.pop("file_sha256"), row.pop("line_number")): commitments.LineOutcome(**row) for row in rows}


def _known(tx: Transaction, ids: Iterable[str]) -> dict[str, Known]:
    rows = tx.all(
        "select commitment_id, currency, total_minor, overpayment_rule, custom_schedule from ptp.commitment_version"
        " where org_id = ptp.current_org() and version = 1 and commitment_id = any(%s)",
        [sorted(ids)],
    )
    return {
        row["commitment_id"]: Known(
            row["currency"],
            row["total_minor"],
            row["overpayment_rule"],
            tuple(domain_terms.CustomInstallment(**line) for line in row["custom_schedule"] or ()),
        )
        for row in rows
    }


def _invoices(warehouse: Warehouse) -> dict[str, dict[str, Any]]:
    """The newest row of every invoice."""
    newest = _read(
        warehouse,
        "select invoice_id, customer_id, currency, amount_minor, open_amount_minor, settled_date from feed.invoices"
        " qualify row_number() over (partition by invoice_id order by file_sequence desc, line_number desc) = 1",
    )
    return {row["invoice_id"]: row for row in newest.iter_rows(named=True)}


def _open(warehouse: Warehouse, ids: set[str]) -> list[tuple[str, str, str, int, int]]:
    """Of these invoices (invoice_id, customer_id, currency, invoiced, open), by their newest row."""
    import polars as pl

    named = pl.DataFrame({"invoice_id": sorted(ids)}, schema={"invoice_id": pl.String})
    con = warehouse.connect(["feed"])
    try:
        con.register("named", named)
        return con.execute(
            "select invoice_id, customer_id, currency, amount_minor,"
            " case when settled_date is null then coalesce(open_amount_minor, amount_minor) else 0 end"
            " from feed.invoices semi join named using (invoice_id)"
            " qualify row_number() over (partition by invoice_id order by file_sequence desc, line_number desc) = 1"
        ).fetchall()
    finally:
        con.close()


# --- rows to terms ---


def _prepare(
    fresh: Sequence[Mapping[str, Any]],
    schedules: Mapping[str, list[Line]],
    known: Mapping[str, Known],
    policy: Policy,
    read_invoices: Callable[[], Mapping[str, Mapping[str, Any]]],
) -> tuple[list[domain_terms.NewCommitment], dict[Place, Problem]]:
    """New rows as commitments, and why the others cannot be any yet."""
    ready: list[domain_terms.NewCommitment] = []
    waiting: dict[Place, Problem] = {}
    invoices: Mapping[str, Mapping[str, Any]] | None = None
    for row in fresh:
        needs_invoices = row["kind"] == "repeating_promise" and row["installment_count"] is None
        if needs_invoices and invoices is None:
            invoices = read_invoices()
        made = _commitment(row, schedules.get(row["commitment_id"], []), known.get(row["commitment_id"]), policy, invoices or {})
        if isinstance(made, Problem):
            waiting[row["file_sha256"], row["line_number"]] = made
        else:
            ready.append(made)
    return ready, waiting


def _commitment(
    row: Mapping[str, Any], lines: Sequence[Line], known: Known | None, policy: Policy, invoices: Mapping[str, Mapping[str, Any]]
) -> domain_terms.NewCommitment | Problem:
    values = {
        "kind": row["kind"],
        "currency": row["currency"],
        "agreed_on": row["agreed_on"],
        "amount_minor": row["amount_minor"],
        "discount_minor": row["discount_minor"],
        "down_payment_minor": row["down_payment_minor"],
        "frequency": row["frequency"],
        "installment_count": row["installment_count"],
        "first_due_date": row["first_due_date"],
        "grace_days": row["grace_days"],
        # A row sent again without a rule means the one it got the first time, whatever policy says by now.
        "overpayment_rule": row["overpayment_rule"] or (known.overpayment_rule if known else policy.overpayment_rule),
        "invoice_ids": tuple(row["invoice_ids"]),
    }
    if row["frequency"] == "custom":
        made = _custom(values, row["commitment_id"], lines, known)
    elif row["kind"] == "repeating_promise" and row["installment_count"] is None:
        # A row sent again settles the debt it settled the first time, whatever is open by now.
        total = known.total_minor if known else _open_total(row, invoices)
        made = total if isinstance(total, Problem) else _terms({**values, "total_minor": total})
    else:
        made = _terms(values)
    if isinstance(made, Problem):
        return made
    details = {name: row[name] or "" for name in _DETAILS}
    return domain_terms.NewCommitment(
        terms=made,
        customer_id=row["customer_id"],
        commitment_id=row["commitment_id"],
        confidence=row["confidence"],
        file_sha256=row["file_sha256"],
        line_number=row["line_number"],
        **details,
    )


def _terms(values: Mapping[str, Any]) -> domain_terms.Terms | Problem:
    try:
        return domain_terms.make_terms(**values)
    except domain_terms.BadTerms as error:
        return Problem("terms", error.message)


def _custom(values: Mapping[str, Any], commitment_id: str, lines: Sequence[Line], known: Known | None) -> domain_terms.Terms | Problem:
    """Terms with the listed installments: those the ledger has, or else those of the newest file, or else of all files."""
    if known:
        made = _terms({**values, "custom_schedule": known.schedule})
        return (
            Problem("commitment_id_conflict", f"{commitment_id} is known already, with other terms.") if isinstance(made, Problem) else made
        )
    if not lines:
        return Problem("waiting_for_installments", f"{commitment_id} waits for its rows of the installments feed.")
    newest = max(line.file_sequence for line in lines)
    problem: Problem | None = None
    for candidates in ([line for line in lines if line.file_sequence == newest], lines):
        made = _listed(values, list({line.sequence: line for line in candidates}.values()))
        if not isinstance(made, Problem):
            return made
        problem = made
    return problem or Problem("terms", "")


def _listed(values: Mapping[str, Any], lines: Sequence[Line]) -> domain_terms.Terms | Problem:
    currency = values["currency"]
    schedule: list[dict[str, Any]] = []
    for line in sorted(lines, key=lambda line: line.sequence):
        minor = parse_amount(line.amount, currency)
        if isinstance(minor, BadAmount):
            return Problem(
                "installment_amount", f"Installment {line.sequence} of {line.commitment_id}: {line.amount} is no amount in {currency}."
            )
        schedule.append({"sequence": line.sequence, "due_date": line.due_date, "amount_minor": minor, "grace_days": line.grace_days})
    listed, payable = sum(line["amount_minor"] for line in schedule), values["amount_minor"] - values["discount_minor"]
    if listed != payable:
        return Problem(
            "installments_sum",
            f"The {len(schedule)} installments of {lines[0].commitment_id} add up to {format_amount(listed, currency)},"
            f" but {format_amount(payable, currency)} is to be paid.",
        )
    return _terms({**values, "custom_schedule": schedule})


def _open_total(row: Mapping[str, Any], invoices: Mapping[str, Mapping[str, Any]]) -> int | Problem:
    """The debt a repeating promise without a count is to settle: what is open on the invoices it covers."""
    if not row["invoice_ids"]:
        return Problem("repeating_total", f"{row['commitment_id']} has neither an installment_count nor invoices to settle.")
    total = 0
    for invoice_id in row["invoice_ids"]:
        invoice = invoices.get(invoice_id)
        if invoice is None or invoice["customer_id"] != row["customer_id"]:
            return Problem(
                "repeating_total", f"{row['commitment_id']} has no installment_count, and {row['customer_id']} has no invoice {invoice_id}."
            )
        if invoice["currency"] != row["currency"]:
            return Problem(
                "repeating_total", f"{row['commitment_id']} is in {row['currency']}, invoice {invoice_id} in {invoice['currency']}."
            )
        if invoice["open_amount_minor"] is not None:
            total += invoice["open_amount_minor"]
        elif invoice["settled_date"] is None:
            total += invoice["amount_minor"]
    if total == 0:
        return Problem("repeating_total", f"Nothing is open on the invoices of {row['commitment_id']}.")
    return total


# --- what became of the lines ---


def _commitment_answers(
    rows: Iterable[tuple[str, int, str]], answered: Mapping[Place, commitments.LineOutcome], waiting: Mapping[Place, Problem]
) -> Answers:
    answers = Answers({}, {})
    for sha256, line_number, commitment_id in rows:
        place = sha256, line_number
        if place in waiting:
            answers.refused[place] = commitment_id, waiting[place]
            continue
        outcome = answered[place]
        if rule := _QUARANTINED.get(outcome.rule):
            answers.refused[place] = commitment_id, Problem(rule, outcome.reason)
        else:
            answers.taken[place] = outcome.outcome, commitment_id
    return answers


def _first_problems(refused: Mapping[Place, tuple[str, Problem]]) -> dict[str, Problem]:
    first: dict[str, Problem] = {}
    for commitment_id, problem in refused.values():
        first.setdefault(commitment_id, problem)
    return first


def _installment_answers(schedules: Mapping[str, Sequence[Line]], known: Mapping[str, Known], problems: Mapping[str, Problem]) -> Answers:
    answers = Answers({}, {})
    for commitment_id, lines in schedules.items():
        held = known.get(commitment_id)
        if held and held.schedule:
            _against_schedule(answers, commitment_id, lines, held)
            continue
        if held:
            problem = Problem("commitment_unknown", f"{commitment_id} is not a custom plan; its installments follow from its terms.")
        elif commitment_id in problems:
            why = problems[commitment_id]
            problem = (
                why
                if why.rule not in ("duplicate_commitment", "over_promised")
                else Problem("commitment_unknown", f"{commitment_id} was not taken. {why.message}")
            )
        else:
            problem = Problem("commitment_unknown", f"No commitment {commitment_id} has been received.")
        for line in lines:
            answers.refused[line.place] = commitment_id, problem
    return answers


def _against_schedule(answers: Answers, commitment_id: str, lines: Sequence[Line], held: Known) -> None:
    """The first line that says what the ledger holds is the one that was loaded; the same again is a repeat, anything else is not taken."""
    wanted = {line.sequence: (line.due_date, line.amount_minor, line.grace_days) for line in held.schedule}
    loaded: set[int] = set()
    for line in lines:
        if wanted.get(line.sequence) == (line.due_date, parse_amount(line.amount, held.currency), line.grace_days):
            answers.taken[line.place] = "duplicate" if line.sequence in loaded else "loaded", commitment_id
            loaded.add(line.sequence)
            continue
        has = wanted.get(line.sequence)
        says = f"with {format_amount(has[1], held.currency)} due {has[0]}" if has else "without it"
        answers.refused[line.place] = (
            commitment_id,
            Problem(
                "installment_conflict",
                f"{commitment_id} was taken {says}: installment {line.sequence} changes by renegotiation, not by a file.",
            ),
        )


def _write(stage: Path, answers: Mapping[str, Answers]) -> None:
    import polars as pl

    files = pl.read_parquet(stage / "files.parquet", columns=["feed", "file_sha256", "file_name"])
    names = {(feed, sha256): name for feed, sha256, name in files.iter_rows()}
    taken = [(feed, *place, *outcome) for feed, found in answers.items() for place, outcome in found.taken.items()]
    refused = [
        (feed, names[feed, sha256], sha256, line_number, "commitment_id", commitment_id, problem.rule, problem.message)
        for feed, found in answers.items()
        for (sha256, line_number), (commitment_id, problem) in found.refused.items()
    ]
    _replace(stage / "commitment_lines.parquet", taken, LINE_COLUMNS)
    _replace(stage / "commitment_quarantine.parquet", refused, QUARANTINE_COLUMNS)


def _replace(path: Path, rows: Sequence[tuple[Any, ...]], columns: Mapping[str, str]) -> None:
    import polars as pl

    kinds: dict[str, Any] = {"VARCHAR": pl.String, "INTEGER": pl.Int32}
    frame: pl.DataFrame = pl.DataFrame(rows, schema={name: kinds[kind] for name, kind in columns.items()}, orient="row")
    draft = path.with_name(f".{uuid4().hex}")
    frame.write_parquet(draft, compression="zstd")
    draft.replace(path)
