"""Data classes that nobody changes: the type checker sees to it, and the interpreter is not asked.

``dataclasses`` sets each field of a frozen object through ``object.__setattr__``, which takes twice as long to make the
object. A message makes thirty of them.
"""

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass  # noqa: PLC0414 - exported
else:

    def dataclass(*, frozen: bool = False, eq: bool = True, **options: Any) -> Any:
        """As ``dataclasses.dataclass``: a frozen class that is compared by value has a hash as well."""
        return dataclasses.dataclass(eq=eq, unsafe_hash=frozen and eq, **options)
