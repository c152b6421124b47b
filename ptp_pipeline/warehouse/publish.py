"""Putting a finished run in place: a versioned folder with a DuckDB file, Parquet, CSV and XLSX, then the `current` link.

What the tables say is decided in sql/warehouse/published, and their sentences in sql/warehouse/sentences. Here they are made, straight
into the build's own file, and put in place so that a reader never sees half a build and a crash leaves nothing but a folder the next
build removes. A build is made whole, or from another build with the rows of some customers replaced.
"""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime
from hashlib import file_digest, sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptp_pipeline import __version__
from ptp_pipeline.domain.export import guard_sql
from ptp_pipeline.errors import WorkFailed
from ptp_pipeline.settings import Settings
from ptp_pipeline.warehouse import increment
from ptp_pipeline.warehouse.checks import Violation, run_checks
from ptp_pipeline.warehouse.expectations import EXPECTATIONS, Failure, Validation, unmet
from ptp_pipeline.warehouse.expectations import validate as validate_tables
from ptp_pipeline.warehouse.models import (
    Model,
    TableStats,
    Warehouse,
    columns_of,
    connect,
    create_table,
    sql_text,
    stage_models,
    stored_table,
)
from ptp_pipeline.warehouse.sentences import sentences_of
from ptp_pipeline.warehouse.suggestions import SUGGESTION_STEPS

if TYPE_CHECKING:
    import duckdb

# The oldest format written as fast as the newest; DuckDB 1.5 opens it.
STORAGE_VERSION = "v1.5.0"
DATABASE = "ptp.duckdb"
MANIFEST = "build.json"
DOCS = "data_docs"
SPREADSHEETS = ("plan_status", "scorecard_customer", "scorecard_owner")
# What people open without a query: these are written as CSV however long they are.
REPORTS = (*SPREADSHEETS, "broken_promises", "unmatched_payments", "quarantine", "files", "run_info")
# A longer sheet takes the library seconds to write in every run; the CSV has all rows, and `ptp export` makes the sheet for whoever asks.
SPREADSHEET_ROWS = 5_000
# What a run found out about people's money: the audit trail keeps counts and digests of these, not their rows.
AUDITED = ("allocations", "transitions")
RUN_INFO = {
    "org_id": "the org",
    "as_of": "business date all tables answer for",
    "built_at": "when the build was made (UTC)",
    "run_id": "run that made it",
    "ledger_position": "how far the ledger was when the run read it",
    "policy_version": "version of the org's policy the run used",
    "version": "version of ptp that made it",
    "audit_seq": "number of the last event of the audit trail when the build was made",
    "audit_hash": "hash of that event: the head of the chain; `ptp audit verify` compares it with the ledger",
    "digest": "digest over the contents of all other tables: equal for equal tables made by the same version",
}
# What a table's column says about whose row it is. `whole` tables are made anew in every build.
BY_CUSTOMER, WHOLE = "customer_id", "whole"
# Whose rows an increment replaces. Rows of nobody (a decision on a payment that is not in the book) are in every one.
THEIRS = "(customer_id is null or customer_id in (from scope))"
# A whole build makes these tables first: the ledger can take the transitions in while the others are made.
_FIRST = ("scales", "transitions")


@dataclass(frozen=True)
class TableDigest:
    """Number of rows of a table and the sum of their hashes: rows can be added and taken away, in any order."""

    rows: int
    hashes: int

    def __add__(self, other: "TableDigest") -> "TableDigest":
        return TableDigest(self.rows + other.rows, self.hashes + other.hashes)

    def __sub__(self, other: "TableDigest") -> "TableDigest":
        return TableDigest(self.rows - other.rows, self.hashes - other.hashes)


@dataclass(frozen=True)
class Build:
    """One published build."""

    path: Path
    build_id: str
    org: str
    as_of: date
    built_at: datetime
    run_id: str
    digest: str
    tables: dict[str, int]
    is_current: bool
    validation: Validation | None
    notes: list[str] = field(default_factory=list)
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """What a build answers for, and who made it when."""

    org: str
    as_of: date
    run_id: str
    built_at: datetime
    ledger_position: int
    policy_version: int
    audit_seq: int = 0
    audit_hash: str = ""


# What a draft calls as soon as its transitions are made, with the connection that has them as `built.transitions`.
Offer = Callable[["duckdb.DuckDBPyConnection"], None]


