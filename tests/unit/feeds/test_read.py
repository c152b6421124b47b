"""Texts to typed rows and quarantine: every rule, every default, generated ids and the fingerprint."""

import datetime as dt
import random
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptp_pipeline.domain.money import EXPONENTS, BadAmount, is_payable, parse_amount
from ptp_pipeline.feeds import dialect as dialect_reader
from ptp_pipeline.feeds import schemas
from ptp_pipeline.feeds.dialect import UnreadableFile
from ptp_pipeline.feeds.mapping import Dialect, FeedMapping
from ptp_pipeline.feeds.reference import feed_reference
from ptp_pipeline.feeds.schemas import FEEDS, LATER_RULES, RULES
from tests.unit.feeds.conftest import read_whole

PAYMENTS = "payment_id,customer_id,received_date,amount,currency,kind,reverses_payment_id,reference\n"


def broken(found):
    return sorted(found.quarantine.select("line_number", "column_name", "value", "rule").rows())


def payment(**changes):
    row = {
        "payment_id": "P1",
        "customer_id": "C1",
        "received_date": "2026-01-05",
        "amount": "10.00",
        "currency": "USD",
        "kind": "payment",
        "reverses_payment_id": "",
        "reference": "",
    }
    return PAYMENTS + ",".join((row | changes).values()) + "\n"


def test_a_good_row_is_typed_and_defaults_are_filled_in(read):
    found = read("Payment ID, Customer-ID ,RECEIVED_DATE,amount\n P1 ,C1,2026-01-05,10.5\n", currency="EUR")
    row = found.frame.row(0, named=True)
    assert (row["payment_id"], row["received_date"], row["amount_minor"]) == ("P1", dt.date(2026, 1, 5), 1050)
    assert (row["currency"], row["kind"], row["reference"], row["line_number"]) == ("EUR", "payment", None, 2)
    assert found.quarantine.is_empty()


@pytest.mark.parametrize(
    ("changes", "column", "rule"),
    [
        ({"customer_id": ""}, "customer_id", "required"),
        ({"received_date": ""}, "received_date", "required"),
        ({"received_date": "31/02/2026"}, "received_date", "date"),
        ({"received_date": "2026-02-31"}, "received_date", "date"),
        ({"received_date": "2026-1-5"}, "received_date", "date"),
        ({"received_date": "0026-01-05"}, "received_date", "date_range"),
        ({"received_date": "9999-12-31"}, "received_date", "date_range"),
        ({"amount": "abc"}, "amount", "amount_format"),
        ({"amount": '"1.234,56"'}, "amount", "amount_format"),
        ({"amount": '"1,234.56"'}, "amount", "amount_format"),
        ({"amount": "-5.00"}, "amount", "amount_negative"),
        ({"amount": "0.00"}, "amount", "amount_zero"),
        ({"amount": "10.005"}, "amount", "amount_precision"),
        ({"amount": "10.5", "currency": "JPY"}, "amount", "amount_precision"),
        ({"amount": "10000000000000.01"}, "amount", "amount_too_large"),
        ({"amount": "9" * 40}, "amount", "amount_too_large"),
        ({"currency": "EURO"}, "currency", "currency"),
        ({"currency": "XAU"}, "currency", "currency"),
        ({"currency": "CLF"}, "currency", "currency"),
        ({"kind": "gift"}, "kind", "choice"),
        ({"kind": "reversal"}, "reverses_payment_id", "reverses_payment_id_missing"),
        ({"customer_id": "C" * 101}, "customer_id", "too_long"),
        ({"customer_id": "C\x07"}, "customer_id", "characters"),
        ({"customer_id": '"C\n1"'}, "customer_id", "characters"),
        ({"reference": "x\ufffd"}, "reference", "characters"),
    ],
)
def test_a_row_that_breaks_a_rule_goes_to_quarantine_with_column_and_rule(read, changes, column, rule):
    found = read(payment(**changes))
    assert [(line, name, broken_rule) for line, name, _, broken_rule in broken(found)] == [(2, column, rule)]
    assert found.frame.is_empty()
    assert found.rows_in == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": "10.500"},
        {"amount": "10.123", "currency": "kwd"},
        {"kind": "Chargeback"},
        {"kind": "refund"},
        {"kind": "reversal", "reverses_payment_id": "P0"},
        {"customer_id": "C" * 100},
        {"customer_id": "000123"},
        {"reference": '"two\nlines"'},
    ],
)
def test_rows_that_look_odd_but_break_no_rule_are_loaded(read, changes):
    assert read(payment(**changes)).quarantine.is_empty()


