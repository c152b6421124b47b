"""Which customers new files concern, and their rows."""

from ptp_pipeline.feeds import scope
from ptp_pipeline.warehouse.models import Warehouse

PAYMENTS = "payment_id,customer_id,received_date,amount,kind,reverses_payment_id,invoice_id,commitment_id"


def concerned(desk, *files):
    return scope.customers_of(desk.settings, desk.org, files)


def test_a_file_concerns_the_customers_of_its_rows_and_no_others(desk):
    desk.drop("payments", "1.csv", "P1,C1,2026-01-05,10.00,payment,,,", "P2,C2,2026-01-05,10.00,payment,,,", header=PAYMENTS)
    desk.drop("contacts", "k.csv", "K1,C3,2026-01-05,call,out")
    desk.run()
    desk.drop("payments", "2.csv", "P3,C1,2026-01-06,1.00,payment,,,", header=PAYMENTS)
    desk.run()
    assert (concerned(desk, 1), concerned(desk, 2), concerned(desk, 3)) == (["C1", "C2"], ["C3"], ["C1"])
    assert concerned(desk) == []
    assert concerned(desk, 2, 3) == ["C1", "C3"]


def test_who_spoke_before_of_what_a_file_brings_is_concerned_too(desk):
    desk.drop(
        "payments",
        "1.csv",
        "R1,C1,2026-01-05,10.00,reversal,P9,,",
        "P2,C2,2026-01-05,10.00,payment,,I9,",
        "P3,C3,2026-01-05,10.00,payment,,,A9",
        "P4,C4,2026-01-05,10.00,payment,,,",
        header=PAYMENTS,
    )
    desk.drop("commitments", "c.csv", "B,plan,C5,2026-01-01,100,2026-02-01,custom,,I8", "D,promise,C4,2026-01-01,100,2026-01-05,,,I9")
    desk.run()
    desk.drop("payments", "2.csv", "P9,OTHER,2026-01-05,10.00,payment,,,", header=PAYMENTS)
    desk.drop("invoices", "i.csv", "I9,BUYER,Acme,2026-01-01,2026-01-31,100.00,100.00")
    desk.drop("commitments", "d.csv", "A9,promise,SOMEONE,2026-01-01,100,2026-01-05,,,")
    desk.drop("installments", "s.csv", "B,1,2026-02-01,100")
    desk.run()
    names = {name: sequence for sequence, name in desk.rows("select file_sequence, file_name from feed.files")}
    assert concerned(desk, names["2.csv"]) == ["C1", "OTHER"]
    assert concerned(desk, names["i.csv"]) == ["BUYER", "C2", "C4"]
    assert concerned(desk, names["d.csv"]) == ["C3", "SOMEONE"]
    assert concerned(desk, names["s.csv"]) == ["C5"]
    desk.drop("invoices", "j.csv", "I9,HEIR,Acme,2026-01-01,2026-01-31,100.00,100.00")
    desk.run()
    assert concerned(desk, 7) == ["BUYER", "C2", "C4", "HEIR"]


def test_the_rows_of_some_customers_are_taken_out_of_a_table(desk):
    desk.drop("payments", "1.csv", *(f"P{n},C{n % 4},2026-01-05,10.00,payment,,," for n in range(20)), header=PAYMENTS)
    desk.run()
    con = Warehouse(desk.settings, desk.org).connect(["raw"])
    scope.narrow(con, "raw.payments", ["C1", "C3", "NOBODY"], "mine")
    assert con.execute("select customer_id, count(*) from mine group by 1 order by 1").fetchall() == [("C1", 5), ("C3", 5)]
    con.close()
