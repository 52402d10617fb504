"""Mistakes in `auditor.yaml`, in suites and on the command line: named, before anything runs."""

from __future__ import annotations

import json
from typing import Any

import pytest

CSV = "id,x,label\nr1,1.5,a\nr2,2.5,b\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "gate:\n  fail_onn: reject\n",
            "auditor.yaml:2:3: gate.fail_onn: not a setting; did you mean fail_on?",
        ),
        ("policy:\n  alpha: high\n", "auditor.yaml:2:10: policy.alpha:"),
        ("baseline: nowhere\n", "auditor.yaml:1:11: baseline: no such file or folder:"),
        ("expectations: none.json\n", "auditor.yaml:1:15: expectations: no such file or folder:"),
        ("detectors:\n  AUD-D0001: {}\n", "did you mean AUD-D001?"),
        ("policy:\n  effects:\n    AUD-I001: note\n", "it cannot be excused"),
        ("roles:\n  lable: [label]\n", "auditor.yaml:2:3: roles.lable:"),
        ("gate: [\n", "auditor.yaml:2:1:"),
        ("name: a\nname: b\n", "auditor.yaml:2:1:"),
        ("outputs:\n  publish_to: .auditor/runs/out\n", "outputs.publish_to"),
        ("signing:\n  key: no.key\n", "auditor.yaml:2:8: signing.key: no such file or folder:"),
        ("manifest:\n  keys:\n    v/a: [./no.pub]\n", "no such file or folder:"),
    ],
)
def test_a_mistake_in_the_settings(bare: Any, text: str, said: str) -> None:
    bare.write("a.csv", CSV)
    bare.write("auditor.yaml", text).chmod(0o600)
    done = bare.call("gate", "a.csv")
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert not (bare.root / ".auditor" / "ledger.db").exists()


def test_the_source_line_is_shown_by_the_command(bare: Any) -> None:
    bare.write("a.csv", CSV)
    bare.write("auditor.yaml", "gate:\n  fail_onn: reject\n").chmod(0o600)
    done = bare.auditor("gate", "a.csv")
    assert done.code == 2
    assert done.err.splitlines()[0] == (
        "auditor: auditor.yaml:2:3: gate.fail_onn: not a setting; did you mean fail_on?"
    )
    assert "  fail_onn: reject" in done.err


def test_settings_that_others_may_write_are_refused_by_the_gate(bare: Any) -> None:
    bare.write("a.csv", CSV)
    bare.write("auditor.yaml", "name: a\n").chmod(0o666)
    done = bare.call("gate", "a.csv")
    assert done.code == 2
    assert "chmod go-w auditor.yaml" in done.err
    assert bare.call("audit", "a.csv", "--profile", "quick").code == 0


