"""A table groups and finds records without holding them."""

from data_pipelines.table import Table


def test_records_are_grouped_by_key_in_the_order_they_were_added() -> None:
    table = Table([("b", {"n": 1}), (7, {"n": 2}), ("a", {"n": 3})])
    table.add([("b", {"n": 4, "deep": [0.5, {"x": None}]})])
    groups = list(table.groups())
    assert groups == [(7, [{"n": 2}]), ("a", [{"n": 3}]), ("b", [{"n": 1}, {"n": 4, "deep": [0.5, {"x": None}]}])]


def test_records_are_found_by_key_while_others_are_read() -> None:
    table = Table((number % 3, number) for number in range(9))
    assert [(key, table[key]) for key, _ in table.groups()] == [(0, [0, 3, 6]), (1, [1, 4, 7]), (2, [2, 5, 8])]
    assert table["0"] == []
