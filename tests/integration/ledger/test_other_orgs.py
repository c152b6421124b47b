"""Every service of the ledger, used in one org, against the rows of another: neither seen, counted, guessed nor written.

The services are found by looking, so one without a case here fails; so does a statement that no case runs. Every statement runs a
second time with the other org's name in the place of its own.
"""

import ast
import datetime as dt
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from ptp_pipeline import ledger as package
from ptp_pipeline.domain.messages import Attachment, Message
from ptp_pipeline.errors import PtpError
from ptp_pipeline.ledger import (
    approvals,
    audit,
    builds,
    commitments,
    connection,
    files,
    orgs,
    outbox,
    overrides,
    policies,
    positions,
    run_lock,
    runs,
    snapshot,
    transitions,
    users,
)
from ptp_pipeline.ledger.connection import Actor, Transaction

OPERATOR = Actor("operator", "operator", "operator", "cli")
PIPELINE = Actor("pipeline", "pipeline", "pipeline", "dagster")
DAY, NOW = dt.date(2026, 3, 7), dt.datetime(2026, 3, 7, 8, tzinfo=dt.UTC)
PASSWORD = "correct horse battery"
MARK = "theirsecret"  # in every text of the other org
ZOE = f"zoe.{MARK}"
NOT_SERVICES = {"connection", "embedded", "migrations"}

Case = tuple[str | Actor, Callable[[Transaction], Any]]


def message(key: str, text: str) -> Message:
    return Message("daily", DAY, key, ("a@b.c",), text, text, text, (Attachment("a.csv", "text/csv", text.encode()),))


def facts(name: str, status: str = "accepted") -> files.FileFacts:
    return files.FileFacts("payments", name, 10, "a" * 64, "rows", 3, status)


def transition(commitment_id: str, cause: str) -> dict[str, Any]:
    state = {"version": 1, "sequence": 1, "from_state": "in_grace", "to_state": "broken", "effective_on": DAY}
    return {"commitment_id": commitment_id, **state, "cause": cause, "figures": "{}"}


@pytest.fixture
def theirs(desk, new, tmp_path):
    """Another org with the ids the cases use and some more, everything marked."""
    other = f"org{uuid4().hex[:10]}"
    orgs.create_org(desk.ledger, other, OPERATOR)
    team = type(desk)(desk.ledger, other)
    for name, role in {"cara": "collector", "sue": "supervisor", "ann": "analyst", ZOE: "collector"}.items():
        team.hire(name, role, f"{MARK}@example.com")
    for name in ("PLAN-1", "PLAN-2", "PLAN-3", "PLAN-9"):
        team.log(name, owner=MARK, note=MARK, customer_id="C-1")
    team.receive()
    team.decide("sue", ("PLAN-3", 1), ("PLAN-9", 1), reason=MARK)
    with team.as_("sue") as tx:
        overrides.set_target(tx, "PAY-9", "PLAN-9", MARK)
        overrides.set_target(tx, "PAY-1", "PLAN-1", MARK)
        commitments.cancel(tx, "PLAN-3", DAY, MARK)
    with team.as_(PIPELINE) as tx:
        files.register(tx, facts(f"{MARK}.csv"))
        outbox.enqueue(tx, message("k", MARK))
        transitions.append(tx, [transition("PLAN-9", MARK)], "run-1")
        (tmp_path / "theirs.csv").write_text(f"INV-9,{MARK},USD,9,9,false\n")
        positions.record(tx, {"invoice_position": tmp_path / "theirs.csv"}, positions.Source("b1", MARK, DAY), is_whole=True)
        builds.record(tx, "b1", DAY, "run-1", MARK, {MARK: 1}, 1, {"audit_seq": 1, "audit_hash": MARK})
        row = new("FEED-9", customer_id=MARK, file_sha256="f" * 64, line_number=9)
        commitments.log_many(tx, [row])
    with team.operator() as tx:
        policies.change(tx, {"alert_recipients": [f"{MARK}@example.com"], "grace_days": 9}, MARK, dt.date(2026, 1, 1))
    return team


def each(who: str | Actor, names: tuple[str, ...], act: Callable[[Transaction, str], Any]) -> list[Case]:
    return [(who, lambda tx, name=name: act(tx, name)) for name in names]


