"""What botocore reads of its own files before the first request: less of it, and once.

Its table of all endpoints of all services is 1.3 MB of JSON, and while it is read no other thread runs, for
0.2 s (on a small machine a second): long enough to be heard. Where S3 is, the rules of S3 itself say; of the
table they need no more than what stands here.
"""

from __future__ import annotations

from typing import Any, Final

_S3: Final[dict[str, Any]] = {
    "defaults": {"protocols": ["http", "https"], "signatureVersions": ["s3v4"]},
    "endpoints": {},
}
_WORLD: Final = {
    "aws-global": {"credentialScope": {"region": "us-east-1"}, "hostname": "s3.amazonaws.com"},
}


def _partition(name: str, suffix: str, regions: str, s3: dict[str, Any]) -> dict[str, Any]:
    return {
        "partition": name,
        "dnsSuffix": suffix,
        "regionRegex": regions,
        "defaults": {
            "hostname": "{service}.{region}.{dnsSuffix}",
            "protocols": ["https"],
            "signatureVersions": ["v4"],
        },
        "regions": {},
        "services": {"s3": s3},
    }


ENDPOINTS: Final = {
    "version": 3,
    "partitions": [
        _partition(
            "aws",
            "amazonaws.com",
            r"^(us|eu|ap|sa|ca|me|af|il|mx)\-\w+\-\d+$",
            {**_S3, "endpoints": _WORLD, "isRegionalized": True, "partitionEndpoint": "aws-global"},
        ),
        _partition("aws-cn", "amazonaws.com.cn", r"^cn\-\w+\-\d+$", _S3),
        _partition("aws-us-gov", "amazonaws.com", r"^us\-gov\-\w+\-\d+$", _S3),
    ],
}
"""In the form of botocore's endpoints.json."""

_loaders: list[Any] = []


def loader() -> Any:
    """botocore's loader of data files, one for all clients: what was read stays."""
    if not _loaders:
        _loaders.append(_made())
    return _loaders[0]


def _made() -> Any:
    from botocore.loaders import Loader

    class OwnLoader(Loader):  # type: ignore[misc]
        def load_data_with_path(self, name: str) -> Any:
            return (ENDPOINTS, name) if name == "endpoints" else super().load_data_with_path(name)

        def load_data(self, name: str) -> Any:
            return ENDPOINTS if name == "endpoints" else super().load_data(name)

    return OwnLoader(include_default_search_paths=True)
