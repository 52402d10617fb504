"""Settings that name rules: do the rules exist, and do their options fit?"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from auditor.config.complaint import Complaint, Document, error
from auditor.config.settings import Settings
from auditor.config.validate import complaint, unknown
from auditor.context import Detector
from auditor.model import Family
from auditor.roles import meant

Detectors = Sequence[type[Detector]]

#: What may not be excused: a file that lies, a batch that is not the one that was promised.
_STRICT: Final = ("hold", "reject")


def installed() -> Detectors:
    """The detectors of this version, of every profile."""
    from auditor.detectors import EVERY

    return EVERY


def rule_families(detectors: Detectors) -> dict[str, Family]:
    """Every rule id there is, with its family: the detectors' and those of the other stages."""
    from auditor import agreed_columns, known_files, policy, readers, resubmitted
    from auditor.provenance.rules import RULES

    received = (*readers.RULES, *agreed_columns.RULES, *known_files.RULES)
    others = (*received, *RULES, *resubmitted.RULES, *policy.RULES)
    return {rule.id: rule.family for rule in (*(d.rule for d in detectors), *others)}


def detector_options(
    settings: Settings, detectors: Detectors | None = None
) -> Mapping[str, object]:
    """Rule id -> its options object with the defaults filled in, for every enabled detector.

    Raises `ConfigError` for options that do not fit; after `load` there are none.
    """
    detectors = installed() if detectors is None else detectors
    found: dict[str, object] = {}
    complaints: list[Complaint] = []
    for detector in detectors:
        options = _options(settings, detector)
        if isinstance(options, list):
            complaints += options
        elif settings.enabled(detector.rule.id):
            found[detector.rule.id] = options
    if complaints:
        raise error(Document("settings", None), complaints)
    return found


def complaints(settings: Settings, detectors: Detectors) -> list[Complaint]:
    """What is wrong with the settings that name rules."""
    families = rule_families(detectors)
    found = [*_unknown_rules(settings, detectors, families), *_effects(settings, families)]
    found += [*_roles(settings), *_trust(settings), *_signing(settings), *_keys_in_reach(settings)]
    for detector in detectors:
        options = _options(settings, detector)
        if isinstance(options, list):
            found += options
    running = [d for d in detectors if _in_profile(settings, d)]
    if detectors and not any(settings.enabled(d.rule.id) for d in running):
        found.append(Complaint(("detectors",), "every rule is switched off; a gate needs one"))
    return found


def _in_profile(settings: Settings, detector: type[Detector]) -> bool:
    from auditor.detectors import DEEP

    return settings.profile == "deep" or detector not in DEEP


def _unknown_rules(
    settings: Settings, detectors: Detectors, families: Mapping[str, Family]
) -> Iterator[Complaint]:
    own = [detector.rule.id for detector in detectors]
    for rule in settings.detectors:
        if rule not in own:
            known = rule in families
            text = "this rule always runs and has no settings" if known else _no_rule(rule, own)
            yield Complaint(("detectors", rule), text, at_name=True)
    for position, rule in enumerate(settings.policy.required):
        path = ("policy", "required", position)
        if rule not in families:
            yield Complaint(path, f"{rule}: {_no_rule(rule, families)}")
        elif not settings.enabled(rule):
            yield Complaint(path, f"{rule} is required here and switched off under detectors")


def _effects(settings: Settings, families: Mapping[str, Family]) -> Iterator[Complaint]:
    for rule, effect in settings.policy.effects.items():
        path = ("policy", "effects", rule)
        if rule not in families:
            yield Complaint(path, _no_rule(rule, families), at_name=True)
        elif rule == "AUD-P001":
            yield Complaint(path, "this is set by manifest.unsigned", at_name=True)
        elif effect not in _STRICT and _inexcusable(rule, families[rule]):
            yield Complaint(path, f"must be hold or reject, not {effect}: it cannot be excused")


def _inexcusable(rule: str, family: Family) -> bool:
    from auditor.agreed_columns import OTHER_COLUMNS

    # What becomes of AUD-P001 is set by manifest.unsigned; AUD-P005 is a limit of the site's own.
    provenance = rule in ("AUD-P002", "AUD-P003", "AUD-P004")
    return provenance or (family == Family.INTEGRITY and rule != OTHER_COLUMNS.id)


def _trust(settings: Settings) -> Iterator[Complaint]:
    trust = settings.trust
    if (trust.policy is None) != (trust.sha256 is None):
        missing = "sha256" if trust.sha256 is None else "policy"
        text = f"needs trust.{missing} too: the file, and the digest that its owners announced"
        yield Complaint(("trust",), text, at_name=True)
    if trust.policy is not None and settings.manifest.keys:
        text = "the trust policy says whose keys count; take these out, or trust.policy"
        yield Complaint(("manifest", "keys"), text, at_name=True)


def _signing(settings: Settings) -> Iterator[Complaint]:
    signing = settings.signing
    if (signing.command is None) != (signing.public is None):
        missing = "public" if signing.public is None else "command"
        text = f"needs signing.{missing} too: a program that signs, and its public key"
        yield Complaint(("signing",), text, at_name=True)
    if signing.command is not None and signing.key is not None:
        text = "the command signs; take this out, or signing.command"
        yield Complaint(("signing", "key"), text, at_name=True)


def _keys_in_reach(settings: Settings) -> Iterator[Complaint]:
    """What is published is copied and served, and with it a key that lies there."""
    published = settings.outputs.publish_to.resolve()
    for section, key in (("ledger", settings.ledger.key), ("signing", settings.signing.key)):
        if key is not None and key.resolve().is_relative_to(published):
            text = "lies in outputs.publish_to; who reads what is published could sign with it"
            yield Complaint((section, "key"), text)


def _roles(settings: Settings) -> Iterator[Complaint]:
    for role in settings.roles:
        if near := meant(role):
            yield Complaint(
                ("roles", role), f"no rule reads it; did you mean {near}?", at_name=True
            )


def _no_rule(rule: str, known: Any) -> str:
    return unknown(rule, known, "a rule")


def _options(settings: Settings, detector: type[Detector]) -> object | list[Complaint]:
    """The options object, or what is wrong with what is written."""
    path = ("detectors", detector.rule.id)
    given = settings.detectors.get(detector.rule.id)
    written = given.options if given else {}
    names = [field.name for field in dataclasses.fields(detector.options)]
    strangers = [name for name in written if name not in names]
    if strangers:
        known = ["enabled", *names]
        return [Complaint((*path, n), unknown(n, known), at_name=True) for n in strangers]
    try:
        adapter = TypeAdapter[object](detector.options)
        return adapter.validate_json(json.dumps(written), strict=True)
    except ValidationError as refused:
        return [complaint(each, path) for each in refused.errors(include_url=False)]