def cases(desk, new, tmp_path) -> dict[str, list[Case]]:
    """By service: as whom, and what. Where it can be aimed at the other org's ids, it is."""
    plan, theirs = ("PLAN-1", 1), ("PLAN-9", 1)
    later = new(None, agreed_on="2026-03-04", installment_count=5).terms
    feed_row = new("FEED-9", file_sha256="f" * 64, line_number=9)
    return {
        "commitments.log": each("cara", ("PLAN-1", "PLAN-2", "PLAN-3"), lambda tx, name: commitments.log(tx, new(name))),
        "commitments.log_many": [(PIPELINE, lambda tx: commitments.log_many(tx, [feed_row]))],
        "commitments.pending": [("sue", commitments.pending)],
        "commitments.resolve_pending": [
            ("sue", lambda tx: commitments.resolve_pending(tx, ["PLAN-1"])),
            ("sue", lambda tx: commitments.resolve_pending(tx, ["PLAN-9"])),
        ],
        "commitments.renegotiate": [
            ("cara", lambda tx: commitments.renegotiate(tx, "PLAN-2", later, "r")),
            ("cara", lambda tx: commitments.renegotiate(tx, "PLAN-9", later, "r")),
        ],
        "approvals.decide": [
            ("sue", lambda tx: approvals.decide(tx, [theirs], "approve", "r", "cli", {theirs: []})),
            ("", lambda _: desk.decide("sue", plan)),
        ],
        "approvals.turnaround": [("sue", approvals.turnaround)],
        "approvals.issue_code": [
            ("sue", lambda tx: approvals.issue_code(tx, [theirs])),
            ("sue", lambda tx: approvals.issue_code(tx, [("PLAN-3", 1)])),
        ],
        "approvals.decide_with_code": [
            ("", lambda _: approvals.decide_with_code(desk.ledger, desk.org, "sue", "guess", [theirs], "approve", "r", "cli"))
        ],
        "approvals.present_code": [
            ("", lambda _: approvals.present_code(desk.ledger, desk.org, ZOE, "guess", "cli")),
        ],
        "commitments.pause": each("cara", ("PLAN-1", "PLAN-9"), lambda tx, name: commitments.pause(tx, name, DAY, "r")),
        "commitments.resume": each("cara", ("PLAN-1", "PLAN-9"), lambda tx, name: commitments.resume(tx, name, DAY, "r")),
        "commitments.close": each("sue", ("PLAN-3", "PLAN-9"), lambda tx, name: commitments.close(tx, name, DAY, "r")),
        "commitments.withdraw": each("cara", ("PLAN-3", "PLAN-9"), lambda tx, name: commitments.withdraw(tx, name, DAY, "r")),
        "commitments.newest": each("cara", ("PLAN-1", "PLAN-9"), commitments.newest),
        "commitments.replaced": each("cara", ("PLAN-1", "PLAN-9"), commitments.replaced),
        "commitments.customer_standing": each("cara", ("C-1", MARK), lambda tx, name: commitments.customer_standing(tx, name, "USD")),
        "commitments.cancel": each("sue", ("PLAN-1", "PLAN-9"), lambda tx, name: commitments.cancel(tx, name, DAY, "r")),
        "overrides.set_target": each("cara", ("PLAN-1", "PLAN-9"), lambda tx, name: overrides.set_target(tx, "PAY-9", name, "r")),
        "overrides.split": [
            ("cara", lambda tx: overrides.split(tx, "PAY-1", [overrides.Part("PLAN-1", 1), overrides.Part("PLAN-9", 2)], "r")),
            ("cara", lambda tx: overrides.split(tx, "PAY-1", [overrides.Part("PLAN-1", 1), overrides.Part(None, 2)], "r")),
        ],
        "overrides.undo": [("cara", lambda tx: overrides.undo(tx, "PAY-9", "r")), ("cara", lambda tx: overrides.undo(tx, "PAY-404", "r"))],
        "overrides.in_effect": [("cara", overrides.in_effect), ("cara", lambda tx: overrides.in_effect(tx, ["PAY-9"]))],
        "files.register": [
            (PIPELINE, lambda tx: files.register(tx, facts("ours.csv"))),
            (PIPELINE, lambda tx: files.register(tx, facts("again.csv"))),
            (PIPELINE, lambda tx: files.register(tx, facts("bad.csv", "rejected"))),
        ],
        "files.accepted": [(PIPELINE, files.accepted), ("cara", files.accepted)],
        "files.list_files": [(OPERATOR, files.list_files)],
        "outbox.enqueue": [
            (PIPELINE, lambda tx: outbox.enqueue(tx, message("k", "ours"))),
            (OPERATOR, lambda tx: outbox.enqueue(tx, message("k", "ours"))),
        ],
        "outbox.count_due": [(PIPELINE, lambda tx: outbox.count_due(tx, NOW))],
        "outbox.claim_due": [(PIPELINE, lambda tx: outbox.claim_due(tx, NOW, 10))],
        "outbox.mark_failed": [(PIPELINE, lambda tx: [outbox.mark_failed(tx, n, NOW, "later", NOW) for n in _message_ids(desk)])],
        "outbox.mark_sent": [(PIPELINE, lambda tx: [outbox.mark_sent(tx, n, NOW, "re_1") for n in _message_ids(desk)])],
        "outbox.list_messages": [(OPERATOR, outbox.list_messages)],
        "transitions.append": [(PIPELINE, lambda tx: transitions.append(tx, [transition("PLAN-9", "ours")], "run-1"))],
        "transitions.note": [(PIPELINE, lambda tx: transitions.note(tx, "run-1", 1))],
        "positions.record": [
            (PIPELINE, lambda tx: positions.record(tx, _offered(tmp_path), positions.Source("b1", "ours", DAY), is_whole=True)),
        ],
        "positions.source": [(PIPELINE, positions.source)],
        "positions.add_invoices": [(PIPELINE, lambda tx: positions.add_invoices(tx, [("INV-9", "C-1", "USD", 100, 100)]))],
        "builds.record": [(PIPELINE, lambda tx: builds.record(tx, "b1", DAY, "run-1", "ours", {}, 1, {}))],
        "builds.latest": [(PIPELINE, builds.latest), (PIPELINE, lambda tx: builds.latest(tx, before="b1"))],
        "builds.changes_between": [(PIPELINE, lambda tx: builds.changes_between(tx, 0, 10**6))],
        "policies.by_others": each("con", ("con", ZOE), policies.by_others),
        "policies.current": [("cara", policies.current)],
        "policies.with_version": [("cara", policies.with_version)],
        "policies.change": [(OPERATOR, lambda tx: policies.change(tx, {"grace_days": 2}, "ours"))],
        "snapshot.positions": [(PIPELINE, snapshot.positions)],
        "snapshot.export": [(PIPELINE, lambda tx: _exported(tx, tmp_path / uuid4().hex))],
        "users.add_user": [
            (OPERATOR, lambda tx: users.add_user(tx, "max", "collector", PASSWORD)),
            (OPERATOR, lambda tx: users.add_user(tx, ZOE, "collector", PASSWORD)),
        ],
        "users.set_password": each(OPERATOR, ("max", ZOE), lambda tx, name: users.set_password(tx, name, PASSWORD)),
        "users.check_password": each(
            "", ("max", ZOE), lambda _, name: users.check_password(desk.ledger, desk.org, name, PASSWORD, "cli")
        ),
        "users.set_role": each(OPERATOR, ("max", ZOE), lambda tx, name: users.set_role(tx, name, "analyst", "moved")),
        "users.set_email": each(OPERATOR, ("max", ZOE), lambda tx, name: users.set_email(tx, name, "max@example.com")),
        "users.activate": each(OPERATOR, ("max", ZOE), lambda tx, name: users.activate(tx, name, "back")),
        "users.unlock": each(OPERATOR, ("max", ZOE), users.unlock),
        "users.list_tokens": [(OPERATOR, users.list_tokens), *each(OPERATOR, ("max", ZOE), users.list_tokens)],
        "users.revoke_tokens": each(OPERATOR, ("max", ZOE), lambda tx, name: users.revoke_tokens(tx, name, None, "lost")),
        "policies.history": [("ann", policies.history)],
        "users.issue_token": each(OPERATOR, ("max", ZOE), users.issue_token),
        "users.deactivate": each(OPERATOR, ("max", ZOE), lambda tx, name: users.deactivate(tx, name, "left")),
        "users.list_users": [("ann", users.list_users)],
        "users.admin_addresses": [(PIPELINE, users.admin_addresses)],
        "users.proof": [("ann", lambda tx: users.proof(tx) and None)],
        "users.authenticate_token": [("", lambda _: users.authenticate_token(desk.ledger, desk.org, "ptp_x_y", "cli"))],
        "audit.record": [("cara", lambda tx: audit.record(tx, "payment.logged", "payment", "PAY-9"))],
        "audit.record_many": [("cara", lambda tx: audit.record_many(tx, "payment.logged", "payment", [("PAY-9", None)]))],
        "audit.show": [
            ("ann", lambda tx: audit.show(tx, limit=None)),
            ("ann", lambda tx: audit.show(tx, object_id="PAY-9", action="override.")),
        ],
        "audit.count": [("ann", audit.count), ("ann", lambda tx: audit.count(tx, object_id="PAY-9", action="override."))],
        "audit.verify": [("ann", audit.verify)],
        "audit.demand_whole_book": [("ann", audit.demand_whole_book)],
        "runs.started": [(PIPELINE, lambda tx: runs.started(tx, "run-1", "run_org", "by hand"))],
        "runs.finished": [(PIPELINE, lambda tx: runs.finished(tx, "run-1"))],
        "runs.failed": [(PIPELINE, lambda tx: runs.failed(tx, "run-1", ["x"]))],
        "audit.head": [(PIPELINE, audit.head)],
        "run_lock.holder": [("", lambda _: run_lock.holder(desk.ledger, desk.org))],
        "run_lock.hold": [("", lambda _: _held_twice(desk))],
    }  # fmt: skip


