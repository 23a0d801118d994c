"""If this breaks, Table 2 lacks an earlier work, or gives it a figure that it never had."""

from ta3n.train.paper.rows import CITED, ROWS


def test_table_two_cites_five_works_and_no_other_table_any() -> None:
    assert list(CITED) == ["table2"]
    rows = {row.title: list(row.figures.values()) for row in CITED["table2"]}
    assert rows == {
        "W. Sultani et al.": [33.33, 47.91, 68.70, 68.67],
        "T. Xu et al.": [87.00, 75.00, 82.00, 82.00],
        "AMLS (GFK)": [84.65, 86.44, 89.53, 95.36],
        "AMLS (SA)": [83.92, 86.07, 90.25, 94.40],
        "DAAA": [91.60, 89.96],
    }


def test_cited_figures_stand_under_the_directions_of_the_papers_own() -> None:
    own = ROWS["table2/ta3n"].figures
    for row in CITED["table2"]:
        assert set(row.figures) <= set(own)
        for direction, figure in row.figures.items():
            # The paper's method is printed above every earlier one.
            assert figure < own[direction]
    daaa = CITED["table2"][-1]
    assert {benchmark for benchmark, _, _ in daaa.figures} == {"ucf-olympic"}
