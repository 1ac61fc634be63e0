"""The API's error responses."""

from collections.abc import Mapping

from starlette.responses import JSONResponse, Response

CODES = {400: 3, 401: 16, 403: 7, 404: 5, 409: 10, 429: 8}
CODES |= {499: 1, 500: 13, 501: 12, 503: 14, 504: 4}
"""The google.rpc.Code with each HTTP status that the API sends."""


class ApiError(Exception):
    """An error response."""

    def __init__(self, status: int, message: str) -> None:
        """Set up the response with an HTTP status and a message."""
        super().__init__(message)
        self.status = status

    def response(self, headers: Mapping[str, str] | None = None) -> Response:
        """Return the response, with additional headers."""
        content = {"code": CODES[self.status], "message": str(self), "details": []}
        return JSONResponse(content, self.status, headers)
