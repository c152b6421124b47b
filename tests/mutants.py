# ruff: noqa: T201 - a report on the terminal
"""Break every rule of matching in turn and see that a test fails: `python -m tests.mutants`.

Works on a copy of the code, never on the checkout. Prints a table; exits 1 when a mutant survives, or when what it replaces is no longer
there exactly once. `python -m tests.mutants spread` runs those whose name holds the word.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

CHECKOUT = Path(__file__).resolve().parent.parent
COPIED = ("ptp_pipeline", "sql", "tests", "pyproject.toml")
MATCHING = "sql/warehouse/matching/"
TURNS = "ptp_pipeline/warehouse/allocation.py"
ROUNDS = "ptp_pipeline/warehouse/rounds.py"
OUTCOMES = "sql/warehouse/outcomes/"
# The readable examples first, so that the killer named is one of them when there is one.
MATCHING_TESTS = (
    "tests/unit/matching/test_overpayment_examples.py",
    "tests/unit/matching/test_money_back_examples.py",
    "tests/unit/matching/test_matching_examples.py",
    "tests/unit/matching/test_matching_against_oracle.py",
)
OUTCOME_TESTS = ("tests/unit/outcomes/test_installments.py",)


@dataclass(frozen=True)
class Mutant:
    """A rule broken by replacing one piece of text."""

    name: str
    file: str
    old: str
    new: str

    @property
    def tests(self) -> tuple[str, ...]:
        return OUTCOME_TESTS if self.file.startswith(OUTCOMES) else MATCHING_TESTS

    def problem(self, root: Path = CHECKOUT) -> str | None:
        """Why the mutant cannot be made, if so."""
        path = root / self.file
        found = path.read_text(encoding="utf-8").count(self.old) if path.exists() else 0
        return None if found == 1 else f"{self.name}: the text to replace is {found} times in {self.file}"


MUTANTS = (
    # Order
    Mutant(
        "newest due first", MATCHING + "dues.sql", "((i.due_date - date '1900-01-01')::bigint", "((date '2100-01-01' - i.due_date)::bigint"
    ),
    Mutant(
        "last payment of a day first", MATCHING + "receipts.sql", "order by r.payment_id, r.part)", "order by r.payment_id desc, r.part)"
    ),
    Mutant("order of arrival", MATCHING + "receipts.sql", " order by r.payment_id, r.part)", ")"),
    Mutant(
        "due today counts as in advance", TURNS, "case when due_date <= on_date then 0 else", "case when due_date < on_date then 0 else"
    ),
    # Overpayment rules
    Mutant("odd cents first", TURNS, "case when position < due_count then share", "case when position > 1 then share"),
    Mutant("spread without cap", TURNS, "least(open_minor, case when position", "(case when position"),
    Mutant("spread rounded down", TURNS, "(2 * m.minor + due_count) // (2 * due_count)", "m.minor // due_count"),
    Mutant("spread goes round once only", TURNS, "con.execute(_SPREAD_STEP)\n", "con.execute(_SPREAD_STEP)\n            break\n"),
    Mutant("last from the front", TURNS, "case when step = 3 then -installment_key else installment_key end", "installment_key"),
    Mutant("last before spread", TURNS, "['next', 'spread', 'last']", "['next', 'last', 'spread']"),
    Mutant("hold applied at once", TURNS, "where due_date <= on_date or overpayment_rule <> 'hold'", "where true"),
    Mutant("hold never released", MATCHING + "group_events.sql", "v.overpayment_rule = 'hold'\n", "false\n"),
    Mutant(
        "hold applied at once, alone",
        MATCHING + "turn_dues.sql",
        "(v.overpayment_rule <> 'hold' or d.due_date <= (select as_of",
        "(true or d.due_date <= (select as_of",
    ),
    Mutant(
        "hold released after a cancellation",
        MATCHING + "turn_dues.sql",
        "<= (select as_of from ledger.params) and (v.effective_to is null or d.due_date < v.effective_to))",
        "<= (select as_of from ledger.params))",
    ),
    Mutant(
        "held money dated when it came", MATCHING + "allocation_history.sql", "when v.overpayment_rule = 'hold' then", "when false then"
    ),
    # The same rules again, where all events of a group are done at once
    Mutant("rounds: due today counts as in advance", ROUNDS, "p.on_date >= d.due_date", "p.on_date > d.due_date"),
    Mutant(
        "rounds: due today of shared money in advance",
        ROUNDS,
        "case when d.due_date <= p.on_date then 0 when",
        "case when d.due_date < p.on_date then 0 when",
    ),
    Mutant("rounds: last from the front", ROUNDS, "greatest(d.upto_minor - d.left_minor, p.front_minor) as left_minor", "0 as left_minor"),
    Mutant(
        "rounds: surplus forgets what was due", ROUNDS, "coalesce(anchor_minor, paid_minor - due_minor)) over in_order", "0) over in_order"
    ),
    Mutant(
        "rounds: spread rounded down", ROUNDS, "(2 * to_spread_minor + open_count) // (2 * open_count)", "to_spread_minor // open_count"
    ),
    Mutant(
        "rounds: odd cents nowhere",
        ROUNDS,
        "case when d.position <= s.due_count + s.full_count then s.share_minor else s.rest_minor end as amount",
        "s.share_minor as amount",
    ),
    Mutant("rounds: a full installment takes part in the next spread", ROUNDS, "where share_minor >= left_minor", "where false"),
    Mutant("rounds: two versions spread alone", ROUNDS, "having count(*) > 1 and", "having false and"),
    Mutant(
        "rounds: what shared money leaves is no credit", ROUNDS, "where (m.target_id < 0 or m.spill_target_id < 0) and", "where false and"
    ),
    Mutant("rounds: held money applied when it came", ROUNDS, "v.rule = 'hold' and c.kind = 'credit'", "false and c.kind = 'credit'"),
    Mutant("rounds: hold applied at once", ROUNDS, "d.rule = 'hold' and d.due_date <= v.last_on", "d.rule = 'hold'"),
    Mutant(
        "rounds: directed money between is forgotten", ROUNDS, "coalesce(m.upto_minor, 0) as directed_minor", "0::bigint as directed_minor"
    ),
    Mutant(
        "exact amount: windows over two stretches",
        MATCHING + "exact_amounts.sql",
        "unnest([stretch - 1, stretch])",
        "unnest([stretch])",
    ),
    Mutant("rounds: the rest is the whole", ROUNDS, "s.money_minor - case when s.is_rest then", "s.money_minor - case when false then"),
    Mutant(
        "rounds: last surplus fills nothing",
        ROUNDS,
        "where s.rule = 'spread' and s.surplus_minor > s.surplus_before and s.paid_minor",
        "where false and s.paid_minor",
    ),
    Mutant("rounds: an epoch finds no held money", TURNS, "having sum(a.amount_minor) = g.amount_minor\n", ""),
    Mutant("rounds: chargebacks too", ROUNDS, "and v.account_key not in (from matching.charged_accounts)", ""),
    Mutant("rounds: several versions too", ROUNDS, "v.version_count = 1 and ", ""),
    Mutant("rounds: spread before next", ROUNDS, "when p.rule = 'next' then 1 else 3 end", "when p.rule = 'next' then 3 else 4 end"),
    # Versions and credit
    Mutant("credit not taken over by new terms", MATCHING + "group_events.sql", "where version_count > 1\n", "where false\n"),
    Mutant(
        "credit after the payments of its day",
        MATCHING + "group_events.sql",
        "::bigint << 36) + place as event_key",
        "::bigint << 36) + (2::bigint << 34) + place as event_key",
    ),
    Mutant(
        "money on the day of new terms goes to the old",
        MATCHING + "directions.sql",
        "and (v.effective_to is null or r.received_date < v.effective_to)",
        "and (v.effective_to is null or r.received_date <= v.effective_to)",
    ),
    Mutant("money from before the agreement counts", MATCHING + "directions.sql", "    and r.received_date >= v.effective_from\n", ""),
    # Reversals
    Mutant("reversals ignored", MATCHING + "reversed_parts.sql", "where\n    r.effective_minor > 0\n", "where\n    false\n"),
    Mutant(
        "reversal as chargeback",
        MATCHING + "returned_rows.sql",
        "select payment_id, kind, customer_id, currency, received_date, amount_minor, reverses_payment_id,",
        "select payment_id, replace(kind, 'reversal', 'chargeback') as kind, customer_id, currency, received_date, amount_minor,"
        " reverses_payment_id,",
    ),
    Mutant(
        "several reversals take more than there is",
        MATCHING + "reversals.sql",
        "least(claimed_minor, payment_minor) - least(claimed_minor - amount_minor, payment_minor)",
        "least(amount_minor, payment_minor)",
    ),
    Mutant("first part loses first", MATCHING + "reversed_parts.sql", "order by part desc", "order by part"),
    Mutant("history forgets what a reversal changed", MATCHING + "epochs.sql", "where p.returned_on >", "where false and p.returned_on >"),
    Mutant(
        "reversal of another customer's payment",
        MATCHING + "returned_rows.sql",
        "n.kind = 'payment' and n.customer_id = r.customer_id and",
        "n.kind = 'payment' and",
    ),
    Mutant(
        "reversal in another currency",
        MATCHING + "returned_rows.sql",
        "n.customer_id = r.customer_id and n.currency = r.currency\n",
        "n.customer_id = r.customer_id\n",
    ),
    # Chargebacks
    Mutant(
        "chargeback as reversal",
        MATCHING + "returned_rows.sql",
        "select payment_id, kind, customer_id, currency, received_date, amount_minor, reverses_payment_id,",
        "select payment_id, replace(kind, 'chargeback', 'reversal') as kind, customer_id, currency, received_date, amount_minor,"
        " reverses_payment_id,",
    ),
    Mutant(
        "debit on what is due today",
        MATCHING + "debit_lines.sql",
        "(where d.due_date > y.debited_on) as later",
        "(where d.due_date >= y.debited_on) as later",
    ),
    Mutant(
        "debit past the last installment put on it",
        MATCHING + "debit_lines.sql",
        "(where d.due_date = y.debited_on and d.due_date = y.last_due_date)",
        "(where d.due_date <= y.debited_on and d.due_date = y.last_due_date)",
    ),
    Mutant(
        "debit on the last due day made a new one", MATCHING + "debit_lines.sql", "(where d.due_date = y.debited_on and", "(where false and"
    ),
    Mutant("chargeback ignores the commitment's credit", TURNS, "and c.version_key is not null and m.left_minor > 0", "and false"),
    Mutant(
        "chargeback ignores its own unapplied money",
        TURNS,
        'where m.left_minor > 0\n"""\n# commitment_key 0',
        'where false\n"""\n# commitment_key 0',
    ),
    Mutant("chargeback takes the first part first", TURNS, "-m.receipt_key as place", "m.receipt_key as place"),
    # Not broken here: the cap by what is left of the payment. It bounds nothing that the next rule and the money left do not bound already.
    Mutant("second chargeback starts over", TURNS, "p.last_key, p.minor - coalesce(e.minor, 0) as minor", "p.last_key, p.minor as minor"),
    Mutant("charged to what fell due first", TURNS, "order by h.last_key desc rows", "order by h.last_key rows"),
    Mutant("charged where nothing is owed any more", TURNS, "and (v.effective_to is null or p.on_date < v.effective_to)", ""),
    # Refunds
    Mutant("refund beyond the credit", TURNS, "least(left_minor, minor - before_minor)", "(minor - before_minor)"),
    Mutant("refund takes any payment's money", TURNS, "(r.reverses_payment_id is null or r.reverses_payment_id = p.payment_id) and", ""),
    Mutant("refunds ignored", TURNS, "where n.kind = 'refund' and (r.rev", "where false and (r.rev"),
    # Routes
    Mutant(
        "exact amount's window a day short",
        MATCHING + "exact_amounts.sql",
        "p.exact_amount_window_days + 1) as end_day",
        "p.exact_amount_window_days) as end_day",
    ),
    Mutant(
        "exact amount's window a day early",
        MATCHING + "exact_amounts.sql",
        "d.due_date - p.exact_amount_window_days)",
        "d.due_date - p.exact_amount_window_days - 1)",
    ),
    Mutant("two equal amounts are evidence too", MATCHING + "exact_amounts.sql", "having count(*) = 1", "having count(*) >= 1"),
    Mutant("rest of an exact amount stays", MATCHING + "spills.sql", "where r.matched_by = 'exact_amount' and", "where false and"),
    Mutant("held exact amount goes elsewhere", MATCHING + "spills.sql", " and v.overpayment_rule <> 'hold'", ""),
    Mutant("part of a word names an id", MATCHING + "mentions.sql", "and t.token = lower(n.name)", "and contains(t.token, lower(n.name))"),
    Mutant(
        "currency not compared",
        MATCHING + "receipts.sql",
        "on r.customer_id = a.customer_id and r.currency = a.currency",
        "on r.customer_id = a.customer_id",
    ),
    # Decisions
    Mutant("override ignored", MATCHING + "override_parts.sql", "qualify sum(", "qualify false and sum("),
    Mutant(
        "row beats the person",
        MATCHING + "receipts.sql",
        "case when o.payment_id is null then p.commitment_id else o.commitment_id end",
        "coalesce(p.commitment_id, o.commitment_id)",
    ),
    Mutant(
        "split that does not add up followed",
        MATCHING + "override_parts.sql",
        "sum(amount_minor) over (partition by payment_id) = payment_minor and ",
        "",
    ),
    Mutant(
        "decision for an unknown commitment followed",
        MATCHING + "override_parts.sql",
        " and bool_and(is_known) over (partition by payment_id)",
        "",
    ),
    # The due day, in the verdicts
    Mutant(
        "due day is late, beside other days",
        OUTCOMES + "splits.sql",
        "case when r.received_date > s.due_date then",
        "case when r.received_date >= s.due_date then",
    ),
    Mutant(
        "due day is late",
        OUTCOMES + "installments.sql",
        "when j.first_on > j.due_date then j.paid_minor",
        "when j.first_on >= j.due_date then j.paid_minor",
    ),
    Mutant(
        "due day is in advance",
        OUTCOMES + "installments.sql",
        "when j.last_on < j.due_date then j.paid_minor",
        "when j.last_on <= j.due_date then j.paid_minor",
    ),
)


