"""Policy: defaults, what is refused and in which words, and how changes are applied."""

from decimal import Decimal

import pytest

from ptp_pipeline.domain.policy import Policy, PolicyError, change, load

DESIGN_KEYS = {
    "currency", "timezone", "calendar", "business_day_rule", "grace_days", "tolerance_amount", "tolerance_percent", "overpayment_rule",
    "exact_amount_window_days", "due_soon_days", "default_after_broken", "automatic_promises", "over_promising", "collectors_see",
    "approval", "alert_recipients", "ladder", "alerts", "risk_weights", "tiers", "terms_library", "promise_actions", "feed_mappings",
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
        ("ladder", "x", "ladder"),
        ("ladder.stage_4", 1, "nearest is 'stage_3'"),
        ("ladder.stage_2.owner", "boss", "'supervisor'"),
        ("ladder.stage_2.after_business_days", 5, "each stage begins later"),
        ("ladder.reminder_days", "[0]", "greater than or equal to 1"),
        ("ladder.dispositions", "[]", "one or more words"),
        ("ladder.blockers", '["Purchase Order"]', "lower-case letters"),
        ("alerts.reminder_days", 9, "the earliest first"),
        ("alerts.checkpoint_risk", 101, "less than or equal to 100"),
        ("alerts.chekpoint_risk", 50, "nearest is 'checkpoint_risk'"),
        ("risk_weights.missed_commitments", 30, "add up to 105, not to 100"),
        ("risk_weights.missed", 30, "nearest is 'missed_commitments'"),
        ("tiers.E", '{"owner": "legal", "action": "x"}', "There is no policy key 'E'"),
        ("tiers.A.owner", "intern", "'collector'"),
        ("tiers.A.action", "", "at least 1 character"),
        ("terms_library.A.down_payment_percent", 120, "less than or equal to 100"),
        ("terms_library.A.window", 30, "There is no policy key 'window'"),
        ("promise_actions.broke", "[]", "nearest is 'broken'"),
        ("promise_actions.broken", '[{"do": "shout"}]', "'message', 'task' or 'escalate'"),
        ("promise_actions.broken", '[{"do": "task", "to": "customer"}]', "a customer can be sent a message"),
        ("promise_actions.broken", '[{"do": "task", "two": "owner"}]', "nearest is 'to'"),
        ("feed_mappings.payment", '{"decimal": ","}', "'payments'"),
        ("feed_mappings.payments.decimals", ",", "nearest is 'decimal'"),
        ("feed_mappings.payments.decimal", "'", "'.' or ','"),
        ("feed_mappings.payments.delimiter", "::", "comma, semicolon, tab or pipe"),
        ("feed_mappings.payments.date_format", "european", "DD/MM/YYYY"),
        ("feed_mappings.payments.encoding", "klingon", "windows-1252"),
        ("feed_mappings.payments.encoding", "base64", "windows-1252"),
        ("feed_mappings.payments.rounding", "up", "'refuse' or 'round'"),
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
    assert policy.feed_mappings["payments"].columns == {"Amt": "amount"}


def test_recipients_are_a_list_without_repeats():
    assert changed(alert_recipients="a@b.co, c@d.co,a@b.co")["alert_recipients"] == ["a@b.co", "c@d.co"]


def test_a_change_leaves_the_policy_it_started_from_alone():
    policy = Policy()
    change(policy, {"approval.caps.supervisor.amount": 1, "ladder.stage_3.owner": "legal"})
    assert policy == Policy()


def test_the_defaults_are_those_the_requirements_name():
    plain = Policy().as_json()
    assert plain["risk_weights"] == {
        "missed_commitments": "25", "responsiveness_decay": "20", "open_disputes": "20", "commitment_confidence": "20",
        "amount_concentration": "15",
    }  # fmt: skip
    ladder, alerts = plain["ladder"], plain["alerts"]
    assert (ladder["reminder_days"], [ladder[f"stage_{n}"]["after_business_days"] for n in (1, 2, 3)]) == ([3, 1], [0, 1, 3])
    assert list(alerts.values()) == [7, 40, 3, 1, 2, None]
    assert set(plain["tiers"]) - {"material_balance"} == set(plain["terms_library"]) == set("ABCD")
    assert plain["promise_actions"] == {"overpayment": [], "underpayment": [], "full_payment": [], "nsf": [], "broken": []}


def test_weights_are_changed_together():
    policy = change(Policy(), {"risk_weights.missed_commitments": "30", "risk_weights.amount_concentration": "10"})
    assert (policy.risk_weights.missed_commitments, policy.risk_weights.amount_concentration) == (30, 10)


def test_an_action_is_written_as_json_and_kept_with_its_defaults():
    steps = '[{"do": "escalate", "to": "supervisor"}, {"do": "message", "to": "customer", "after_days": 1}]'
    policy = change(Policy(), {"promise_actions.broken": steps})
    made = [(a.do, a.to, a.after_days) for a in policy.promise_actions.broken]
    assert made == [("escalate", "supervisor", 0), ("message", "customer", 1)]
    assert load(policy.as_json()) == policy


def test_a_mapping_says_only_what_differs_and_reminders_come_in_their_order():
    policy = change(Policy(), {"feed_mappings.payments.decimal": ",", "ladder.reminder_days": "[1, 5, 3, 5]"})
    assert policy.as_json()["feed_mappings"] == {"payments": {"columns": {}, "decimal": ",", "rounding": "refuse"}}
    assert policy.ladder.reminder_days == (5, 3, 1)


def test_approval_asks_for_rationale_and_keeps_office_hours():
    policy = change(Policy(), {"approval.rationale": '["plan", "discount"]', "approval.business_hours": "08:30-16:00"})
    assert policy.as_json()["approval"]["rationale"] == ["discount", "plan"]
    assert [hour.isoformat("minutes") for hour in policy.approval.office_hours] == ["08:30", "16:00"]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("approval.business_hours", "17:00-09:00", "open before they close"),
        ("approval.business_hours", "all day", "write 09:00-17:00"),
        ("approval.rationale", '["plans"]', "plan"),
        ("approval.caps.supervisor.balance_percent", "0", "greater than 0"),
        ("approval.caps.supervisor.exposure", "-1", "greater than or equal to 0"),
        ("approval.caps.supervisor.exposur", "1", "exposure"),
    ],
)
def test_silly_approval_values_are_refused_in_words(key, value, said):
    with pytest.raises(PolicyError, match=said):
        change(Policy(), {key: value})