def test_zero_padded_ids_stay_text_and_a_newline_in_a_reference_becomes_a_blank(read):
    row = read(payment(customer_id="000123", reference='"two\nlines"')).frame.row(0, named=True)
    assert (row["customer_id"], row["reference"]) == ("000123", "two lines")


def test_every_broken_rule_of_a_row_is_told_at_once(read):
    found = read(payment(amount="abc", kind="gift", received_date="x"))
    assert [(column, rule) for _, column, _, rule in broken(found)] == [
        ("amount", "amount_format"),
        ("kind", "choice"),
        ("received_date", "date"),
    ]
    assert found.quarantine["line_number"].n_unique() == found.rows_in == 1


def test_messages_name_the_column_the_value_and_what_to_do(read):
    messages = read(payment(amount='"1.234,56"', received_date="05/01/2026")).quarantine["message"]
    assert any('amount "1.234,56" is not an amount written like 1234.56' in m and "decimal" in m for m in messages)
    assert any('received_date "05/01/2026" is not an existing date written YYYY-MM-DD' in m for m in messages)


def test_good_rows_go_on_when_others_do_not(read):
    found = read(PAYMENTS + "P1,C1,2026-01-05,1,,,,\nP2,C1,2026-01-05,abc,,,,\nP3,C1,2026-01-05\nP4,C1,2026-01-05,4,,,,\n")
    assert found.frame["payment_id"].to_list() == ["P1", "P4"]
    assert found.rows_in == 4
    assert [line for line, *_ in broken(found)] == [3, 4]


def test_a_mapping_translates_names_dates_decimals_and_rounding(read):
    text = "Kunde;Datum;Betrag;Ignored\nC1;5.1.2026;1.234,565;x\n"
    found = read(
        text,
        columns={"Kunde": "customer_id", "Datum": "received_date", "Betrag": "amount"},
        date_format="DD.MM.YYYY",
        decimal=",",
        rounding="round",
    )
    row = found.frame.row(0, named=True)
    assert (row["customer_id"], row["received_date"], row["amount_minor"]) == ("C1", dt.date(2026, 1, 5), 123457)
    assert found.ignored_columns == ("Ignored",)


def test_ambiguous_dates_are_read_as_the_mapping_says_and_never_guessed(read):
    assert broken(read(payment(received_date="03/04/2026")))[0][3] == "date"
    for date_format, month in (("DD/MM/YYYY", 4), ("MM/DD/YYYY", 3)):
        assert read(payment(received_date="03/04/2026"), date_format=date_format).frame["received_date"][0].month == month


def test_a_translated_column_wins_over_one_that_has_our_name(read):
    found = read("customer_id,received_date,amount,net\nC1,2026-01-05,12.00,10.00\n", columns={"net": "amount"})
    assert found.frame["amount_minor"].to_list() == [1000]
    assert found.ignored_columns == ("amount",)


def test_a_missing_column_rejects_the_file_naming_what_was_found_and_the_nearest_name(read):
    with pytest.raises(UnreadableFile) as caught:
        read("payment_id,customer_id,recieved_date,amount\nP1,C1,2026-01-05,1\n")
    assert caught.value.message == (
        "The payments file lacks the column received_date. It has: payment_id, customer_id, recieved_date, amount."
        " 'recieved_date' looks like received_date."
    )
    assert "feed_mappings" in caught.value.next_step


def test_two_columns_of_one_name_reject_the_file(read):
    with pytest.raises(UnreadableFile, match="Two columns of the file hold amount: 'amount' and 'Amount'"):
        read("customer_id,received_date,amount,Amount\n")


