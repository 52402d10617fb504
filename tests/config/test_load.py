from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from auditor.batch import Batch
from auditor.config import Settings, detector_options, digest, json_schema, load
from auditor.context import Context
from auditor.errors import ConfigError, TrustError
from auditor.model import Effect, Family, Outcome, Rule, Severity
from auditor.policy import Policy
from auditor.readers import Limits


@dataclass(frozen=True, slots=True)
class Options:
    """Settings of the first rule."""

    folds: int = 5
    model: Literal["logistic", "boosted"] = "logistic"
    levels: tuple[float, ...] = (0.9, 0.99)

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise ValueError("folds must be 2 or more")


@dataclass(frozen=True, slots=True)
class NoOptions:
    """No settings."""


def rule(name: str) -> Rule:
    return Rule(
        id=name,
        family=Family.LABEL,
        title=f"Title of {name}",
        severity=Severity.HIGH,
        effect=Effect.QUARANTINE,
    )


class First:
    rule: ClassVar[Rule] = rule("AUD-L001")
    options: ClassVar[type] = Options

    @classmethod
    def load(cls, context: Context) -> First:
        return cls()

    def scan(self, batch: Batch) -> Outcome:
        return Outcome(rule=self.rule.id)


class Second(First):
    rule: ClassVar[Rule] = rule("AUD-F001")
    options: ClassVar[type] = NoOptions


DETECTORS = (First, Second)


def read(
    folder: Path, text: str, environ: Mapping[str, str] | None = None, **rest: Any
) -> Settings:
    path = folder / "auditor.yaml"
    path.write_text(text)
    path.chmod(0o644)
    arguments = {"strict_permissions": True, "detectors": DETECTORS, **rest}
    return load(path, environ or {}, **arguments)


