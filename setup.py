"""What pyproject.toml cannot say: pages, css, texts and the built-in model go into the wheel."""

from setuptools import find_packages, setup

DATA = {f"whetstone.{folder}": folder for folder in ("templates", "static", "locale", "docs")}
PACKAGES = ("annotate*", "config*", "training*", "whetstone*")

setup(
    packages=[*find_packages(include=PACKAGES), *DATA],
    package_dir=DATA,
    package_data={
        **{package: ["*", "**/*"] for package in DATA},
        "whetstone.docs": ["glossary*.md"],
        "training": ["demo/model/*"],
    },
)