ACROSS_ORGS = {"orgs.create_org", "orgs.list_orgs"}  # the operator's, who sees names, time zones and currencies of all orgs


def _message_ids(desk) -> list[int]:
    """Of all orgs: also those nobody here could know."""
    with psycopg.connect(**desk.ledger._admin) as con:
        return [row[0] for row in con.execute("select message_id from ptp.outbox").fetchall()]


def _held_twice(desk) -> str | None:
    with run_lock.hold(desk.ledger, desk.org, "ours"):
        with pytest.raises(PtpError), run_lock.hold(desk.ledger, desk.org, "ours too"):
            pass
        return run_lock.holder(desk.ledger, desk.org)


def _offered(folder: Path) -> dict[str, Path]:
    (folder / "positions.csv").write_text("INV-9,C-1,USD,100,100,false\n")
    return {"invoice_position": folder / "positions.csv"}


def _exported(tx: Transaction, folder: Path) -> str:
    import polars as pl

    snapshot.export(tx, folder / "earlier", dt.date(2026, 6, 1))
    snapshot.export(tx, folder, dt.date(2026, 6, 1), folder / "earlier")
    return " ".join(str(pl.read_parquet(path).to_dicts()) for path in sorted(folder.rglob("*.parquet")))


def services() -> dict[str, Callable[..., Any]]:
    """Public functions that are given a transaction or the ledger."""
    found = {}
    for module_info in pkgutil.iter_modules(package.__path__):
        if module_info.name not in NOT_SERVICES:
            module = importlib.import_module(f"{package.__name__}.{module_info.name}")
            for name, function in inspect.getmembers(module, inspect.isfunction):
                first = next(iter(inspect.signature(function).parameters), "")
                if function.__module__ == module.__name__ and not name.startswith("_") and first in ("tx", "ledger"):
                    found[f"{module_info.name}.{name}"] = function
    return found


