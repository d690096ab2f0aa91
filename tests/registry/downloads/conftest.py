"""Rows of downloads, and a hub that has their files."""

from tests.hub_fixtures import hub as hub
from tests.hub_fixtures import models_dir as models_dir
from tests.hub_fixtures import tiny_repo as tiny_repo