def refusal(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> str:
    """What is said about a file, with its folder left out."""
    with pytest.raises(ConfigError) as refused:
        read(folder, text, environ)
    return str(refused.value).replace(f"{folder}/", "")


# --- the texts ------------------------------------------------------------------------------------


def test_an_unknown_setting_names_the_nearest_and_its_place(tmp_path: Path) -> None:
    assert refusal(tmp_path, "name: reviews\ngate:\n  fail_onn: reject\n") == (
        "auditor.yaml:3:3: gate.fail_onn: not a setting; did you mean fail_on?\n"
        "  fail_onn: reject\n"
        "  ^"
    )


def test_a_wrong_type_names_the_place_of_the_value(tmp_path: Path) -> None:
    assert refusal(tmp_path, "policy:\n  alpha: small\n") == (
        'auditor.yaml:2:10: policy.alpha: must be a number, not "small"\n  alpha: small\n         ^'
    )


def test_a_missing_file_names_the_place_of_its_path(tmp_path: Path) -> None:
    assert refusal(tmp_path, "expectations: suites/x.json\n") == (
        "auditor.yaml:1:15: expectations: no such file or folder: suites/x.json\n"
        "expectations: suites/x.json\n"
        "              ^"
    )


def test_all_mistakes_are_told_in_the_order_of_the_file(tmp_path: Path) -> None:
    said = refusal(tmp_path, "nme: x\ngate: {fail_on: never}\nlimits: {rows: -1}\n")
    assert [line for line in said.split("\n") if line.startswith("auditor.yaml")] == [
        "auditor.yaml:1:1: nme: not a setting; did you mean name?",
        'auditor.yaml:2:17: gate.fail_on: must be quarantine or reject, not "never"',
        "auditor.yaml:3:16: limits.rows: must be more than 0, not -1",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hello", '1:1: must be settings (name: value), not "hello"'),
        ("[a]", '1:1: must be settings (name: value), not ["a"]'),
        ("gate: reject", '1:7: gate: must be settings (name: value), not "reject"'),
        ("outputs: [a]", "1:10: outputs: must be settings (name: value)"),
        ("zzzzzz: 1", "1:1: zzzzzz: not a setting; known are name, roles, baseline"),
        ("name: 2026", "1:7: name: must be text, not 2026; write it in quotes"),
        ("name: ''", "1:7: name: "),
        ("name:", "1:6: name: must be text, not null"),
        ("roles: {label: 3}", "1:16: roles.label: must be text or a list of texts; write numbers"),
        ("roles: {label: [a, 3]}", "1:16: roles.label: must be text or a list of texts"),
        ("roles: {label: []}", "1:16: roles.label: must not be empty"),
        ("roles: {label: [a, a]}", "1:16: roles.label: must not name anything twice"),
        ("roles: {La bel: a}", "1:9: roles.La bel: a role is written in small letters"),
        ("policy: {alpha: true}", "1:17: policy.alpha: must be a number, not true"),
        ("policy: {alpha: 0}", "1:17: policy.alpha: must be more than 0, not 0"),
        ("policy: {alpha: 0.9}", "1:17: policy.alpha: must be at most 0.5, not 0.9"),
        ("policy: {alpha: .nan}", "1:17: a number must be finite"),
        ("policy: {required: AUD-L001}", '1:20: policy.required: must be a list, not "AUD-L001"'),
        ("policy: {required: [AUD-L01]}", "1:21: policy.required.0: AUD-L01: not a rule; did you"),
        (
            "policy: {limits: {batch_share: 1.5}}",
            "1:32: policy.limits.batch_share: must be at most",
        ),
        (
            "policy: {limits: {minimum_group: 1.5}}",
            "1:34: policy.limits.minimum_group: must be a whole",
        ),
        (
            "policy: {limits: {minimum_group: '9'}}",
            "1:34: policy.limits.minimum_group: must be a whole",
        ),
        (
            "policy: {effects: {AUD-L001: stop}}",
            "1:30: policy.effects.AUD-L001: must be note, quar",
        ),
        ("policy: {effects: {AUD-L1: note}}", "1:20: policy.effects.AUD-L1: not a rule; did you"),
        ("policy: {effects: {AUD-I001: note}}", "1:30: policy.effects.AUD-I001: must be hold or"),
        ("policy: {effects: {AUD-P002: note}}", "1:30: policy.effects.AUD-P002: must be hold or"),
        ("policy: {effects: {AUD-P001: note}}", "1:20: policy.effects.AUD-P001: this is set by"),
        (
            "policy: {broken_files: ignore}",
            "1:24: policy.broken_files: must be reject or set_aside",
        ),
        ("manifest: {unsigned: accept}", "1:22: manifest.unsigned: must be note, hold or reject"),
        ("manifest: {source: 'v a'}", "1:20: manifest.source: must be a source as manifests name"),
        ("manifest: {threshold: 0}", "1:23: manifest.threshold: must be more than 0, not 0"),
        ("manifest: {keys: {a: [x.pub]}}", "1:22: manifest.keys.a: no such file or folder: x.pub"),
        ("manifest: {keys: {a: abc}}", "1:22: manifest.keys.a: no such file or folder: abc"),
        ("limits: {memory: 8 GiBs}", '1:18: limits.memory: must be a size such as "8 GiB"'),
        ("limits: {memory: -1}", "1:18: limits.memory: must be more than 0 bytes"),
        ("limits: {bytes: true}", '1:17: limits.bytes: must be a size such as "8 GiB"'),
        ("limits: {memory: 99999 TiB}", "1:18: limits.memory: must be more than 0 bytes and less"),
        (
            "outputs: {runs: 's3://bucket/runs'}",
            "1:17: outputs.runs: must be a path on this machine",
        ),
        ("outputs: {runs: ''}", "1:17: outputs.runs: must be a path"),
        ('outputs: {runs: "a\\0b"}', "1:17: outputs.runs: must be a path; this one has a NUL"),
        ("outputs: {samples: yes}", '1:20: outputs.samples: must be true or false, not "yes"'),
        ("outputs: {samples: 1}", "1:20: outputs.samples: must be true or false, not 1"),
        ("baseline: https://x/y", "1:11: baseline: must be a path on this machine, not a URL"),
        (
            "ledger: {key: .auditor/published/x/ledger.key}",
            "1:15: ledger.key: lies in outputs.publish_to",
        ),
        (
            "{ledger: {key: out/../out/k}, outputs: {publish_to: out}}",
            "1:16: ledger.key: lies in outputs.publish_to",
        ),
        ("signing: {key: gate.key}", "1:16: signing.key: no such file or folder: gate.key"),
        (
            "signing: {passphrase: x}",
            "1:11: signing.passphrase: not a setting; did you mean passphr",
        ),
        (
            "signing: {passphrase_env: 'a b'}",
            "1:27: signing.passphrase_env: must be the name of an",
        ),
        ("flows: {training: os.system}", '1:19: flows.training: must be "module:function"'),
        ("flows: {settle_seconds: 0}", "1:25: flows.settle_seconds: must be more than 0"),
        ("flows: {inbox: in}", "1:16: flows.inbox: no such file or folder: in"),
        ("detectors: {AUD-L01: {}}", "1:13: detectors.AUD-L01: not a rule; did you mean AUD-L001?"),
        ("detectors: {AUD-I001: {}}", "1:13: detectors.AUD-I001: this rule always runs"),
        ("detectors: {AUD-L001: true}", "1:23: detectors.AUD-L001: must be settings (name: value)"),
        (
            "detectors: {AUD-L001: {fold: 3}}",
            "1:24: detectors.AUD-L001.fold: not a setting; did you",
        ),
        ("detectors: {AUD-L001: {enabeld: no}}", "1:24: detectors.AUD-L001.enabeld: not a setting"),
        (
            "detectors: {AUD-L001: {enabled: no}}",
            "1:33: detectors.AUD-L001.enabled: must be true or",
        ),
        ("detectors: {AUD-L001: {folds: a}}", "1:31: detectors.AUD-L001.folds: must be a whole"),
        ("detectors: {AUD-L001: {folds: true}}", "1:31: detectors.AUD-L001.folds: must be a whole"),
        ("detectors: {AUD-L001: {folds: 1}}", "1:23: detectors.AUD-L001: folds must be 2 or more"),
        (
            "detectors: {AUD-L001: {model: x}}",
            "1:31: detectors.AUD-L001.model: must be logistic or",
        ),
        (
            "detectors: {AUD-L001: {levels: [0.9, b]}}",
            "1:38: detectors.AUD-L001.levels.1: must be a",
        ),
        ("detectors: {AUD-F001: {a: 1}}", "1:24: detectors.AUD-F001.a: not a setting; known are"),
        (
            "detectors: {AUD-L001: {enabled: false}, AUD-F001: {enabled: false}}",
            "1:12: detectors: every rule is switched off",
        ),
        (
            "detectors: {AUD-L001: {enabled: false}}\npolicy: {required: [AUD-L001]}",
            "2:21: policy.required.0: AUD-L001 is required here and switched off",
        ),
        ("gate:\n\tfail_on: reject", "2:1: not valid YAML: a tab"),
        ("gate: {}\ngate: {}", "2:1: gate: written twice, first in line 1"),
        ("gate: {fail_on: [quarantine}", "1:28: not valid YAML"),
    ],
)
def test_every_bad_line_names_its_place(tmp_path: Path, text: str, said: str) -> None:
    found = refusal(tmp_path, text)
    assert found.startswith(f"auditor.yaml:{said}")
    if len(text.split("\n")) == 1:
        head, line, caret = found.split("\n")
        assert line == text
        assert len(caret) == int(head.split(":")[2])


