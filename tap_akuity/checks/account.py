"""The account: the organization, and the API key that is used.

A key may not be allowed to see them, and older servers return fewer members. So nothing
here raises: a value that is not visible or not valid is None, and `problem` says why.
"""

from http import HTTPStatus
from typing import Annotated, Any, NamedTuple
from urllib.parse import quote

import msgspec
from singer_sdk.exceptions import FatalAPIError

from tap_akuity.api import errors
from tap_akuity.api.client import AkuityClient
from tap_akuity.api.session import Response
from tap_akuity.text import timestamps
from tap_akuity.text.timestamps import TimestampError

NEVER = 2**63 - 1
"""The expiry of an API key that does not expire, in nanoseconds since the epoch."""

MAX_ATTEMPTS = 3
"""Attempts per request: no run depends on the result, so do not wait for minutes."""

MAX_BYTES = 1 << 18
"""The largest body that is decoded. A typical one has a few KB."""

MAX_MONTHS = 12_000
"""The most months accepted, so that dates that long ago are valid."""

NOT_VISIBLE = "not visible to this key"


class Organization(NamedTuple):
    """The response to `GET /api/v1/organizations/{id}`."""

    name: str | None = None

    searchable_months: int | None = None
    """How many months events can be searched. Also None for 0, which may mean that it
    is not set, and for a negative number, which may mean that there is no limit."""

    archived_months: int | None = None
    """How many months archives are kept. None as above."""

    problem: str = ""
    """Why nothing is known; empty if the organization is visible."""


class Permissions(msgspec.Struct, rename="camel", frozen=True):
    """What an API key may do."""

    actions: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    custom_roles: tuple[str, ...] = ()


class ApiKey(NamedTuple):
    """The response to `GET /api/v1/apikeys/{id}`."""

    permissions: Permissions | None = None

    created: int | None = None
    """Nanoseconds since the Unix epoch."""

    expires: int | None = None
    """Likewise; `NEVER` if the key does not expire."""

    problem: str = ""
    """Why nothing is known; empty if the key is visible."""


class Account:
    """Fetches the organization and the API key, with one request each."""

    def __init__(
        self,
        client: AkuityClient,
        *,
        base_url: str,
        organization_id: str,
        api_key_id: str,
    ) -> None:
        """Initialize without making a request.

        The base URL is that of the API, such as `https://akuity.cloud/api/v1`.
        """
        self._client = client
        self._base_url = base_url
        self._organization_id = organization_id
        self._api_key_id = api_key_id

    def organization(self) -> Organization:
        """Fetch the organization."""
        content = self._content(
            f"organizations/{quote(self._organization_id, safe='')}", "organization"
        )
        if isinstance(content, str):
            return Organization(problem=content)
        quota = _valid(content.get("quota"), _Object) or {}
        return Organization(
            _valid(content.get("name"), str) or None,
            _valid(quota.get("auditRecordMonths"), _Months),
            _valid(quota.get("auditRecordArchiveMonths"), _Months),
        )

    def api_key(self) -> ApiKey:
        """Fetch the API key."""
        content = self._content(f"apikeys/{quote(self._api_key_id, safe='')}", "apiKey")
        if isinstance(content, str):
            return ApiKey(problem=content)
        expires = _instant(content.get("expireTime"))
        if "expireTime" in content and content["expireTime"] is None:
            expires = NEVER
        return ApiKey(
            _valid(content.get("permissions"), Permissions),
            _instant(content.get("createTime")),
            expires,
        )

    def _content(self, path: str, member: str) -> dict[str, Any] | str:
        """Fetch the members of a resource, or return why there are none."""
        url = f"{self._base_url}/{path}"

        def read(response: Response) -> dict[str, Any] | str:
            if response.status in {HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}:
                return NOT_VISIBLE
            errors.check_status(response, self._base_url)
            try:
                if len(response.body) <= MAX_BYTES:
                    return _decode(response.body)[member]
            except (msgspec.MsgspecError, KeyError, ValueError, RecursionError):
                pass
            return f"not understood ({errors.details(response, url)})"

        try:
            return self._client.get(url, read, max_attempts=MAX_ATTEMPTS)
        except FatalAPIError as error:
            return f"not known: {str(error).rstrip('.')}"


_Object = dict[str, Any]
_Months = Annotated[int, msgspec.Meta(gt=0, le=MAX_MONTHS)]
_decode = msgspec.json.Decoder(dict[str, _Object]).decode


def _valid(value: object, kind: Any) -> Any:  # noqa: ANN401, a type and its value
    """Return a value of this type, which protojson may write as text, or None."""
    try:
        return msgspec.convert(value, kind, strict=False)
    except (msgspec.ValidationError, ValueError):
        return None


def _instant(value: object) -> int | None:
    try:
        instant = timestamps.parse(value) if isinstance(value, str) else 0
    except TimestampError:
        return None
    # The zero times of Go and of protobuf mean "not set".
    return instant if instant > 0 else None
