"""A request that is larger than any upload may be brings no files: they would only fill the disk."""

from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, SkipFile

from ledger.uploads import MAX_BYTES

MAX_REQUEST_BYTES = MAX_BYTES + 1024 * 1024
"""With all that stands around the files."""


class UploadLimit(FileUploadHandler):
    """The first of the handlers. The fields of the request are read all the same, so that its page can say why."""

    def handle_raw_input(
        self,
        input_data: Any,
        META: Any,  # noqa: N803
        content_length: int,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        self._is_too_large = content_length > MAX_REQUEST_BYTES

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        if self._is_too_large:
            raise SkipFile

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        return raw_data

    def file_complete(self, file_size: int) -> "UploadedFile[Any] | None":
        return None