def test_a_mapping_to_a_column_that_does_not_exist_rejects_the_file_in_words(read):
    with pytest.raises(UnreadableFile, match="names a column 'sum'"):
        read(payment(), columns={"total": "sum"})


def test_payments_without_an_id_get_one_and_two_real_identical_payments_both_count(read):
    lines = ["C1,2026-01-05,10.00", "C1,2026-01-05,10.00", "C1,2026-01-05,11.00"]
    text = "customer_id,received_date,amount\n" + "\n".join(lines)
    ids = read(text).frame["payment_id"].to_list()
    assert len(set(ids)) == 3
    assert ids[0].endswith("-1")
    assert ids[1] == ids[0].removesuffix("-1") + "-2"
    again = read("amount;customer_id;received_date\n10;C1;2026-01-05\n")
    assert again.frame["payment_id"].to_list() == [ids[0]]
    assert again.frame["is_generated_id"].to_list() == [True]


def test_given_ids_are_kept_and_do_not_count_as_occurrences(read):
    found = read("payment_id,customer_id,received_date,amount\nP1,C1,2026-01-05,10\n,C1,2026-01-05,10\n")
    assert found.frame["is_generated_id"].to_list() == [False, True]
    assert found.frame["payment_id"][1].endswith("-1")


def test_the_other_feeds_are_typed_too(read):
    commitment = read(
        "commitment_id,kind,customer_id,agreed_on,amount,first_due_date,invoice_ids,confidence,overpayment_rule\n"
        "A,Repeating Promise,C1,2026-01-01,50,2026-02-01,I2; I1 ;;I2,101,\nB,plan,C1,2026-01-01,50,2026-02-01,I1;I2,80,first\n"
        "D,plan,C1,2026-01-01,50,2026-02-01,I2; I1 ;;I2,100,Spread\nE,plan,C1,2026-01-01,50,2026-02-01,,,\n",
        feed="commitments",
    )
    assert broken(commitment) == [(2, "confidence", "101", "integer"), (3, "overpayment_rule", "first", "choice")]
    assert commitment.frame["overpayment_rule"].to_list() == ["spread", None]
    row = commitment.frame.row(0, named=True)
    assert (row["invoice_ids"], row["down_payment_minor"], row["frequency"], row["confidence"]) == (["I2", "I1"], 0, "once", 100)
    invoice = read(
        "invoice_id,customer_id,customer_name,invoice_date,due_date,amount,open_amount,disputed,deduction_count\n"
        "I1,C1,Name,2026-01-01,2026-02-01,5,0,Yes,\nI2,C1,Name,2026-01-01,2026-02-01,5,,maybe,x\n",
        feed="invoices",
    )
    assert invoice.frame.select("open_amount_minor", "disputed", "deduction_count").rows() == [(0, True, 0)]
    assert [rule for *_, rule in broken(invoice)] == ["integer", "boolean"]
    installment = read(
        "commitment_id,sequence,due_date,amount\nA,1,2026-02-01,0050.50\nA,0,2026-02-01,1\nA,2,2026-02-01,-1\n", feed="installments"
    )
    assert installment.frame.select("sequence", "amount").rows() == [(1, "50.5")]
    assert [rule for *_, rule in broken(installment)] == ["integer", "amount_negative"]


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-07-01", "2026-06-30 22:00"),
        ("2026-07-01T10:30", "2026-07-01 08:30"),
        ("2026-07-01 10:30:15", "2026-07-01 08:30:15"),
        ("2026-07-01T10:30:00Z", "2026-07-01 10:30"),
        ("2026-07-01T10:30Z", "2026-07-01 10:30"),
        ("2026-07-01T10:30:00.250-05:00", "2026-07-01 15:30:00.250"),
        ("2026-03-29T02:30", "2026-03-29 01:30"),  # the clock skips this hour: read as the one after it
        ("2026-10-25T02:30", "2026-10-25 00:30"),  # the clock repeats this hour: its first
    ],
)
def test_times_are_kept_in_utc(read, text, utc):
    found = read(f"contact_id,customer_id,at,channel,direction\nK1,C1,{text},call,out\n", feed="contacts", timezone="Europe/Berlin")
    assert found.frame["at"].to_list() == [dt.datetime.fromisoformat(utc)]