@dataclass
class Draft:
    """A build that is written but not in place: nobody sees it yet. Its tables are open in `con`, as `built.<table>`.

    One made from another has that one as its `base`, with its digests, and knows what its customers' new rows do not meet.
    """

    settings: Settings
    answer: Answer
    folder: Path
    con: "duckdb.DuckDBPyConnection"
    digests: dict[str, TableDigest]
    base: Path | None = None
    base_digests: Mapping[str, TableDigest] = field(default_factory=dict)
    unmet: list[Failure] = field(default_factory=list)

    def stats(self) -> dict[str, TableStats]:
        """Rows and columns of every table."""
        return {table: TableStats(found.rows, columns_of(self.con, f"built.{table}")) for table, found in self.digests.items()}

    def violations(self) -> list[Violation]:
        """The checks of the published stage over these tables, also those that hold."""
        return run_checks(self.con, "published")


def publish(
    settings: Settings,
    org: str,
    as_of: date,
    run_id: str,
    built_at: datetime,
    *,
    ledger_position: int,
    policy_version: int,
    make_current: bool = False,
    validate: bool = True,
) -> Build:
    """Make the org's published tables from its warehouse and put them in place. Only the holder of the org's run lock may call it.

    Raises WorkFailed when a check does not hold, or when the warehouse was made for another date or not at all.
    """
    answer = Answer(org, as_of, run_id, built_at, ledger_position, policy_version)
    with draft(settings, answer) as written:
        return _checked(written, make_current=make_current, validate=validate)


def publish_delta(
    settings: Settings,
    org: str,
    as_of: date,
    run_id: str,
    built_at: datetime,
    *,
    ledger_position: int,
    policy_version: int,
    base: str,
    customers: Path,
    delta: Warehouse,
    make_current: bool = False,
    validate: bool = True,
) -> Build:
    """The same from an earlier build and the tables of some customers: see `delta_draft`."""
    answer = Answer(org, as_of, run_id, built_at, ledger_position, policy_version)
    with delta_draft(settings, answer, base, customers, delta) as written:
        return _checked(written, make_current=make_current, validate=validate)


def _checked(written: Draft, *, make_current: bool, validate: bool) -> Build:
    broken = [v for v in written.violations() if not v.passed]
    if broken:
        raise WorkFailed(f"Nothing was published: {broken[0].message} {broken[0].detail}")
    build = place(written, make_current=make_current, validate=validate)
    remove_old(written.settings, build)
    return build


def draft_of(
    settings: Settings, answer: Answer, scope: "increment.Scope | None", offer: Offer | None = None
) -> AbstractContextManager[Draft]:
    """The draft of a run: a whole build, or an increment to the build that its scope names."""
    if scope is None:
        return draft(settings, answer, offer)
    if _manifest(settings.published(answer.org) / scope.base).get("digest") != scope.base_digest:
        raise WorkFailed(f"Build {scope.base}, which this run was to start from, is gone.", "Run the whole job again.")
    customers = increment.customers_file(settings, answer.org)
    return delta_draft(settings, answer, scope.base, customers, increment.part(settings, answer.org), offer)


@contextmanager
def draft(settings: Settings, answer: Answer, offer: Offer | None = None) -> Iterator[Draft]:
    """A whole build from the org's warehouse. Raises WorkFailed when that was made for another date, or not at all."""
    warehouse = Warehouse(settings, answer.org)
    _refuse_other_date(warehouse, answer)
    folder = _fresh_folder(settings, answer)
    con = warehouse.open_for("published")
    try:
        _attach(con, folder)
        con.execute("create schema published")
        digests = {}
        for model in sorted(stage_models("published"), key=lambda model: model.table not in _FIRST):
            if model.is_kept:
                _make(con, model)
                digests[model.table] = table_digest(con, model.table, f"built.{model.table}")
            else:
                create_table(con, model)
            if offer and model.table == "transitions":
                offer(con)
        yield Draft(settings, answer, folder, con, digests)
    finally:
        con.close()


