"""The whole suite in one class."""

from __future__ import annotations

from storage.testing._batches import BatchTests
from storage.testing._conditions import ConditionTests
from storage.testing._copying import CopyTests, TypeTests
from storage.testing._directories import DirectoryTests
from storage.testing._files import FileTests
from storage.testing._forging import ForgingTests
from storage.testing._headers import HeaderTests
from storage.testing._keys import KeyTests
from storage.testing._listing import ListingTests
from storage.testing._objects import ObjectTests
from storage.testing._races import RaceTests
from storage.testing._reading import ReadingTests
from storage.testing._signing import SigningTests
from storage.testing._writing import WritingTests


class Conformance(
    KeyTests,
    TypeTests,
    WritingTests,
    HeaderTests,
    ReadingTests,
    FileTests,
    ListingTests,
    CopyTests,
    ConditionTests,
    DirectoryTests,
    BatchTests,
    RaceTests,
    ObjectTests,
    SigningTests,
    ForgingTests,
):
    """What every backend must do. A test class inherits it and gives ``harness``."""
