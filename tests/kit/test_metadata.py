"""What stands in a table of an asset's page."""

from mlops_assets.kit.metadata import markdown_table


def test_a_value_with_a_bar_or_a_line_break_stays_in_its_cell():
    table = markdown_table([{"a|b": "one|two\nthree\r\nfour", "count": 3}]).md_str
    assert table == "| a\\|b | count |\n|---|---|\n| one\\|two three four | 3 |"