@contextmanager
def delta_draft(
    settings: Settings, answer: Answer, base: str, customers: Path, delta: Warehouse, offer: Offer | None = None
) -> Iterator[Draft]:
    """A build made from another one, with the rows of some customers replaced.

    `base` is the id of the build it starts from, `customers` a Parquet file with the column `customer_id`, and `delta` a warehouse with
    the facts and outcomes of those customers and of nobody else; its `raw.files`, `raw.quarantine` and ledger settings are the whole
    org's. The result equals a full build if nobody else's rows would be different: who the customers are is the caller's business, and
    for another as_of than the base's that is everyone whose rows depend on the day. Suggestions look at everybody's commitments and are
    made anew, from the tables of the new build and the ledger stage of the org's own warehouse. Raises WorkFailed when the base does not
    serve.
    """
    source = settings.published(answer.org) / base
    base_digests = _base_digests(source, base)
    digests = dict(base_digests)
    _refuse_other_date(delta, answer)
    folder = _fresh_folder(settings, answer)
    shutil.copyfile(source / DATABASE, folder / DATABASE)
    con = delta.open_for("published")
    try:
        _attach(con, folder)
        con.execute(f"create temp table scope as select distinct customer_id from read_parquet({sql_text(customers)})")
        con.execute("create schema published")
        models = stage_models("published")
        for model in models:
            if not model.is_kept or model.scope == BY_CUSTOMER:
                create_table(con, model)
        for model in models:
            if model.is_kept and model.scope == BY_CUSTOMER:
                digests[model.table] += _replace_rows(con, model)
        failures = unmet(con, "published", _by_customer())
        con.execute("drop schema published cascade; create schema published")
        _suggest(con, Warehouse(settings, answer.org))
        for model in models:
            if not model.is_kept:
                create_table(con, model)
            elif model.scope == BY_CUSTOMER:
                con.execute(f"create view published.{model.table} as from built.{model.table}")
            else:
                con.execute(f"drop table built.{model.table}")
                _make(con, model)
                digests[model.table] = table_digest(con, model.table, f"built.{model.table}")
        con.execute("drop table built.run_info")
        if offer:
            offer(con)
        yield Draft(settings, answer, folder, con, digests, source, base_digests, failures)
    finally:
        con.close()


def place(
    written: Draft, *, make_current: bool = False, validate: bool = True, before_current: Callable[[], object] = lambda: None
) -> Build:
    """Write the files beside the tables and put the build in place.

    It becomes current unless a build for a later date is; `make_current` moves the link even then. One that does not meet its
    expectations is kept, with the Data Docs that say why, and never becomes current. `before_current` is called when it will be: nothing
    is put in place if that raises. Doing it all again makes another build with the same tables.
    """
    settings, answer, folder = written.settings, written.answer, written.folder
    root = settings.published(answer.org)
    digest = build_digest(written.con, written.digests)
    built_at = answer.built_at.astimezone(UTC).replace(tzinfo=None) if answer.built_at.tzinfo else answer.built_at
    info = {
        "org_id": answer.org,
        **{name: value for name, value in asdict(answer).items() if name in RUN_INFO},
        "built_at": built_at,
        "version": __version__,
        "digest": digest,
    }
    _write_run_info(written.con, info)
    tables = {**{name: found.rows for name, found in written.digests.items()}, "run_info": 1}
    notes = _write_files(written, tables)
    validation = _validated(written) if validate else None
    written.con.execute("detach built")
    build_id = _free_name(root, f"{answer.as_of}-{re.sub(r'[^A-Za-z0-9]', '', answer.run_id)[:8] or 'run'}")
    is_current = (validation is None or validation.passed) and may_become_current(settings, answer, make_current=make_current)
    if is_current:
        before_current()
    audited = {name: {"rows": written.digests[name].rows, "digest": str(written.digests[name].hashes)} for name in AUDITED}
    evidence = {
        "audit_seq": answer.audit_seq,
        "audit_hash": answer.audit_hash,
        "database_sha256": database_sha256(folder),
        **audited,
    }
    build = Build(
        root / build_id,
        build_id,
        answer.org,
        answer.as_of,
        built_at,
        answer.run_id,
        digest,
        tables,
        is_current,
        validation,
        notes,
        evidence,
    )
    manifest = {
        **asdict(build),
        "path": build_id,
        "ledger_position": answer.ledger_position,
        "policy_version": answer.policy_version,
        "version": __version__,
        "digest_method": _digest_method(),
        "made_by": made_by(),
        # As text: they are wider than the integers of most JSON readers.
        "table_digests": {name: [found.rows, str(found.hashes)] for name, found in written.digests.items()},
    }
    del manifest["is_current"]
    (folder / MANIFEST).write_text(json.dumps(manifest, default=str, indent=2) + "\n", encoding="utf-8")
    folder.rename(build.path)
    if is_current:
        _point_current_at(root, build_id)
    return build


def may_become_current(settings: Settings, answer: Answer, *, make_current: bool = False) -> bool:
    """Whether a build will be the current one if it meets its expectations."""
    return make_current or answer.as_of >= (current_as_of(settings, answer.org) or answer.as_of)


def _validated(written: Draft) -> Validation:
    """Great Expectations over a build made whole. Of an increment only rows that are new are held against the same expectations.

    The pages stay those of the build made whole, unless there is something to show.
    """
    docs = written.folder / DOCS
    if written.base is None or not (written.base / DOCS).exists():
        return validate_tables(written.con, "built", docs)
    failures = written.unmet + unmet(written.con, "built", EXPECTATIONS.keys() - _by_customer())
    if failures:
        shown = validate_tables(written.con, "built", docs)
        return replace(shown, failures=failures + shown.failures)
    shutil.copytree(written.base / DOCS, docs, copy_function=increment.same_file)
    count = sum(len(of_table) for of_table in EXPECTATIONS.values())
    return Validation(count, [], ["The Data Docs are those of the last build made whole; all rows that are new since meet the same."])


