"""Terms: what they may be, what follows from what, and policy's words about them."""

import datetime as dt

import pytest

from ptp_pipeline.domain.policy import Policy, change
from ptp_pipeline.domain.terms import (
    BadTerms,
    changes,
    guardrails,
    last_due_date,
    make_terms,
    needs_approval,
    nudges,
    problems,
    required_role,
    schedule_changes,
)

D = dt.date


def terms(**values):
    plan = {"frequency": "monthly", "installment_count": 3} if values.get("kind", "plan") == "plan" else {}
    return {
        "kind": "plan",
        "currency": "USD",
        "agreed_on": D(2026, 1, 31),
        "amount_minor": 90_000,
        "first_due_date": D(2026, 1, 31),
        **plan,
        **values,
    }


def custom(*lines, **values):
    listed = [{"sequence": n, "due_date": due, "amount_minor": amount} for n, (due, amount) in enumerate(lines, 1)]
    return terms(frequency="custom", installment_count=None, first_due_date=None, custom_schedule=listed, **values)


def test_a_promise_is_one_installment_of_its_amount():
    made = make_terms(**terms(kind="promise"))
    assert (made.frequency, made.installment_count, made.total_minor) == ("once", 1, 90_000)


def test_a_repeating_promise_settles_a_debt_in_as_many_periods_as_it_takes():
    counted = make_terms(**terms(kind="repeating_promise", frequency="weekly", installment_count=4))
    owed = make_terms(**terms(kind="repeating_promise", frequency="weekly", total_minor=200_000))
    assert (counted.total_minor, counted.installment_count) == (360_000, 4)
    assert (owed.total_minor, owed.installment_count) == (200_000, 3)


def test_a_custom_schedule_starts_with_its_first_installment():
    made = make_terms(**custom((D(2026, 2, 1), 40_000), (D(2026, 3, 1), 50_000)))
    assert (made.first_due_date, made.installment_count) == (D(2026, 2, 1), 2)


def test_invoices_are_a_set():
    assert make_terms(**terms(invoice_ids=[" B", "A", "B", ""])).invoice_ids == ("A", "B")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (terms(amount_minor=0), "amount: it should be greater than 0"),
        (terms(amount_minor=10**16), "amount"),
        (terms(currency="USX"), "not a currency a customer can pay in"),
        (terms(discount_minor=90_000), "discount must be less"),
        (terms(discount_minor=1_000, down_payment_minor=89_000), "down payment must be less"),
        (terms(amount_minor=2), "0.02 USD cannot be split into 3 installments"),
        (terms(first_due_date=D(2026, 1, 30)), "lies before the agreement"),
        (terms(agreed_on=D(1889, 1, 1)), "agreed on"),
        (terms(installment_count=None), "number of installments is missing"),
        (terms(installment_count=100_000, amount_minor=10**9), "due after 2200"),
        (terms(installment_count=100_001, amount_minor=10**9), "installment count"),
        (terms(frequency="once"), "needs a frequency"),
        (terms(grace_days=400), "grace days"),
        (terms(total_minor=5), "total of a promise or plan is its amount"),
        (terms(overpayment_rule="first"), "no overpayment rule 'first'; use next, last, spread or hold"),
        (terms(kind="promise", frequency="weekly", installment_count=2), "one amount on one date"),
        (terms(kind="promise", down_payment_minor=5), "no down payment"),
        (terms(kind="repeating_promise", frequency="weekly"), "needs a count of installments, or invoices"),
        (terms(kind="repeating_promise", frequency="once", installment_count=2), "needs a frequency"),
        (terms(kind="repeating_promise", frequency="weekly", installment_count=2, discount_minor=5), "neither discount nor down payment"),
        (terms(frequency="custom", installment_count=2), "installments listed"),
        (terms(custom_schedule=[{"sequence": 1, "due_date": D(2026, 2, 1), "amount_minor": 90_000}]), "need the frequency custom"),
        (custom((D(2026, 2, 1), 40_000), (D(2026, 3, 1), 49_999)), "add up to 899.99 USD, but 900.00 USD is to be paid"),
        (custom((D(2026, 3, 1), 40_000), (D(2026, 2, 1), 50_000)), "in order of their due dates"),
        (custom((D(2026, 2, 1), 40_000), (D(2026, 3, 1), 50_000), down_payment_minor=1), "down payment as an installment"),
        (custom((D(2026, 1, 1), 40_000), (D(2026, 3, 1), 50_000)), "lies before the agreement"),
        (terms(colour="red"), "colour"),
    ],
)
def test_terms_that_cannot_be_say_why(values, said):
    found = problems({k: v for k, v in values.items() if v is not None})
    assert any(said in problem for problem in found), found