@pytest.mark.parametrize("text", ["yesterday", "2026-07-01T25:00", "2026-13-01", "01/07/2026 10:00"])
def test_a_time_that_is_none_goes_to_quarantine(read, text):
    found = read(f"contact_id,customer_id,at,channel,direction\nK1,C1,{text},call,out\n", feed="contacts")
    assert broken(found) == [(2, "at", text, "instant")]


# --- the vectorised parser of amounts is held to the plain one ---

numbers = st.one_of(
    st.decimals(-(10**16), 10**16, places=4).map(lambda d: f"{d:f}"),
    st.integers(-(10**17), 10**17).map(str),
    st.decimals(0, 10**6, places=2).map(lambda d: f"{d:,}"),
    st.decimals(0, 10**6, places=3).map(lambda d: f"{d:,}".translate(str.maketrans(",.", ".,"))),
    st.text("0123456789.,- ", min_size=1, max_size=12),
    st.sampled_from(["10.005", "10.0049999", "0.5", "00", "-0", "999999999999999.995", "10000000000000.00", "1" * 30, "0" * 30 + "1"]),
)
cases = st.lists(st.tuples(numbers, st.sampled_from(sorted(c for c in EXPONENTS if is_payable(c)))), min_size=1, max_size=30)


@settings(max_examples=200, deadline=None)
@given(cases, st.sampled_from([None, ".", ","]), st.booleans())
def test_amounts_are_read_as_domain_money_reads_them(table, decimal, is_rounding):
    dialect = Dialect(FeedMapping(decimal=decimal, rounding="round" if is_rounding else "refuse"), "USD")
    feed = schemas.Feed("payments", "", tuple(c for c in schemas.PAYMENTS.columns if c.name in ("amount", "currency")))
    frame = pl.DataFrame(table, schema={"amount": pl.String, "currency": pl.String}, orient="row")
    frame = frame.with_columns(pl.col("amount").str.strip_chars()).with_columns(schemas.parse(feed, dialect))
    read = frame.with_columns(schemas.parse_amounts(feed, dialect))["typed amount"].to_list()
    plain = [parse_amount(text, currency, decimal=decimal, is_rounding=is_rounding) for text, currency in table]
    assert read == [None if isinstance(minor, BadAmount) else minor for minor in plain]


# --- fingerprints ---

payments = st.lists(
    st.tuples(
        st.sampled_from(["", "P1", "P2"]), st.sampled_from(["C1", "C2", ""]), st.integers(1, 500), st.sampled_from(["", "naïve", "a;b"])
    ),
    min_size=1,
    max_size=15,
)


def as_file(table, *, delimiter=",", end="\n", encoding="utf-8", decimal=".", order=("p", "c", "d", "a", "r")):
    names = {"p": "payment_id", "c": "customer_id", "d": "received_date", "a": "amount", "r": "reference"}
    lines = [delimiter.join(names[key] for key in order)]
    for p, c, a, r in table:
        amount = f'"{Decimal(a) / 100}"'.replace(".", decimal)
        row = {"p": p, "c": c, "d": "2026-01-05", "a": amount, "r": f'"{r}"'}
        lines.append(delimiter.join(row[key] for key in order))
    return (end.join(lines) + end).encode(encoding)


forms = st.tuples(st.sampled_from([",", ";", "\t"]), st.sampled_from(["\n", "\r\n"]), st.sampled_from(["utf-8-sig", "utf-16"]))


