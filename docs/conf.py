"""How Sphinx builds these pages: ``make docs``."""

project = "Whetstone"
copyright = "the Whetstone authors"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
myst_heading_anchors = 3
exclude_patterns = ["glossary.de.md"]  # for the app's German pages
html_theme = "furo"
html_title = "Whetstone"
html_show_sphinx = False
html_static_path: list[str] = []
pygments_style = "tango"
suppress_warnings = ["misc.highlighting_failure"]  # formulas and trees in code blocks
