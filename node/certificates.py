"""When a client over HTTP loads the certificates of authorities, which takes 50 ms."""


def needs_certificates(*urls: str) -> bool:
    """Whether connections to any of these are encrypted; unless all are plainly not, they are."""
    return not all(url.lower().startswith("http:") for url in urls)