def test_more_mistakes_than_one_reads(tmp_path: Path) -> None:
    said = refusal(tmp_path, "\n".join(f"zz{n}: 1" for n in range(50)))
    assert said.endswith("and 30 more")


# --- files that are no settings -------------------------------------------------------------------


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"auditor.yaml: no such file; `auditor init DATA`"):
        load(tmp_path / "auditor.yaml", {}, strict_permissions=False)


def test_things_that_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(ConfigError, match="not a file"):
            load(path, {}, strict_permissions=False)
    with pytest.raises(ConfigError, match="cannot be read"):
        load(Path("a\0b"), {}, strict_permissions=False)


def test_text_in_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "auditor.yaml"
    path.write_bytes("name: x\nroles: {label: größe}".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"auditor.yaml:2:18: not UTF-8 text"):
        load(path, {}, strict_permissions=False)


def test_a_file_that_is_too_long(tmp_path: Path) -> None:
    path = tmp_path / "auditor.yaml"
    path.write_text("#" * (1024 * 1024 + 1))
    with pytest.raises(ConfigError, match="more than 1048576 bytes"):
        load(path, {}, strict_permissions=False)


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666, 0o777])
def test_settings_that_others_may_change_are_refused_by_the_gate(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "auditor.yaml"
    path.write_text("name: x")
    path.chmod(mode)
    with pytest.raises(TrustError, match=rf"mode {mode:04o}\).*chmod go-w"):
        load(path, {}, strict_permissions=True, detectors=DETECTORS)
    assert load(path, {}, strict_permissions=False, detectors=DETECTORS).name == "x"


# --- what is loaded -------------------------------------------------------------------------------


def test_the_defaults_are_those_of_the_parts(tmp_path: Path) -> None:
    found = read(tmp_path, "")
    assert found.limits.as_limits() == Limits()
    policy = Policy()
    assert found.policy.alpha == policy.alpha
    assert found.policy.limits.batch_share == policy.batch_share
    assert found.manifest.unsigned == "hold"
    assert found.gate.fail_on == "quarantine"
    assert found.outputs.runs == tmp_path / ".auditor" / "runs"
    assert Settings().outputs.runs == Path(".auditor/runs")


def test_a_whole_file(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "a.pub").write_text("key")
    (tmp_path / "trusted").mkdir()
    found = read(
        tmp_path,
        f"""
name: reviews
roles:
  label: stars
  feature: [price, age]
baseline: trusted
manifest:
  keys:
    vendor-a/reviews: [keys/a.pub, {"AB" * 32}]
    vendor-b: keys/a.pub
  threshold: 1
detectors:
  AUD-L001: {{folds: 3, levels: [0.5]}}
  AUD-F001: {{enabled: false}}
policy:
  effects: {{AUD-L001: note}}
  required: [AUD-I001]
gate:
limits: {{memory: 1.5 GiB, bytes: 1000}}
outputs: {{runs: /var/runs}}
flows: {{training: "jobs.train:main"}}
""",
    )
    assert found.roles == {"label": ("stars",), "feature": ("price", "age")}
    assert found.baseline == tmp_path / "trusted"
    key = str(tmp_path / "keys" / "a.pub")
    assert found.manifest.keys == {"vendor-a/reviews": (key, "ab" * 32), "vendor-b": (key,)}
    assert detector_options(found, DETECTORS) == {"AUD-L001": Options(folds=3, levels=(0.5,))}
    assert found.enabled("AUD-L001")
    assert not found.enabled("AUD-F001")
    assert found.limits.memory == 3 * 2**29
    assert found.outputs.runs == Path("/var/runs")
    assert json.dumps(found.model_dump(mode="json"))


def test_options_are_objects_of_the_detectors_own_class(tmp_path: Path) -> None:
    options = detector_options(read(tmp_path, ""), DETECTORS)
    assert options == {"AUD-L001": Options(), "AUD-F001": NoOptions()}
    context = Context(settings=options)
    assert context.options("AUD-L001", Options) is options["AUD-L001"]


def test_options_that_came_past_load_are_still_refused() -> None:
    bad = Settings.model_validate({"detectors": {"AUD-L001": {"fold": 3}}})
    with pytest.raises(ConfigError, match=r"detectors.AUD-L001.fold: not a setting"):
        detector_options(bad, DETECTORS)


def test_settings_cannot_be_changed(tmp_path: Path) -> None:
    found = read(tmp_path, "")
    with pytest.raises(ValidationError):
        found.gate.fail_on = "reject"


def test_files_that_are_still_to_be_made(tmp_path: Path) -> None:
    found = read(tmp_path, "baseline: trusted", files_must_exist=False)
    assert found.baseline == tmp_path / "trusted"


def test_without_a_file_paths_start_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = load(None, {}, strict_permissions=True, detectors=DETECTORS)
    assert found.outputs.ledger == tmp_path / ".auditor" / "ledger.db"


def test_the_detectors_of_this_version_take_their_defaults(tmp_path: Path) -> None:
    found = read(tmp_path, "", detectors=None)
    options = detector_options(found)
    assert options
    assert all(type(each)() == each for each in options.values())


# --- the environment ------------------------------------------------------------------------------


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    environ = {
        "AUDITOR__GATE__FAIL_ON": "reject",
        "AUDITOR__NAME": "2026",
        "AUDITOR__OUTPUTS__RUNS": "elsewhere",
        "AUDITOR__ROLES__LABEL": "[a, b]",
        "AUDITOR__POLICY__LIMITS__BATCH_SHARE": "0.1",
        "AUDITOR__DETECTORS__AUD_L001__FOLDS": "7",
        "AUDITOR__DETECTORS__AUD_F001__ENABLED": "false",
        "AUDITOR__LIMITS__MEMORY": "2 GiB",
        "AUDITOR_OTHER": "x",
        "HOME": "x",
    }
    found = read(tmp_path, "gate: {fail_on: quarantine}\nname: x\n", environ)
    assert found.gate.fail_on == "reject"
    assert found.name == "2026"
    assert found.outputs.runs == tmp_path / "elsewhere"
    assert found.roles == {"label": ("a", "b")}
    assert found.policy.limits.batch_share == 0.1
    assert detector_options(found, DETECTORS) == {"AUD-L001": Options(folds=7)}
    assert found.limits.memory == 2**31


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("GATE__FAIL_ONN", "x", "gate.fail_onn: not a setting; did you mean fail_on?"),
        ("GATE__FAIL_ON", "never", 'gate.fail_on: must be quarantine or reject, not "never"'),
        ("GATE", "reject", 'gate: must be settings (name: value), not "reject"'),
        ("BASELINE", "nowhere", "baseline: no such file or folder: nowhere"),
        ("MANIFEST__THRESHOLD", "two", 'manifest.threshold: must be a whole number, not "two"'),
        ("DETECTORS__AUD_L001__FOLD", "3", "detectors.AUD-L001.fold: not a setting; did you mean"),
        ("DETECTORS__AUD_L9__FOLD", "3", "detectors.aud_l9: not a rule"),
    ],
)
def test_a_bad_variable_is_named(tmp_path: Path, name: str, value: str, said: str) -> None:
    found = refusal(tmp_path, "name: x\n", {f"AUDITOR__{name}": value})
    assert found.startswith(f"environment AUDITOR__{name}: {said}")