@contextmanager
def beside(
    settings: Settings, build: Build, known: str = "", known_digest: str = "", scope: "increment.Scope | None" = None
) -> Iterator[tuple["duckdb.DuckDBPyConnection", Path, bool, str]]:
    """A connection to a build as `built` and an earlier one as `known`, and a folder for what comes of it.

    The third value tells whether the earlier one is there: false when it is the same, was removed, or does not open any more. The last is
    a condition that all rows meet which can be different: of some customers, if `scope` made the build from that very one.
    """
    folder = Warehouse(settings, build.org).fresh_dir("beside")
    con = connect(settings, folder / "spill")
    try:
        con.execute(f"attach {sql_text(build.path / DATABASE)} as built (read_only)")
        earlier = known if known != build.build_id else ""
        yield con, folder, *_attach_known(con, settings, build.org, earlier, known_digest, scope)
    finally:
        con.close()
        shutil.rmtree(folder, ignore_errors=True)


def _attach_known(
    con: "duckdb.DuckDBPyConnection", settings: Settings, org: str, known: str, known_digest: str, scope: "increment.Scope | None"
) -> tuple[bool, str]:
    """The last two values of `beside`."""
    earlier = settings.published(org) / known
    is_known = bool(known) and _manifest(earlier).get("digest") == known_digest != "" and attach_earlier(con, earlier)
    if not (is_known and scope and (scope.base, scope.base_digest) == (known, known_digest)):
        return is_known, "true"
    con.execute(f"create temp table if not exists scope as from read_parquet({sql_text(increment.customers_file(settings, org))})")
    return True, THEIRS


def attach_earlier(con: "duckdb.DuckDBPyConnection", folder: Path) -> bool:
    """Attach an earlier build as `known`; false when it is not there, or does not open any more."""
    import duckdb

    if not (folder / DATABASE).exists():
        return False
    try:
        con.execute(f"attach {sql_text(folder / DATABASE)} as known (read_only)")
    except duckdb.Error:
        return False
    return True


def write_new_transitions(
    con: "duckdb.DuckDBPyConnection",
    target: Path,
    settings: Settings,
    org: str,
    known: str = "",
    known_digest: str = "",
    scope: "increment.Scope | None" = None,
) -> None:
    """Write the transitions of `built` that the build `known` does not have: all of them when that one is not there.

    A CSV file of the columns that the ledger keeps, without a header, in the order of the table. `scope` is what `built` was made from.

    `known` must be one whose transitions the ledger has: the last that was *recorded*, not the last that was published. A run that was
    killed between the two left a build whose transitions nobody appended.
    """
    import duckdb

    offered = "built.stored.transitions"
    is_known, concerned = _attach_known(con, settings, org, known, known_digest, scope)
    if is_known:
        # From what is stored: the sentences of the view would be made for every row before the few that are new are picked.
        relations = {"known": "known.transitions", "built": offered}
        if concerned != "true":  # the earlier build is the one that this was made from: it is kept in the same way
            rows = "(from {0}.stored.transitions where rowid in (select rowid from {0}.stored.transitions where {1}))"
            relations = {name: rows.format(name, concerned) for name in relations}
        with suppress(duckdb.Error):  # of a damaged build: the ledger itself can tell what it has
            con.execute(f"create temp table fresh as {_NOT_KNOWN.format(**relations)}")
            offered = "fresh"
        con.execute("detach known")
    words = {name: f"({said}) as {name}" for name, said in sentences_of("transitions").items()}
    recorded = ", ".join(words.get(name, name) for name in _RECORDED)
    # Sentences make DuckDB write rows in any order, unless told: a sorted file is inserted faster, into a smaller index.
    con.execute(f"copy (select {recorded} from {offered}) to {sql_text(target)} (format csv, header false, preserve_order true)")


_TRANSITION = "commitment_id, version, sequence, effective_on, to_state, from_state"
_RECORDED = ("commitment_id", "version", "sequence", "from_state", "to_state", "effective_on", "cause", "figures")
# Nearly all days are the same in both: only the rows of days that differ are compared one by one.
_NOT_KNOWN = f"""
with before as (
    select effective_on, count(*) as rows, sum(hash({_TRANSITION})) as hashes from {{known}} group by all
),

now as (
    select effective_on, count(*) as rows, sum(hash({_TRANSITION})) as hashes from {{built}} group by all
),

changed as (
    select n.effective_on from now n left join before b using (effective_on)
    where b.rows is distinct from n.rows or b.hashes is distinct from n.hashes
)

select t.* from {{built}} t
anti join (
    select {_TRANSITION} from {{known}} where effective_on in (from changed)
) k using ({_TRANSITION})
where t.effective_on in (from changed)
"""


