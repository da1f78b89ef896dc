"""What is malformed in annotation files, collected: one run of a command names all of it, not the first line alone."""

import contextlib
from collections.abc import Iterator

from gmner.errors import DataError

RESULT_NEUTRAL = True  # the words of errors

MOST_SHOWN = 20


class Malformed:
    """Messages of malformed lines, each with its file and line, in the order of reading."""

    def __init__(self) -> None:
        self.count = 0
        self._shown: list[str] = []

    def add(self, message: str) -> None:
        """Note one problem."""
        self.count += 1
        if len(self._shown) < MOST_SHOWN:
            self._shown.append(message)

    @contextlib.contextmanager
    def collecting(self) -> Iterator[None]:
        """Note a DataError raised in here, and go on behind."""
        try:
            yield
        except DataError as error:
            self.add(str(error))

    def refuse(self) -> None:
        """Raise DataError with the first problems and the number of all, if there are any."""
        if self.count == 1:
            raise DataError(self._shown[0])
        if self.count:
            more = f"\n… and {self.count - MOST_SHOWN} more" if self.count > MOST_SHOWN else ""
            raise DataError(f"{self.count} problems in the annotations:\n" + "\n".join(self._shown) + more)
