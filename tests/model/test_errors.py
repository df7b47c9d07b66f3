"""Errors."""

from __future__ import annotations

import gc
import weakref

from edgenode.model.errors import ClientError, without_frames


class Keeper:
    """Keeps the error of what it has tried, as a transport does."""

    error: BaseException | None = None

    def fail(self) -> None:
        """Fail while another error is handled, and for that reason."""
        try:
            try:
                raise KeyError("the first")
            except KeyError as first:
                raise ClientError(400, "the second") from first
        except ClientError as second:
            self.error = without_frames(second)


def test_who_keeps_an_error_without_frames_is_freed_at_once() -> None:
    """Though it was raised in a frame of its keeper, while another error of that frame was handled."""
    gc.collect()
    gc.disable()
    try:
        keeper = Keeper()
        keeper.fail()
        assert str(keeper.error) == "400: the second"
        gone = weakref.ref(keeper)
        del keeper
        assert gone() is None
    finally:
        gc.enable()
