"""What a benchmark found: rows of figures, one value a round. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median


@dataclass(slots=True)
class Row:
    """One line of a section's table: figures by name, one value a round."""

    section: str
    subject: str
    name: str
    figures: dict[str, list[float]] = field(default_factory=dict)

    def middle(self, figure: str) -> float:
        """The median of the rounds; KeyError where it was not measured."""
        return median(self.figures[figure])

    def to_json(self) -> dict[str, object]:
        """Everything, with medians and ranges."""
        return {
            "section": self.section,
            "subject": self.subject,
            "name": self.name,
            "figures": {
                name: {
                    "median": median(values),
                    "min": min(values),
                    "max": max(values),
                    "rounds": values,
                }
                for name, values in self.figures.items()
            },
        }


@dataclass(slots=True)
class Results:
    """All rows, in the order in which they were first measured."""

    rows: dict[tuple[str, str, str], Row] = field(default_factory=dict)

    def add(self, section: str, subject: str, name: str, figures: Mapping[str, float]) -> None:
        """Enter one round."""
        row = self.rows.setdefault((section, subject, name), Row(section, subject, name))
        for figure, value in figures.items():
            row.figures.setdefault(figure, []).append(value)

    def find(self, section: str, subject: str, name: str) -> Row:
        """That row; KeyError where it was not measured."""
        return self.rows[section, subject, name]

    def of(self, section: str) -> list[Row]:
        """A section's rows."""
        return [row for row in self.rows.values() if row.section == section]


def ratios(row: Row, other: Row, figure: str) -> list[float]:
    """Round by round, one row's figure over the other's: what ran side by side is compared."""
    pairs = zip(row.figures[figure], other.figures[figure], strict=False)
    return [mine / theirs for mine, theirs in pairs]
