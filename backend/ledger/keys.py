"""What a hint names: the same ids that a change names."""

from collections.abc import Iterable
from dataclasses import dataclass, field

NAMES = ("license_id", "import_item_id", "allotment_id", "item_name_id")


@dataclass(slots=True)
class Keys:
    """Ids that stood in changed rows, by the outbox column that holds them. Empty: nobody knows, look at everything."""

    license_id: set[int] = field(default_factory=set)
    import_item_id: set[int] = field(default_factory=set)
    allotment_id: set[int] = field(default_factory=set)
    item_name_id: set[int] = field(default_factory=set)

    def __bool__(self) -> bool:
        return self.count() > 0

    def add(self, name: str, ids: Iterable[int]) -> None:
        """Name more ids."""
        getattr(self, name).update(ids)

    def update(self, other: "Keys") -> None:
        """Name what `other` names too."""
        for name in NAMES:
            self.add(name, getattr(other, name))

    def count(self) -> int:
        """How many ids are named."""
        return sum(len(getattr(self, name)) for name in NAMES)

    def as_message(self) -> dict[str, list[int]]:
        """What goes over the broker: JSON, without empty lists."""
        return {name: sorted(ids) for name in NAMES if (ids := getattr(self, name))}

    @classmethod
    def from_message(cls, message: dict[str, list[int]]) -> "Keys":
        """The reverse. Raises TypeError for a message that names anything else."""
        return cls(**{name: set(ids) for name, ids in message.items()})