def copy_of_the_code(folder: Path) -> Path:
    for name in COPIED:
        source = CHECKOUT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    return folder


def first_failure(root: Path, tests: tuple[str, ...]) -> str | None:
    """The first test that fails in a copy of the code; None when all pass."""
    # Run from the copy: `python -m` looks there first, before the installed package.
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=no", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return None
    found = re.search(r"^(?:FAILED|ERROR) \S+?([^/\s]+\.py(?:::\S+)?)", done.stdout, re.MULTILINE)
    return found[1] if found else f"pytest exited {done.returncode}: {done.stdout[-300:]}{done.stderr[-300:]}"


def verdicts(mutants: list[Mutant], folder: Path, jobs: int) -> Iterator[tuple[Mutant, str | None, float]]:
    """Each mutant with the test that killed it."""
    roots: Queue[Path] = Queue()
    for n in range(jobs):
        roots.put(copy_of_the_code(folder / str(n)))

    def verdict(mutant: Mutant) -> tuple[Mutant, str | None, float]:
        root = roots.get()
        path = root / mutant.file
        text = path.read_text(encoding="utf-8")
        start = time.monotonic()
        try:
            path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
            return mutant, first_failure(root, mutant.tests), time.monotonic() - start
        finally:
            path.write_text(text, encoding="utf-8")
            roots.put(root)

    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(verdict, mutants)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("word", nargs="?", default="", help="only mutants whose name holds it")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    mutants = [m for m in MUTANTS if args.word in m.name]
    problems = [problem for m in mutants if (problem := m.problem())]
    survivors = 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for tests in sorted({m.tests for m in mutants}):
            if failed := first_failure(copy_of_the_code(folder / f"as-it-is-{len(tests)}"), tests):
                problems += [f"{m.name}: {failed} fails without it" for m in mutants if m.tests == tests]
                mutants = [m for m in mutants if m.tests != tests]
        for mutant, killer, seconds in verdicts([m for m in mutants if not m.problem()], folder, args.jobs):
            survivors += killer is None
            print(f"{'killed  ' if killer else 'SURVIVED'}  {mutant.name:45} {seconds:4.0f} s  {killer or ''}", flush=True)
    for problem in problems:
        print(f"NOT TRIED {problem}")
    print(f"{survivors} survived, {len(problems)} were not tried.")
    return 1 if survivors or problems else 0


if __name__ == "__main__":
    sys.exit(main())
