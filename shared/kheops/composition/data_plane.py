"""The use cases of the data plane."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from kheops.composition.identity import Identity
from kheops.telemetry.signals import Level

if TYPE_CHECKING:  # what only some services use is imported when they first use it: cold start counts
    from kheops.services.open_streams import OpenStreams
    from kheops.services.permanent_deletion import PermanentDeletion
    from kheops.services.reading_grants import ReadingGrants
    from kheops.services.refusals import RefusalLimit
    from kheops.services.rendering import Rendering
    from kheops.services.retrieve import Retrieval
    from kheops.services.search import Search
    from kheops.services.store import Storing
    from kheops.services.stored_attributes import StoredAttributes
    from kheops.services.verification import Verification
    from kheops.services.zip_export import ZipExport

__all__ = ["DataPlane"]


class DataPlane(Identity):
    """The use cases of the data plane."""

    @property
    def levels(self) -> Mapping[Level, Callable[[], int]]:
        """What of them goes up and down, and is read from another thread; what nobody has used yet is not made."""
        made = self.__dict__
        return {
            Level.OPEN_STREAMS: lambda: self.open_streams.open if "open_streams" in made else 0,
            Level.HELD_BYTES: lambda: self.storing.budget.held if "storing" in made else 0,
        }

    @cached_property
    def search(self) -> "Search":
        """QIDO-RS."""
        from kheops.services.search import Search

        return Search(self.database, self.audit)

    @cached_property
    def stored_attributes(self) -> "StoredAttributes":
        """Attributes of search answers from the store."""
        from kheops.services.stored_attributes import StoredAttributes

        return StoredAttributes(database=self.database, lookup=self.lookup, archive=self.archive)

    @cached_property
    def reading_grants(self) -> "ReadingGrants":
        """What the caller may read."""
        from kheops.services.reading_grants import ReadingGrants

        return ReadingGrants(database=self.database, lookup=self.lookup, audit=self.audit)

    @cached_property
    def retrieval(self) -> "Retrieval":
        """WADO-RS."""
        from kheops.services.retrieve import Retrieval

        wish = self.settings.store_transcodes
        return Retrieval(
            database=self.database,
            grants=self.reading_grants,
            archive=self.archive,
            transcodes=self.settings.store_kind == "google" if wish is None else wish,
        )

    @cached_property
    def rendering(self) -> "Rendering":
        """Rendered resources and thumbnails."""
        from kheops.services.rendering import Rendering

        return Rendering(database=self.database, grants=self.reading_grants, archive=self.archive)

    @cached_property
    def zip_export(self) -> "ZipExport":
        """Downloads."""
        from kheops.services.zip_export import ZipExport

        return ZipExport(database=self.database, archive=self.archive, audit=self.audit, clock=self.clock)

    @cached_property
    def open_streams(self) -> "OpenStreams":
        """Who has how many retrievals open."""
        from kheops.services.open_streams import OpenStreams

        return OpenStreams(limit=self.settings.streams_per_person, patience=self.settings.stream_wait_seconds)

    @cached_property
    def refusals(self) -> "RefusalLimit":
        """How often people were told of late that a UID is in use, in whichever way they asked."""
        from kheops.services.refusals import RefusalLimit

        return RefusalLimit()

    @cached_property
    def storing(self) -> "Storing":
        """STOW-RS."""
        from kheops.services.store import Storing

        return Storing(
            database=self.database,
            archive=self.archive,
            clock=self.clock,
            lease_seconds=self.settings.lease_seconds,
            held_bytes=self.settings.held_bytes,
            compares=self.settings.compare_uploads,
            refusals=self.refusals,
        )

    @cached_property
    def permanent_deletion(self) -> "PermanentDeletion":
        """What administrators delete for good."""
        from kheops.services.permanent_deletion import PermanentDeletion

        return PermanentDeletion(self.database, self.clock)

    @cached_property
    def verification(self) -> "Verification":
        """Whether series may be added to, before anything is stored."""
        from kheops.services.verification import Verification

        return Verification(self.database, self.audit, self.refusals)
