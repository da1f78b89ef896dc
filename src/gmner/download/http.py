"""One file over HTTP or from Google Drive: resumed where it broke, with progress, and with errors that help.

The transfer is gdown's: it follows Drive's confirmation pages, asks for the missing range with If-Range after a
broken connection, and keeps a `.part` file between runs.
"""

import logging
import sys
from pathlib import Path

import gdown
import requests
from gdown.exceptions import DownloadError, FileURLRetrievalError
from tqdm import tqdm

from gmner.download.archive import looks_like_html
from gmner.errors import DataError, MissingInputError

RESULT_NEUTRAL = True  # how bytes come, not what they are: the archive is checked

log = logging.getLogger(__name__)

_SECONDS_BETWEEN_LINES = 10.0


def fetch_file(url: str, target: Path, retries: int, timeout_seconds: float, remedy: str) -> None:
    """Fetch `url` to `target`; a part fetched before is completed, a complete file is kept.

    `remedy` ends every error: what the user can do instead. Raises MissingInputError if the file cannot be
    had and DataError if a web page came in its place.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    # A server that cannot send a range would fail on every retry: then the part is given up, once a try.
    for attempt in range(retries + 1):
        try:
            _transfer(url, target, retries, timeout_seconds)
            break
        except DownloadError as error:
            parts = list(target.parent.glob(f"{target.name}*.part"))
            if "byte range" not in str(error) or attempt == retries or not parts:
                raise MissingInputError(_explain(url, error, remedy)) from error
            log.warning("%s: the server cannot send a part of the file; starting again", url)
            for part in parts:
                part.unlink()
        except (requests.RequestException, OSError) as error:
            raise MissingInputError(_explain(url, error, remedy)) from error
    if looks_like_html(target):
        target.unlink()
        raise DataError(f"{url}: sent a web page in place of the file; {remedy}")


def _transfer(url: str, target: Path, retries: int, timeout_seconds: float) -> None:
    pause = 0.1 if sys.stderr.isatty() else _SECONDS_BETWEEN_LINES
    with tqdm(unit="B", unit_scale=True, desc=target.name, mininterval=pause) as bar:

        def show(done: int, total: int | None) -> None:
            if not bar.n:
                bar.initial = bar.n = done  # what an earlier run fetched does not count for the rate
            bar.total = total
            bar.update(done - bar.n)

        gdown.download(
            url,
            str(target),
            quiet=True,
            resume=True,
            use_cookies=False,
            progress=show,
            timeout=timeout_seconds,
            retries=retries,
        )


def _explain(url: str, error: Exception, remedy: str) -> str:
    if isinstance(error, FileURLRetrievalError):
        said = " ".join(str(error).split())
        return (
            f"{url}: Google Drive does not hand out the file ({said}). Wait a day, or fetch it in a browser; {remedy}"
        )
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"{url}: the server answered {error.response.status_code} {error.response.reason}; {remedy}"
    if isinstance(error, DownloadError):
        return f"{url}: {' '.join(str(error).split())} Rerun to resume there; {remedy}"
    return f"{url}: cannot be fetched ({error}); what came so far is kept, rerun to resume; {remedy}"