@settings(max_examples=30, deadline=None)
@given(payments, st.randoms(use_true_random=False), forms)
def test_the_same_rows_in_another_form_have_the_same_fingerprint(table, rng, form):
    delimiter, end, encoding = form
    shuffled, order = list(table), ["p", "c", "d", "a", "r"]
    rng.shuffle(shuffled)
    rng.shuffle(order)
    plain, comma = Dialect(FeedMapping(), "USD"), Dialect(FeedMapping(decimal=","), "USD")
    one = read_whole(as_file(table), "payments", plain)
    two = as_file(shuffled, delimiter=delimiter, end=end, encoding=encoding, decimal=",", order=order)
    two = read_whole(two, "payments", comma)
    assert one.rows_fingerprint == two.rows_fingerprint
    assert sorted(one.frame["payment_id"]) == sorted(two.frame["payment_id"])
    assert read_whole(as_file([*table, table[0]]), "payments", plain).rows_fingerprint != one.rows_fingerprint


def test_rows_in_quarantine_count_for_the_fingerprint(read):
    assert read(payment(amount="abc")).rows_fingerprint != read(payment(amount="abd")).rows_fingerprint


def test_files_without_rows_go_by_their_bytes(read):
    assert read(PAYMENTS).rows_in == 0
    assert read(PAYMENTS).rows_fingerprint != read(PAYMENTS + "\n").rows_fingerprint


def test_a_file_read_in_many_blocks_is_the_same_file(read, monkeypatch):
    monkeypatch.setattr(dialect_reader, "_CHUNK", 4000)
    header = "payment_id,customer_id,received_date,amount,kind,reference\n"
    odd = {5: "P5,C1,2026-02-31,1.00,,", 700: ",C1,2026-01-05,7.00,gift,", 2100: 'P,C1,2026-01-05,1.00,,"two\nlines"', 3000: "torn"}
    lines = [
        odd.get(n, f"{'' if n % 2 else f'P{n}'},C{n % 9},2026-01-05,{n % 5 + 1}.50,payment,{'é' if n % 50 == 0 else ''}")
        for n in range(4000)
    ]
    data = (header + "\n".join(lines)).encode()
    plain = Dialect(FeedMapping(), "USD")
    whole, cut = read_whole(data, "payments", plain), read_whole(data, "payments", plain, block_bytes=20_000)
    assert cut.frame.equals(whole.frame)
    assert cut.quarantine.equals(whole.quarantine)
    assert (cut.rows_in, cut.rows_fingerprint) == (whole.rows_in, whole.rows_fingerprint) == (4000, whole.rows_fingerprint)
    assert whole.frame["payment_id"].n_unique() == whole.frame.height
    assert [rule for *_, rule in broken(cut)] == ["date", "choice", "field_count"]


# --- one source of column metadata ---


def test_every_rule_a_row_can_break_has_words_and_a_place_in_the_reference():
    page = feed_reference()
    assert all(f"`{rule}`" in page for rule in [*RULES, *LATER_RULES])
    assert all(f"| `{column.name}` |" in page for feed in FEEDS.values() for column in feed.columns)


def test_the_pandera_schema_carries_the_columns_and_their_descriptions():
    dialect = Dialect(FeedMapping(), "USD")
    for feed in FEEDS.values():
        made = schemas.schema(feed, dialect)
        assert {name: column.description for name, column in made.columns.items()} == {c.name: c.description for c in feed.columns}


@pytest.mark.parametrize("feed", sorted(FEEDS))
def test_random_rubbish_loses_no_row_in_any_feed(read, feed):
    rng = random.Random(feed)
    pool = [
        "",
        "x",
        "1",
        "0",
        "-1",
        "2026-01-05",
        "2026-02-31",
        "plan",
        "payment",
        "true",
        "1.005",
        "USD",
        "out",
        'a"b',
        "ü",
        "9" * 30,
        "I1;I2",
    ]
    names = [column.name for column in FEEDS[feed].columns]
    lines = [",".join(rng.choice(pool) for _ in range(len(names) + rng.choice([0, 0, 0, 0, 1, -1]))) for _ in range(400)]
    found = read("\n".join([",".join(names), *lines]), feed=feed)
    assert found.rows_in == found.frame.height + found.quarantine["line_number"].n_unique()
    assert found.rows_in == sum(bool(line.strip(", ")) for line in lines)
    assert set(found.quarantine["rule"]) <= RULES.keys()
