"""Known failures of systems that keep vectors up to date with rows; each has a test with its mark."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
TRAPS = {
    1: "all rows of a batch were deleted meanwhile, and the drain ends",
    2: "one row that the model chokes on holds up or charges its neighbours",
    3: "a failure is noted in the transaction that it aborts",
    4: "an error's text is cut in the middle of a character",
    5: "a change of price, or an update that changes nothing, queues the row",
    6: "a look at an empty queue raises",
    7: "a text that is missing, empty, huge or odd has no outcome",
    8: "a type of id, a changing id, or a composite key goes wrong",
    9: "a lease ends before its batch, and two workers write",
    10: "a row that is given up vanishes",
    11: "a way of writing to the table passes unseen",
    12: "ten changes are ten jobs, or retries hold up new rows",
    13: "a lost notification is a lost row",
    14: "a transaction stays open while a model runs",
    15: "a lack of memory is charged to the rows",
    16: "one broken model stops the others",
    17: "a slow result replaces a newer one",
    18: "a signal loses a batch, or is not heeded",
    19: "vectors of another model are taken for the live one's",
    20: "a prepared statement misses a deploy",
    21: "a deploy that was taken back leaves nothing, or rollbacks swing to and fro",
    22: "an index of a generation is missing, or is not used",
    23: "a filter returns fewer rows than there are, or the wrong ones",
    24: "a role can do or read more than it was granted",
    25: "a name is run as SQL, or a trigger follows its caller's search path",
    26: "a model file carries code, or was changed, and is loaded",
    27: "a file with a byte order mark, another encoding, wrong quotes or missing columns is imported by half",
    28: "a training on too little does not say so, or harms the live model",
    29: "a training that is killed leaves half a generation for good",
    34: "a change of a related row passes unseen, and nothing waits",
    41: "code of a table's owner runs with our rights",
    42: "a setting of a database or a role changes an answer, or stops a command",
    43: "at a strict isolation level, triggers make the shop's transactions fail",
    44: "an odd number, row or encoder ends in a trace",
    30: "n-grams depend on the database's locale or on how a character is composed",
}


@pytest.mark.parametrize("number", TRAPS, ids=TRAPS.values())
def test_a_test_shows_that_it_does_not_happen_here(number: int) -> None:
    marks = [
        mark
        for path in TESTS.glob("*/test_*.py")
        for mark in re.findall(r"^@pytest\.mark\.trap\(([\d, ]+)\)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert number in {int(n) for mark in marks for n in mark.split(",")}, (
        f"Mark a test with pytest.mark.trap({number})."
    )