def test_all_reasons_are_given_at_once_and_currencies_keep_their_case():
    with pytest.raises(BadTerms) as error:
        make_terms(**terms(discount_minor=90_000, first_due_date=D(2026, 1, 1), amount_minor=90_000))
    assert "discount" in error.value.message
    assert "lies before" in error.value.message


@pytest.mark.parametrize(
    ("frequency", "count", "last"),
    [
        ("weekly", 3, D(2026, 2, 14)), ("biweekly", 3, D(2026, 2, 28)), ("monthly", 2, D(2026, 2, 28)), ("monthly", 3, D(2026, 3, 31)),
        ("quarterly", 2, D(2026, 4, 30)), ("monthly", 12, D(2026, 12, 31)), ("monthly", 13, D(2027, 1, 31)), ("semimonthly", 3, D(2026,
        2, 28)),
    ],
)  # fmt: skip
def test_the_last_due_date_clamps_to_month_ends(frequency, count, last):
    assert last_due_date(make_terms(**terms(frequency=frequency, installment_count=count))) == last


def test_policy_grants_short_plain_promises_and_nothing_else():
    policy = change(Policy(), {"approval.promise_amount": 1000})
    soon = D(2026, 2, 7)
    cases = {
        "Promise is more than 7 days out: Supervisor approval required": {"first_due_date": D(2026, 2, 8)},
        "Promise gives more than 7 days of grace: Supervisor approval required": {"grace_days": 8},
        "Promise exceeds 1,000 USD: Supervisor approval required": {"amount_minor": 100_001},
        "Promise gives a discount: Supervisor approval required": {"discount_minor": 1},
    }
    assert not needs_approval(make_terms(**terms(kind="promise", first_due_date=soon, amount_minor=100_000)), policy)
    for said, values in cases.items():
        made = make_terms(**terms(**{"kind": "promise", "first_due_date": soon, **values}))
        assert guardrails(made, policy) == [said]
    assert guardrails(make_terms(**terms()), policy) == ["Plan terms: Supervisor approval required"]


def test_every_cap_exceeded_is_named_with_the_role_that_may():
    policy = change(
        Policy(),
        {
            "approval.caps.supervisor": {"amount": 500, "days": 30, "installments": 2, "discount_percent": 10},
            "approval.caps.controller.days": 40,
        },
    )
    made = make_terms(**terms(discount_minor=10_000))
    assert guardrails(made, policy) == [
        "Plan exceeds 500 USD: Legal approval required",
        "Plan runs longer than 30 days: Legal approval required",
        "Plan has more than 2 installments: Legal approval required",
        "Plan gives a discount of more than 10 %: Legal approval required",
    ]
    assert required_role(made, policy) == "legal"
    hopeless = change(policy, {"approval.caps": {"supervisor": {"amount": 1}}})
    assert guardrails(made, hopeless) == ["Plan exceeds 1 USD: nobody may approve this"]


def test_limits_read_in_the_commitments_own_currency():
    policy = change(Policy(), {"approval.caps.supervisor.amount": "500.5"})
    yen = make_terms(**terms(currency="JPY", amount_minor=501))
    assert guardrails(yen, policy) == ["Plan exceeds 501 JPY: Controller approval required"]


# what changed, and hints ------------------------------------------------------------------------------------------------------


def test_changes_of_terms_are_told_one_by_one_in_words():
    before = make_terms(**terms(invoice_ids=["A"]))
    after = make_terms(**terms(amount_minor=80_000, installment_count=4, grace_days=3, invoice_ids=["A", "B"]))
    assert changes(before, after) == [
        "amount 900.00 USD → 800.00 USD",
        "installments 3 → 4",
        "days of grace by policy → 3",
        "invoices A → A, B",
    ]
    assert changes(before, before) == []


def test_changes_of_a_schedule_are_told_by_due_date():
    before = [(D(2026, 3, 1), 100), (D(2026, 4, 1), 100), (D(2026, 5, 1), 100)]
    after = [(D(2026, 3, 1), 100), (D(2026, 4, 1), 150), (D(2026, 6, 1), 50)]
    assert schedule_changes(before, after, "USD") == [
        "~ 2026-04-01 1.00 USD → 1.50 USD",
        "- 2026-05-01 1.00 USD",
        "+ 2026-06-01 0.50 USD",
    ]
    assert schedule_changes(before, before, "USD") == []


def test_a_plan_for_less_than_a_week_is_better_a_promise():
    short = make_terms(**terms(frequency="once", installment_count=1, agreed_on=D(2026, 2, 1), first_due_date=D(2026, 2, 7)))
    assert nudges(short) == ["A plan for less than a week: a promise does that with less ado (ptp log promise)"]
    assert nudges(make_terms(**terms(frequency="once", installment_count=1, agreed_on=D(2026, 2, 1), first_due_date=D(2026, 2, 8)))) == []
