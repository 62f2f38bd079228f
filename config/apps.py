from django.apps import AppConfig


class ConfigConfig(AppConfig):
    """Installed only so that its management commands (`up`, `login_link`…) are found."""

    name = "config"