@pytest.mark.parametrize("name", ["AUDITOR_MANIFEST__UNSIGNED", "auditor_manifest__unsigned"])
def test_a_variable_with_one_underscore_is_not_left_unread(tmp_path: Path, name: str) -> None:
    found = refusal(tmp_path, "name: x\n", {name: "reject"})
    assert found.startswith(f"environment {name}: settings begin with AUDITOR__")
    assert found.endswith("did you mean AUDITOR__MANIFEST__UNSIGNED?")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("GATE____FAIL_ON", "x", "a part of the name is empty"),
        ("", "x", "a part of the name is empty"),
        ("NAME__A", "x", "there is a value where settings should be"),
        ("ROLES__LABEL", "[a", "not valid YAML"),
    ],
)
def test_a_variable_that_makes_no_sense(tmp_path: Path, name: str, value: str, said: str) -> None:
    found = refusal(tmp_path, "name: x\n", {f"AUDITOR__{name}": value})
    assert found.startswith(f"environment AUDITOR__{name}")
    assert said in found


# --- the digest -----------------------------------------------------------------------------------


def policy_digest(
    found: Settings, suite: str | None = None, rules: tuple[str, ...] = ("a",)
) -> str:
    return digest(found, suite=suite, rules=rules, detectors=DETECTORS)