def table_digest(con: "duckdb.DuckDBPyConnection", table: str, relation: str, where: str = "true") -> TableDigest:
    """Digest of the rows of a published table, called `relation` in `con`. Sentences follow from the other columns and are left out."""
    columns = ", ".join(_stored_columns(con, table, relation))
    rows, hashes = con.execute(f"select count(*), coalesce(sum(hash({columns})), 0) from {relation} where {where}").fetchall()[0]
    return TableDigest(rows, int(hashes))


def database_sha256(folder: Path) -> str:
    """Of the build's DuckDB file as it lies there: any change to any row shows."""
    with (folder / DATABASE).open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def audit_heads(settings: Settings, org: str) -> list[tuple[str, int, str]]:
    """The heads of the audit chain that the builds on this disk were published with: build, number, hash."""
    found = [
        _manifest(path.parent).get("evidence", {}) | {"build": path.parent.name}
        for path in settings.published(org).glob(f"[0-9]*/{MANIFEST}")
    ]
    return sorted((head["build"], head["audit_seq"], head["audit_hash"]) for head in found if head.get("audit_seq"))


def build_digest(con: "duckdb.DuckDBPyConnection", digests: Mapping[str, TableDigest]) -> str:
    """One digest of all tables, with the names and types of their columns. Needs them as `built.<table>`."""
    lines = []
    for table, found in sorted(digests.items()):
        columns = " ".join(f"{name}:{kind}" for name, kind in columns_of(con, f"built.{table}"))
        lines.append(f"{table} {columns} {found.rows} {found.hashes}")
    return sha256("\n".join(lines).encode()).hexdigest()


def order_of(model: Model) -> str:
    """The order in which a published table is written: the `order by` its statement ends with."""
    return model.sql.rsplit("\norder by ", 1)[1].strip()


def _digest_method() -> str:
    """Hashes of different DuckDB versions do not compare."""
    import duckdb

    return f"sum of DuckDB {duckdb.__version__} row hashes"


def _kept_models() -> list[Model]:
    return [m for m in stage_models("published") if m.is_kept]


def _by_customer() -> set[str]:
    return {m.table for m in _kept_models() if m.scope == BY_CUSTOMER}


def _stored_columns(con: "duckdb.DuckDBPyConnection", table: str, relation: str) -> list[str]:
    """Columns of a published table that are stored, in order."""
    return [f'"{column}"' for column, _ in columns_of(con, relation) if column not in sentences_of(table)]


def _fresh_folder(settings: Settings, answer: Answer) -> Path:
    root = settings.published(answer.org)
    root.mkdir(parents=True, exist_ok=True)
    for leftover in root.glob(".build-*"):
        shutil.rmtree(leftover)
    folder = root / f".build-{os.getpid()}-{answer.run_id[:8]}"
    folder.mkdir()
    return folder


def _attach(con: "duckdb.DuckDBPyConnection", folder: Path) -> None:
    # Here the order of rows is part of the result.
    con.execute("set preserve_insertion_order = true; set timezone = 'UTC'")
    con.execute(f"attach {sql_text(folder / DATABASE)} as built (storage_version '{STORAGE_VERSION}')")


def _make(con: "duckdb.DuckDBPyConnection", model: Model) -> None:
    """One table of the build's file; models that read it, and checks, find it as `published.<table>`."""
    create_table(con, model, f"built.{model.table}")
    _comment(con, f"built.{model.table}", f"{model.description} Grain: {model.grain}.", model.columns)
    con.execute(f"create view published.{model.table} as from built.{model.table}")


def _replace_rows(con: "duckdb.DuckDBPyConnection", model: Model) -> TableDigest:
    """Put the rows of `published.<table>` in the place of those customers' rows in the file. Returns what that does to the digest."""
    built, fresh = f"built.{model.table}", f"published.{model.table}"
    kept_in = stored_table(built) if model.sentences else built
    # By their places: whoever asks for columns by customer is given those columns of nearly the whole table.
    con.execute(f"create or replace temp table replaced as select rowid as place from {kept_in} where {THEIRS}")
    change = table_digest(con, model.table, fresh) - table_digest(con, model.table, kept_in, "rowid in (from replaced)")
    columns = ", ".join(_stored_columns(con, model.table, built))
    con.execute(f"delete from {kept_in} where rowid in (from replaced)")
    con.execute(f"insert into {kept_in} ({columns}) select {columns} from {fresh} order by {order_of(model)}")
    return change


