"""`auditor.yaml`: read, checked, typed. Every default is safe, every mistake names its place."""

from auditor.config.digest import digest
from auditor.config.load import load
from auditor.config.rules import detector_options
from auditor.config.schema import json_schema
from auditor.config.settings import Settings

__all__ = ["Settings", "detector_options", "digest", "json_schema", "load"]
