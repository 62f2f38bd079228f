"""Our own files, compressed and named by their content, down to what a script imports."""

from whitenoise.storage import CompressedManifestStaticFilesStorage

IMPORTS = (r'(?P<matched>from\s+"(?P<url>\.{1,2}/[\w/-]+\.js)";)', 'from "%(url)s";')


class StaticFiles(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    """A changed module gets a new name, and so does every module that imports it.

    Django can do this for every script, but fails on other packages' comments.
    """

    patterns = (*CompressedManifestStaticFilesStorage.patterns, ("js/rating/*.js", (IMPORTS,)))
    max_post_process_passes = 20  # at least the longest chain of imports