# The tables that suggestions are made from, as a build has them: what the stages of a whole run would have held.
_AS_BUILT = {
    "ledger.currencies": "select * from everybody.main.ledger_currencies",
    "ledger.commitments": "select * from everybody.main.ledger_commitments",
    "core.customers": "select customer_id, customer_name from built.customers",
    "core.invoices": "select invoice_id, customer_id from built.invoices",
    "core.versions": "select commitment_id, version, customer_id, currency, agreed_on as effective_from, effective_to, overpayment_rule"
    " from built.commitments where approved_by is not null",
    "core.commitment_invoices": "select commitment_id, version, unnest(list_distinct(v.invoice_ids)) as invoice_id"
    " from everybody.main.ledger_versions as v"
    " semi join everybody.core.versions as c using (commitment_id, version)",
    "core.installments": "select i.commitment_id, i.version, i.sequence, i.due_date,"
    " ((i.amount - i.charged_back_amount) * s.scale)::bigint as amount_minor"
    " from built.stored.installments as i join everybody.main.scales as s using (currency) where not i.is_added",
    "matching.debits": "select c.commitment_id, c.version, c.sequence, c.due_date, (c.amount * s.scale)::bigint as amount_minor,"
    " null::date as valid_to from built.chargebacks as c join everybody.main.scales as s using (currency)",
    "matching.decisions": "select payment_id, commitment_id, is_stale from built.decisions",
    "matching.allocations": "select a.payment_id, a.commitment_id, a.version, a.sequence, (a.amount * s.scale)::bigint as amount_minor"
    " from built.stored.allocations as a join everybody.main.scales as s using (currency)",
    "matching.payments": "select p.* exclude (amount, allocated_amount, unapplied_amount, reversed_amount),"
    " (p.amount * s.scale)::bigint as amount_minor, (p.allocated_amount * s.scale)::bigint as allocated_minor,"
    " (p.unapplied_amount * s.scale)::bigint as unapplied_minor"
    " from built.stored.payments as p join everybody.main.scales as s using (currency)",
}
# Of these, only rows of commitments that a payment may belong to are read once it is known which payments look for a place: of customers
# it leads to, named by it, or with an installment of its amount. The places of the rows are looked up first, as in `_replace_rows`.
_NEAR = """
create table main.near as
select commitment_id from core.versions where customer_id in (select customer_id from matching.suggestion_customers)
union
select commitment_id from matching.suggestion_mentions where commitment_id is not null
union
select commitment_id from built.stored.installments
where amount - charged_back_amount in (
    select (p.amount_minor * (1000 // s.scale) * 0.001)::decimal(18, 3)
    from matching.suggestion_payments as p join main.scales as s using (currency) where not p.is_placed
)
"""
_NARROWED = {"core.installments": "i", "matching.allocations": "a"}


def _suggest(con: "duckdb.DuckDBPyConnection", whole: Warehouse) -> None:
    """Make matching.suggestions of all payments of `built`, and matching.payments to go with it, in place of those of some customers."""
    with con.cursor() as cursor:
        cursor.execute("set timezone = 'UTC'; attach ':memory:' as everybody; use everybody")
        for table in ("currencies", "commitments", "versions"):
            path = whole.stage_dir("ledger") / f"{table}.parquet"
            cursor.execute(f"create view ledger_{table} as from read_parquet({sql_text(path)})")
        cursor.execute("create view scales as select currency, (10 ** exponent)::bigint as scale from ledger_currencies")
        cursor.execute("create schema ledger; create schema core; create schema matching")
        for name, rows in _AS_BUILT.items():
            cursor.execute(f"create view {name} as {rows}")
        for model in stage_models("matching"):
            if model.table.startswith("suggestion"):
                if model.table == "suggestion_candidates":
                    _narrow(cursor)
                create_table(cursor, model)
                if step := SUGGESTION_STEPS.get(model.table):
                    step(cursor)
        cursor.execute("use memory")
    for table in ("suggestions", "payments"):
        con.execute(f"create or replace view matching.{table} as from everybody.matching.{table}")


def _narrow(con: "duckdb.DuckDBPyConnection") -> None:
    con.execute(_NEAR)
    for name, rows in _NARROWED.items():
        table = name.split(".")[1]
        con.execute(
            f"create table main.near_{table} as select rowid as place from built.stored.{table}"
            " where commitment_id in (select commitment_id from main.near)"
        )
        where = "and" if " where " in _AS_BUILT[name] else "where"
        con.execute(f"create or replace view {name} as {_AS_BUILT[name]} {where} {rows}.rowid in (from everybody.main.near_{table})")