def test_the_digest_is_that_of_what_decides(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for folder, name in (("a", "one.pub"), ("b", "two.pub")):
        (tmp_path / folder / name).write_text("the same key")
    same = "gate: {fail_on: reject}\nmanifest: {keys: {v: %s}}\n%s"
    first = policy_digest(read(tmp_path / "a", same % ("one.pub", "name: x")))
    second = read(tmp_path / "b", same % ("two.pub", "outputs: {samples: false}"))
    assert policy_digest(second) == first
    assert policy_digest(second, rules=("b", "a")) == policy_digest(second, rules=("a", "b"))


@pytest.mark.parametrize(
    "text",
    [
        "policy: {alpha: 0.02}",
        "policy: {required: [AUD-L001]}",
        "policy: {effects: {AUD-L001: note}}",
        "manifest: {unsigned: note}",
        "manifest: {threshold: 2}",
        "manifest: {source: vendor-a/reviews}",
        f"manifest: {{keys: {{v: {'ab' * 32}}}}}",
        "detectors: {AUD-L001: {folds: 6}}",
        "detectors: {AUD-F001: {enabled: false}}",
        "roles: {label: x}",
        "gate: {fail_on: reject}",
        "limits: {rows: 5}",
        "outputs: {sample_weight: 0.05}",
    ],
)
def test_the_digest_changes_with_what_decides(tmp_path: Path, text: str) -> None:
    assert policy_digest(read(tmp_path, text)) != policy_digest(read(tmp_path, ""))


def test_the_digest_changes_with_suite_and_rules(tmp_path: Path) -> None:
    found = read(tmp_path, "detectors: {AUD-L001: {folds: 5}}")
    plain = policy_digest(found)
    assert plain == policy_digest(read(tmp_path, "")), "a default that is written out is the same"
    assert len({plain, policy_digest(found, "0" * 64), policy_digest(found, rules=("a@2",))}) == 3


def test_a_key_that_vanished_is_no_digest(tmp_path: Path) -> None:
    (tmp_path / "a.pub").write_text("key")
    found = read(tmp_path, "manifest: {keys: {v: a.pub}}")
    (tmp_path / "a.pub").unlink()
    with pytest.raises(ConfigError, match=r"a.pub cannot be read"):
        policy_digest(found)


# --- the schema -----------------------------------------------------------------------------------

GOLDEN = Path(__file__).parent / "golden" / "auditor.yaml.schema.json"


def test_the_schema_is_the_agreed_one() -> None:
    # To renew it: `python tests/config/test_load.py`, then read the difference.
    assert json_schema(DETECTORS) == json.loads(GOLDEN.read_text())


def test_the_schema_accepts_what_load_accepts(tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json_schema(DETECTORS)
    jsonschema.Draft202012Validator.check_schema(schema)
    check = jsonschema.Draft202012Validator(schema)
    written = {
        "roles": {"label": "a", "feature": ["b"]},
        "limits": {"memory": "8 GiB"},
        "detectors": {"AUD-L001": {"folds": 3, "enabled": True}},
        "policy": {"effects": {"AUD-L001": "note"}, "required": ["AUD-L001"]},
    }
    check.validate(written)
    read(tmp_path, json.dumps(written))
    for bad in (
        {"gate": {"fail_onn": "reject"}},
        {"detectors": {"AUD-L001": {"fold": 3}}},
        {"detectors": {"AUD-X": {}}},
        {"policy": {"effects": {"AUD-X": "note"}}},
    ):
        assert not check.is_valid(bad), bad


def test_every_setting_is_explained() -> None:
    def walk(schema: dict[str, Any], path: str) -> list[str]:
        missing = []
        for name, each in schema.get("properties", {}).items():
            if "description" not in each and "$ref" not in each and "AUD-" not in name:
                missing.append(f"{path}{name}")
        return missing

    schema = json_schema(())
    assert walk(schema, "") == []
    for name, section in schema["$defs"].items():
        assert walk(section, f"{name}.") == []


# --- any text -------------------------------------------------------------------------------------

names = st.sampled_from(
    ["name", "roles", "policy", "gate", "limits", "alpha", "effects", "detectors", "AUD-L001", "x"]
)
trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=st.dictionaries(names, trees, max_size=4))
def test_any_settings_are_taken_or_refused(tmp_path: Path, tree: dict[str, Any]) -> None:
    try:
        found: object = read(tmp_path, json.dumps(tree))
    except ConfigError as refused:
        found = refused
    assert isinstance(found, Settings) or str(found).startswith(str(tmp_path / "auditor.yaml"))


contents = st.binary(max_size=80) | st.text(max_size=80).map(lambda t: t.encode("utf-8", "replace"))


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=contents)
def test_any_bytes_are_taken_or_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "auditor.yaml"
    path.write_bytes(content)
    try:
        found: object = load(path, {}, strict_permissions=False, detectors=DETECTORS)
    except ConfigError as refused:
        found = refused
    assert isinstance(found, Settings) or str(found).startswith(str(path))


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(json_schema(DETECTORS), indent=1, sort_keys=True) + "\n")
