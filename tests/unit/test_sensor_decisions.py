"""When runs are wanted: files, decisions and the clock of each org."""

from datetime import UTC, date, datetime, time, timedelta

from ptp_pipeline.sensors.decide import RETRY_AFTER_MINUTES, attempt_key, due_today, inbox_runs, ledger_runs, stable_files

FILE = {"payments/a.csv": (120, 1)}


def test_a_file_that_is_still_growing_waits_for_the_next_look() -> None:
    assert stable_files({"payments/a.csv": (120, 1)}, {"payments/a.csv": (80, 1)}) == []
    assert stable_files(FILE, {}) == []
    assert stable_files(FILE, FILE) == ["payments/a.csv"]


def test_many_stable_files_of_one_org_are_one_run() -> None:
    listing = {f"payments/{n}.csv": (10, n) for n in range(50)}
    wanted, _ = inbox_runs({"acme": listing}, {"acme": listing})
    assert [(w.org, w.reason) for w in wanted] == [("acme", "50 files in the inbox")]


def test_the_same_files_left_lying_are_asked_for_once() -> None:
    first, remember = inbox_runs({"acme": FILE}, {"acme": FILE})
    second, _ = inbox_runs({"acme": FILE}, remember)
    assert first[0].key == second[0].key


def test_a_changed_file_is_asked_for_again() -> None:
    changed = {"payments/a.csv": (121, 2)}
    first, _ = inbox_runs({"acme": FILE}, {"acme": FILE})
    second, _ = inbox_runs({"acme": changed}, {"acme": changed})
    assert first[0].key != second[0].key


def test_a_folder_that_cannot_be_read_is_not_an_empty_folder() -> None:
    wanted, remember = inbox_runs({"acme": None}, {"acme": FILE})
    assert wanted == []
    assert remember == {"acme": FILE}


def test_orgs_are_asked_for_separately() -> None:
    wanted, _ = inbox_runs({"acme": FILE, "beta": FILE}, {"acme": FILE, "beta": {}})
    assert [w.org for w in wanted] == ["acme"]


def test_a_decision_the_newest_build_does_not_know_wants_a_run() -> None:
    wanted = ledger_runs({"acme": 7, "beta": 3, "new": 0}, {"acme": 5, "beta": 3, "new": None})
    assert [(w.org, w.key) for w in wanted] == [("acme", "ledger:acme:7")]


def test_six_in_the_morning_is_six_in_the_orgs_own_time_zone() -> None:
    zones = {"tokyo": "Asia/Tokyo", "berlin": "Europe/Berlin", "denver": "America/Denver"}
    now = datetime(2026, 6, 29, 21, 0, tzinfo=UTC)
    assert due_today(now, zones, time(6)) == [
        ("berlin", date(2026, 6, 29)),
        ("denver", date(2026, 6, 29)),
        ("tokyo", date(2026, 6, 30)),
    ]


def test_nothing_is_due_before_the_hour_and_a_morning_slept_through_is_caught_up() -> None:
    zones = {"berlin": "Europe/Berlin"}
    assert due_today(datetime(2026, 6, 30, 3, 59, tzinfo=UTC), zones, time(6)) == []
    assert due_today(datetime(2026, 6, 30, 4, 0, tzinfo=UTC), zones, time(6)) == [("berlin", date(2026, 6, 30))]
    assert due_today(datetime(2026, 6, 30, 10, 0, tzinfo=UTC), zones, time(6)) == [("berlin", date(2026, 6, 30))]


def test_what_failed_is_asked_for_again_later_under_a_new_number_and_not_for_ever() -> None:
    now = datetime(2026, 6, 30, 12, 0, tzinfo=UTC)
    ago = [now - timedelta(minutes=m) for m in (0, 2, 6, 300, 400, 500)]
    assert attempt_key("k", [], now) == "k"
    assert attempt_key("k", ago[:1], now) is None
    assert attempt_key("k", ago[1:2], now) == "k:2"
    assert attempt_key("k", [ago[2], ago[3]], now) == "k:3"
    assert attempt_key("k", ago[:6], now) is None
    assert attempt_key("k", [now - timedelta(days=9)] * (len(RETRY_AFTER_MINUTES) + 1), now) is None