def test_the_environment_is_named_where_it_is_wrong(
    bare: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare.write("a.csv", CSV)
    monkeypatch.setenv("AUDITOR__GATE__FAIL_ON", "never")
    done = bare.call("audit", "a.csv")
    assert done.code == 2
    assert "AUDITOR__GATE__FAIL_ON" in done.err


def suite(*expectations: dict[str, Any]) -> str:
    return json.dumps({"name": "stones", "expectations": list(expectations), "meta": {}})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (suite({"type": "expect_colum_to_exist", "kwargs": {"column": "x"}}), "expect_colum_to"),
        (suite(), "an empty suite would accept everything"),
        ("[]", "suite.json"),
        ("{", "suite.json"),
    ],
)
def test_a_suite_that_says_nothing_or_nonsense(bare: Any, text: str, said: str) -> None:
    bare.write("a.csv", CSV)
    bare.write("suite.json", text)
    bare.configure(expectations="suite.json", manifest={"unsigned": "note"})
    done = bare.call("gate", "a.csv")
    assert done.code in (2, 12)
    assert said in done.err + done.out
    assert "suite.json" in done.err
    assert bare.visible("published") == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("audit", "a.csv", "-o", "html"), "FORMAT=PATH"),
        (("audit", "a.csv", "-o", "pdf=x.pdf"), "no format 'pdf'; use one of text, json"),
        (("audit", "a.csv", "-o", "html=no/x.html"), "there is no folder no"),
        (("audit", "a.csv", "-o", "html=."), "is a folder"),
        (("audit", "a.csv", "--role", "label"), "ROLE=COLUMN"),
        (("audit", "a.csv", "--role", "lable=label"), "did you mean label?"),
        (("audit", "a.csv", "--manifest", "no.json"), "no.json: no such manifest"),
        (("audit", "a.csv", "--config", "no.yaml"), "no.yaml: no such file"),
        (("audit", "a.csv", "--baseline", "no"), "auditor baseline build DATA"),
        (("gate", "a.csv"), "no auditor.yaml here; `auditor init DATA` writes one"),
        (("baseline", "build", "a.csv"), "2 trusted rows are too few; give at least 100"),
        (("baseline", "build"), "give trusted files, or --from-run RUN"),
        (("baseline", "build", "--from-run", "latest"), "--reviewed-by NAME and --reason TEXT"),
        (("baseline", "show", "no"), "no/baseline.json: no such file"),
        (("report",), "no run yet; `auditor audit DATA` makes one"),
        (("explain", "AUD-D0001"), "did you mean AUD-D001?"),
        (("quarantine", "show"), "no run yet"),
        (("keys", "generate", "no/k"), "no/k"),
        (("manifest", "sign", "a.csv", "--key", "no.key"), "a.csv: not a manifest"),
        (("manifest", "verify", "a.csv", "--key", "no.pub", "--source", "a/b"), "no.pub: no such"),
        (("demo", "--attack", "no"), "no attack 'no'; there are"),
        (("demo", "--directory", "."), "is not empty"),
        (("serve", "--interval", "5", "--cron", "* * * * *"), "not both"),
    ],
)
def test_a_mistake_on_the_command_line(bare: Any, arguments: tuple[str, ...], said: str) -> None:
    bare.write("a.csv", CSV)
    done = bare.call(*arguments)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert done.err.startswith("auditor: ")
    assert bare.visible("runs") == []


@pytest.mark.parametrize("arguments", [("frobnicate",), ("audit", "--frob"), ("audit",)])
def test_an_unknown_command_or_option(bare: Any, arguments: tuple[str, ...]) -> None:
    done = bare.call(*arguments)
    assert done.code == 2
    assert "-h" in done.err


def test_an_output_that_cannot_be_written_takes_nothing_back(site: Any) -> None:
    site.write("in/a.parquet", site.rows(200, 5))
    done = site.auditor("gate", "in/a.parquet", "-q", "-o", "md=/dev/full")
    assert done.code == 12
    assert done.last.startswith("auditor: ACCEPT"), "the verdict is shown first"
    assert "-o md=/dev/full: cannot be written (No space left on device)" in done.err
    assert "auditor report" in done.err
    assert len(site.visible("published")) == 1
    assert "verdict" in site.events()


def test_a_role_that_no_rule_reads_is_carried_with_a_word(bare: Any) -> None:
    bare.write("a.csv", CSV)
    done = bare.call("audit", "a.csv", "--profile", "quick", "-q", "--role", "price_tag=x")
    assert done.code == 0
    assert "--role price_tag=x: no rule reads the role 'price_tag'" in done.err
    assert ("price_tag", ["x"]) in [(r["role"], r["columns"]) for r in bare.report()["roles"]]
    known = bare.call("audit", "a.csv", "--profile", "quick", "-q", "--role", "feature=x")
    assert (known.code, known.err) == (0, "")


@pytest.mark.parametrize("role", ["label", "bogus"])
def test_a_role_of_a_column_that_is_not_there_is_refused(bare: Any, role: str) -> None:
    bare.write("a.csv", CSV)
    done = bare.call("audit", "a.csv", "--profile", "quick", "-q", "--role", f"{role}=lebal")
    assert done.code == 2
    assert f"roles.{role}: no column 'lebal'; did you mean 'label'?" in done.err