def state_of(settings: Settings, org: str, build_id: str, digest: str) -> "increment.Base | None":
    """What the org's current build was made of, if it is the build of this id and digest; None otherwise."""
    import duckdb

    folder = settings.published(org) / build_id
    manifest = _manifest(folder)
    if manifest.get("digest") != digest or settings.current_build(org).resolve().name != build_id:
        return None
    if not {"ledger_position", "policy_version", "made_by", "table_digests"} <= manifest.keys():
        return increment.Base(build_id, digest, None)
    try:
        with duckdb.connect() as con:
            con.execute(f"attach {sql_text(folder / DATABASE)} as base (read_only)")
            rows = con.execute("select file_sequence, feed, file_sha256, rows_in from base.files").fetchall()
    except duckdb.Error:  # a build that does not open any more
        return increment.Base(build_id, digest, None)
    files = frozenset(increment.File(*row) for row in rows)
    day = date.fromisoformat(manifest["as_of"])
    state = increment.State(day, manifest["ledger_position"], manifest["policy_version"], manifest["made_by"], files)
    return increment.Base(build_id, digest, state)


def made_by() -> str:
    """Program, models and digests of now: builds that agree on them can be made from one another."""
    return increment.made_by(__version__, _digest_method())


def _base_digests(source: Path, base: str) -> dict[str, TableDigest]:
    """What the base build says about its tables. Raises WorkFailed when it was made by another version."""
    manifest = _manifest(source)
    found = {name: TableDigest(rows, int(hashes)) for name, (rows, hashes) in manifest.get("table_digests", {}).items()}
    expected = {m.table for m in _kept_models()}
    if manifest.get("made_by") != made_by() or found.keys() != expected:
        raise WorkFailed(f"Build {base} was made by another version or is gone: the next one must be made whole.")
    return found


def _manifest(folder: Path) -> dict[str, Any]:
    """build.json of a build; nothing when there is none."""
    try:
        found: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return found


def _write_files(written: Draft, tables: Mapping[str, int]) -> list[str]:
    """Parquet, CSV and XLSX of a build. Returns notes on what was left out.

    A table of millions is in the DuckDB file, once: writing it three times would cost more than matching it. An increment writes the
    tables that its rows changed; the files of the others are those of the build it was made from.
    """
    folder, most_rows = written.folder, written.settings.table_file_rows
    (folder / "tables").mkdir()
    (folder / "reports").mkdir()
    same = {table for table, found in written.digests.items() if written.base_digests.get(table) == found}
    models = {model.table: model for model in _kept_models()}
    wanted = {
        **{Path("tables", f"{table}.parquet"): table for table, rows in tables.items() if rows <= most_rows},
        **{Path("reports", f"{table}.csv"): table for table, rows in tables.items() if rows <= most_rows or table in REPORTS},
    }
    copies = []
    for place, table in wanted.items():
        if written.base and table in same and (written.base / place).exists():
            increment.same_file(written.base / place, folder / place)
        else:
            # New rows of an increment are the last of their tables, but people read the reports in their order.
            order = order_of(models[table]) if written.base and table in models.keys() & {*REPORTS} else ""
            copies.append(_copy_statement(written.con, table, folder / place, order))
    _at_once(written.con, copies, written.settings.duckdb_threads)
    notes = [
        note for name in SPREADSHEETS if (note := _write_spreadsheet(written.con, models[name], tables[name], folder, written.answer.as_of))
    ]
    for path in (*folder.glob("tables/*"), *folder.glob("reports/*")):
        path.chmod(path.stat().st_mode & ~0o222)  # the next increments may have the same files
    if left_out := sorted(table for table, rows in tables.items() if rows > most_rows):
        notes.append(
            f"Tables of more than {most_rows:,} rows are in {DATABASE} only: {', '.join(left_out)}."
            " `ptp export --table NAME` writes any of them."
        )
    return notes


def _copy_statement(con: "duckdb.DuckDBPyConnection", table: str, path: Path, order: str) -> str:
    if path.suffix == ".parquet":
        return f"copy built.{table} to {sql_text(path)} (format parquet, compression zstd)"
    text = [column for column, kind in columns_of(con, f"built.{table}") if kind == "VARCHAR"]
    guarded = ", ".join(f'{guard_sql(_quoted(c))} as "{c}"' for c in text)
    replaced = f" replace ({guarded})" if guarded else ""
    ordered = f" order by {order}" if order else ""
    # Sentences make DuckDB write a long table in any order, unless told.
    return f"copy (select *{replaced} from built.{table}{ordered}) to {sql_text(path)} (format csv, header, preserve_order true)"


def _at_once(con: "duckdb.DuckDBPyConnection", statements: Sequence[str], threads: int) -> None:
    """Run statements that do not depend on each other. DuckDB writes a file of text with one thread: several files keep the others busy."""

    def run(statement: str) -> None:
        with con.cursor() as cursor:
            cursor.execute("set timezone = 'UTC'")
            cursor.execute(statement)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(run, statements))