def statements() -> set[tuple[str, int, int]]:
    """Where the services run SQL: file, first and last line of the call."""
    found = set()
    for path in Path(package.__path__[0]).glob("*.py"):
        if path.stem not in NOT_SERVICES:
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("execute", "one", "all"):
                    on = node.func.value
                    if isinstance(on, ast.Name) and on.id == "tx":
                        found.add((path.name, node.lineno, node.end_lineno or node.lineno))
    return found


def rows_of(desk, org: str) -> dict[str, str]:
    """A digest of all rows of an org, by table."""
    with psycopg.connect(**desk.ledger._admin) as con:
        tables = con.execute(
            "select c.relname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'org_id'"
            " where c.relnamespace = 'ptp'::regnamespace and c.relkind in ('r', 'p') and c.relname <> 'visit'"
        ).fetchall()
        digest = sql.SQL(
            "select count(*) || ' ' || coalesce(md5(string_agg(t::text, '' order by t::text)), '') from ptp.{} t where org_id = %s"
        )
        return {t: con.execute(digest.format(sql.Identifier(t)), [org]).fetchone()[0] for (t,) in tables}


def test_every_service_has_a_case(desk, new, tmp_path):
    assert services().keys() == cases(desk, new, tmp_path).keys() | ACROSS_ORGS


class Spy:
    """Every statement, once as written and before that aimed at the other org and taken back; where it came from and what it said."""

    def __init__(self, other: str) -> None:
        self.other = other
        self.ran: set[tuple[str, int]] = set()
        self.said: list[str] = []

    def execute(self, tx: Transaction, statement: str, params: Any = None) -> Any:
        frame = sys._getframe(2)
        while frame.f_code.co_filename == connection.__file__ and frame.f_back:
            frame = frame.f_back
        self.ran.add((Path(frame.f_code.co_filename).name, frame.f_lineno))
        aimed = statement.replace("ptp.current_org()", f"'{self.other}'")
        if aimed != statement:
            self._aim(tx, aimed, params)
        return tx.connection.execute(statement.encode(), params)

    def _aim(self, tx: Transaction, aimed: str, params: Any) -> None:
        try:
            with tx.connection.transaction(force_rollback=True):
                found = tx.connection.execute(aimed.encode(), params)
                if re.match(r"\s*(insert|update|delete)", aimed):
                    assert found.rowcount == 0, aimed
                self.said.append(repr(found.fetchall()) if found.description else "")
        except psycopg.Error as error:
            self.said.append(str(error).replace(ZOE, ""))


