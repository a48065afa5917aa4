"""What the database says of a value that it cannot hold is told without the value."""

import traceback
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest

from pipelines.errors import MappingError
from pipelines.orchestration import take_in


def test_an_error_of_the_database_quotes_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        with duckdb.connect() as con:
            con.execute("select cast(t as decimal(9, 3)) from (values ('12,5')) v(t)").fetchall()

    monkeypatch.setattr(take_in, "_follow", fails)
    centre: Any = SimpleNamespace(name="me1")
    delivery: Any = SimpleNamespace(name="2015-06")
    home: Any = None
    with pytest.raises(duckdb.ConversionException, match="12,5"):
        fails()
    with pytest.raises(MappingError) as told:
        take_in._without_values(home, centre, delivery, "v", [])
    assert "me1/centre.yaml: delivery 2015-06" in str(told.value)
    assert "12,5" not in "".join(traceback.format_exception(told.value))
    assert told.value.__context__ is None