def _quoted(column: str) -> str:
    return f'"{column}"'


def _write_run_info(con: "duckdb.DuckDBPyConnection", info: Mapping[str, object]) -> None:
    con.execute(
        "create table built.run_info (org_id varchar, as_of date, built_at timestamp, run_id varchar, ledger_position bigint,"
        " policy_version integer, version varchar, audit_seq bigint, audit_hash varchar, digest varchar)"
    )
    con.execute(f"insert into built.run_info values ({', '.join('?' * len(RUN_INFO))})", [info[name] for name in RUN_INFO])
    _comment(con, "built.run_info", "What this build answers for. Grain: one row.", RUN_INFO)


def _comment(con: "duckdb.DuckDBPyConnection", table: str, description: str, columns: Mapping[str, str]) -> None:
    """Keep the data dictionary inside the file, where every client shows it."""
    kind = "view" if sentences_of(table.rsplit(".", 1)[1]) else "table"
    said = [f"comment on {kind} {table} is {sql_text(description)}"]
    said += [f'comment on column {table}."{column}" is {sql_text(meaning)}' for column, meaning in columns.items()]
    con.execute("; ".join(["begin", *said, "commit"]))  # at once: each would be a write to disk of its own


def _write_spreadsheet(con: "duckdb.DuckDBPyConnection", model: Model, rows: int, fresh: Path, as_of: date) -> str:
    """One table as XLSX. Returns what to tell people when it was left out."""
    table = model.table
    if rows > SPREADSHEET_ROWS:
        wanted = f"ptp export --table {table} --format xlsx"
        return f"{table}.xlsx was left out: more than {SPREADSHEET_ROWS:,} rows. See {table}.csv, or make the sheet with {wanted}."
    import polars as pl
    from xlsxwriter import Workbook

    frame = con.sql(f"select * from built.{table} order by {order_of(model)}").pl()
    amounts = [name for name, kind in frame.schema.items() if kind == pl.Decimal(18, 3)]
    # A cell that starts with = is text here, never a formula; a fixed date of creation keeps equal builds equal.
    options = {"strings_to_formulas": False, "strings_to_urls": False, "remove_timezone": True}
    with Workbook(fresh / "reports" / f"{table}.xlsx", options) as workbook:
        workbook.set_properties({"title": table, "created": datetime.combine(as_of, datetime.min.time())})
        frame.write_excel(
            workbook,
            worksheet=table,
            autofit=True,
            freeze_panes=(1, 0),
            column_formats=dict.fromkeys(amounts, "#,##0.00#"),
            dtype_formats={pl.Date: "yyyy-mm-dd", pl.Datetime: "yyyy-mm-dd hh:mm"},
        )
    return ""


def _refuse_other_date(warehouse: Warehouse, answer: Answer) -> None:
    """Tables made for another date must not be published under this one."""
    params = warehouse.stage_dir("ledger") / "params.parquet"
    again = f"Run `ptp run --org {answer.org} --as-of {answer.as_of}`."
    if not params.exists() or not warehouse.stage_dir("outcomes").exists():
        raise WorkFailed(f"There is nothing to publish for {answer.org}: no run has judged anything.", again)
    made_for = warehouse.params()["as_of"]
    if made_for != answer.as_of:
        raise WorkFailed(f"The tables of {answer.org} answer for {made_for}, not for {answer.as_of}: another run came between.", again)


def _free_name(root: Path, name: str) -> str:
    """The name, or the name with a number: a process that has a removed build open would get its old tables under the same path."""
    taken = {path.name for path in root.iterdir()}
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    return free


def current_as_of(settings: Settings, org: str) -> date | None:
    """The business date of the org's current build; None before the first."""
    found = _manifest(settings.current_build(org)).get("as_of")
    return date.fromisoformat(found) if found else None


def _point_current_at(root: Path, build_id: str) -> None:
    """Move the link in one step; readers see the old build or the new one."""
    link = root / ".current"
    link.unlink(missing_ok=True)
    link.symlink_to(build_id, target_is_directory=True)
    link.replace(root / "current")


def remove_old(settings: Settings, newest: Build) -> None:
    """Remove builds beyond the limit, oldest first, but never the current one nor the one just made."""
    root = settings.published(newest.org)
    spared = {newest.build_id, (root / "current").resolve().name}
    builds = [(_manifest(manifest.parent)["built_at"], manifest.parent) for manifest in root.glob(f"[0-9]*/{MANIFEST}")]
    for _, path in sorted(builds, reverse=True)[settings.keep_builds :]:
        if path.name not in spared:
            doomed = root / f".build-old-{path.name}"
            path.rename(doomed)
            shutil.rmtree(doomed)