def test_nothing_of_another_org_is_seen_counted_guessed_or_written(desk, theirs, new, tmp_path, monkeypatch):
    desk.receive()
    before = rows_of(desk, theirs.org)
    assert sum(int(found.split()[0]) for found in before.values()) > 60
    spy = Spy(theirs.org)
    outcomes: dict[str, list[str]] = {}
    with monkeypatch.context() as patched:
        patched.setattr(Transaction, "execute", lambda tx, *given: spy.execute(tx, *given))  # noqa: PLW0108 - a method: it is given the transaction
        patched.setattr(commitments, "_BIG_IMPORT", 1)
        for name, of_it in cases(desk, new, tmp_path).items():
            outcomes[name] = [repr(outcome(desk, who, act)) for who, act in of_it]

    # What we asked for by name ourselves comes back in refusals about that name.
    assert [name for name, texts in outcomes.items() if MARK in str(texts).replace(ZOE, "")] == []
    assert [text for text in spy.said if MARK in text] == []
    assert rows_of(desk, theirs.org) == before
    # The same ids, files, keys and builds exist over there, and are no obstacle here.
    for name in ("commitments.log", "commitments.log_many", "files.register", "outbox.enqueue", "transitions.append", "builds.record"):
        assert "Refused" not in outcomes[name][0], (name, outcomes[name])
    assert outcomes["outbox.count_due"] == ["1"]
    missed = [(file, first) for file, first, last in sorted(statements()) if not spy.ran & {(file, n) for n in range(first, last + 1)}]
    assert [where for where in missed if where[0] != "orgs.py"] == []


def outcome(desk, who: str | Actor, act: Callable[[Transaction], Any]) -> Any:
    """What a service gave, or the words it refused with."""
    try:
        if who == "":
            return act(None)
        with desk.ledger.transaction(desk.org, desk.people[who] if isinstance(who, str) else who) as tx:
            return act(tx)
    except PtpError as refused:
        return f"{type(refused).__name__}: {refused.message}"


def test_ids_that_only_another_org_has_are_refused_in_the_words_for_ids_nobody_has(desk, theirs):
    """So that trying tells nothing: PLAN-9 exists over there, PLAN-404 nowhere."""

    def refusals(name: str) -> list[str]:
        acts: list[Callable[[Transaction], Any]] = [
            lambda tx: approvals.decide(tx, [(name, 1)], "approve", "r", "cli"),
            lambda tx: approvals.issue_code(tx, [(name, 1)]),
            lambda tx: commitments.cancel(tx, name, DAY, "r"),
            lambda tx: overrides.set_target(tx, "PAY-1", name, "r"),
            lambda tx: tx.execute("insert into ptp.payment_override (org_id, payment_id, commitment_id, reason) values"
                                  " (ptp.current_org(), 'PAY-1', %s, 'r')", [name]),
            lambda tx: tx.execute("insert into ptp.commitment_event (org_id, commitment_id, kind, effective_on, reason) values"
                                  " (ptp.current_org(), %s, 'cancel', now(), 'r')", [name]),
        ]  # fmt: skip
        found = []
        for act in acts:
            with pytest.raises((PtpError, psycopg.Error)) as error, desk.as_("sue") as tx:
                act(tx)
            found.append(str(error.value).replace(name, "THAT"))
        return found

    assert refusals("PLAN-9") == refusals("PLAN-404")


def test_signing_in_says_the_same_about_anothers_people_as_about_nobody(desk, theirs):
    with desk.operator() as tx:
        users.add_user(tx, "max", "collector", PASSWORD)

    def asked(name: str) -> tuple[str, str]:
        with pytest.raises(PtpError) as refused:
            users.check_password(desk.ledger, desk.org, name, PASSWORD, "cli")
        with desk.ledger.door(desk.org, Actor("unknown", "none", "password", "cli")) as tx:
            parameters = tx.one("select ptp.password_parameters(%s) as p", [name])["p"]
        return str(refused.value), re.sub(r"[0-9a-f]+$", "", parameters)

    assert asked(ZOE) == asked("nobody")
    with pytest.raises(PtpError, match="not valid here"):
        users.authenticate_token(desk.ledger, desk.org, _token_of(theirs), "cli")


def _token_of(team) -> str:
    with team.operator() as tx:
        return users.issue_token(tx, "cara")
