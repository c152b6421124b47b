"""Policy: defaults, what is refused and in which words, and how changes are applied."""

from decimal import Decimal

import pytest

from ptp_pipeline.domain.policy import Policy, PolicyError, change, load

DESIGN_KEYS = {
    "currency", "timezone", "calendar", "business_day_rule", "grace_days", "tolerance_amount", "tolerance_percent", "overpayment_rule",
    "exact_amount_window_days", "due_soon_days", "default_after_broken", "automatic_promises", "approval", "alert_recipients",
    "ladder", "alerts",
    "risk_weights", "tiers", "terms_library", "promise_actions", "feed_mappings",
}  # fmt: skip


def changed(**changes) -> dict:
    return change(Policy(), changes).as_json()


def test_every_key_of_the_design_is_there_with_its_default():
    plain = Policy().as_json()
    assert set(plain) == DESIGN_KEYS
    assert (plain["business_day_rule"], plain["grace_days"], plain["overpayment_rule"]) == ("following", 0, "next")
    assert (plain["exact_amount_window_days"], plain["due_soon_days"], plain["default_after_broken"]) == (7, 3, 2)
    assert plain["automatic_promises"] is True


def test_what_is_stored_loads_as_the_same_policy():
    policy = change(Policy(), {"tolerance_amount": {"plan": "1.25"}, "approval.promise_amount": "1000.50", "alert_recipients": "a@b.co"})
    assert load(policy.as_json()) == policy


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("grace", 3, "no policy key 'grace'; the nearest is 'grace_days'"),
        ("tolerence_amount", 1, "nearest is 'tolerance_amount'"),
        ("approval.promise_dys", 1, "nearest is 'promise_days'"),
        ("aproval.promise_days", 1, "nearest is 'approval'"),
        ("approval.caps.supervisor.amunt", 1, "nearest is 'amount'"),
        ("grace_days", -1, "grace_days = -1"),
        ("grace_days", "soon", "grace_days = 'soon'"),
        ("grace_days", 4000, "less than or equal to 365"),
        ("tolerance_amount", "-1", "greater than or equal to 0"),
        ("tolerance_amount", '{"plam": 1}', "'promise', 'repeating_promise' or 'plan'"),
        ("tolerance_percent", 101, "less than or equal to 100"),
        ("tolerance_amount", "NaN", "tolerance_amount"),
        ("timezone", "Europe/Berln", "did you mean 'Europe/Berlin'"),
        ("currency", "XAU", "not an ISO 4217 currency"),
        ("calendar", "Germany", "The nearest is 'DE'"),
        ("business_day_rule", "next", "'following'"),
        ("overpayment_rule", "refund", "no overpayment rule 'refund'; use next, last, spread or hold"),
        ("default_after_broken", 0, "greater than or equal to 1"),
        ("automatic_promises", "maybe", "boolean"),
        ("approval.kinds", "[]", "a plan always needs a supervisor"),
        ("approval.caps", '{"intern": {}}', "supervisor"),
        ("approval.code_hours", 1000, "168"),
        ("alert_recipients", "nobody", "'nobody' is not a mail address"),
        ("alert_recipients", "a@b.co, Bob <b@c.de>", "is not a mail address"),
        ("ladder", "x", "dictionary"),
        ("ladder", "{broken", "is not JSON"),
    ],
)
def test_wrong_keys_and_silly_values_are_refused_in_words(key, value, said):
    with pytest.raises(PolicyError) as error:
        changed(**{key: value})
    assert said in str(error.value)
    assert error.value.exit_code == 2


def test_one_wrong_tolerance_is_one_complaint():
    with pytest.raises(PolicyError) as error:
        changed(tolerance_amount="x")
    assert error.value.message.count("tolerance_amount") == 1


def test_a_tolerance_for_one_kind_leaves_the_others_as_they_were():
    policy = change(change(Policy(), {"tolerance_amount": "0.50"}), {"tolerance_amount.plan": "2"})
    assert [policy.tolerance(kind)[0] for kind in ("promise", "repeating_promise", "plan")] == [
        Decimal("0.50"),
        Decimal("0.50"),
        Decimal(2),
    ]


def test_text_from_a_command_line_becomes_what_it_says():
    policy = change(
        Policy(),
        {
            "grace_days": "2",
            "automatic_promises": "off",
            "approval.promise_days": "null",
            "feed_mappings": '{"payments": {"columns": {"Amt": "amount"}}}',
            "currency": "eur",
        },
    )
    assert (policy.grace_days, policy.automatic_promises, policy.approval.promise_days, policy.currency) == (2, False, None, "EUR")
    assert policy.feed_mappings["payments"] == {"columns": {"Amt": "amount"}}


def test_recipients_are_a_list_without_repeats():
    assert changed(alert_recipients="a@b.co, c@d.co,a@b.co")["alert_recipients"] == ["a@b.co", "c@d.co"]


def test_a_change_leaves_the_policy_it_started_from_alone():
    policy = Policy()
    change(policy, {"approval.caps.supervisor.amount": 1, "ladder.stage": 1})
    assert policy == Policy()
