"""A payment logged by hand becomes a file like the org's other files."""

import datetime as dt

from ptp_pipeline.cli.log import as_csv
from ptp_pipeline.domain.policy_sections import FeedFormat

ROW = {"customer_id": "C-1", "received_date": dt.date(2026, 7, 14), "amount": 123450, "currency": "USD", "reference": 'Müller, "Söhne"'}


def test_a_row_is_written_in_the_standard_form_when_there_is_no_mapping() -> None:
    assert as_csv(ROW, None).decode() == (
        'customer_id,received_date,amount,currency,reference\nC-1,2026-07-14,1234.50,USD,"Müller, ""Söhne"""\n'
    )


def test_a_row_is_written_in_the_orgs_own_dialect() -> None:
    mapping = FeedFormat(
        columns={"Debitor": "customer_id", "Betrag": "amount", "Datum": "received_date"},
        date_format="DD.MM.YYYY",
        decimal=",",
        delimiter="semicolon",
        encoding="windows-1252",
    )
    assert as_csv(ROW, mapping).decode("windows-1252") == (
        'debitor;datum;betrag;currency;reference\nC-1;14.07.2026;1234,50;USD;"Müller, ""Söhne"""\n'
    )
