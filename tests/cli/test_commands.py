"""Every command, once, as a user gives it."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from jsonschema import Draft202012Validator

import auditor
from auditor.cli import app
from auditor.model import Verdict

SCHEMA = Path(auditor.__file__).parent / "schemas" / "report.schema.json"


def commands() -> list[tuple[str, ...]]:
    """Every command and every group, from the application itself."""
    from typer.main import get_command

    found: list[tuple[str, ...]] = [()]
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        found.append((name,))
        found += [(name, below) for below in getattr(command, "commands", {})]
    return found


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_help(bare: Any, command: tuple[str, ...]) -> None:
    done = bare.call(*command, "--help")
    assert (done.code, done.err) == (0, "")
    assert "Usage:" in done.out
    # Each argument and option says what it is for.
    blank = [
        line for line in done.out.splitlines() if re.fullmatch(r"\s+--[a-z-]+( [A-Z]+)?", line)
    ]
    assert blank == []


def test_help_names_the_exit_codes(bare: Any) -> None:
    done = bare.auditor("--help")
    assert done.code == 0
    for code in ("0 accepted", "10 quarantine", "11 reject", "12 hold", "130 interrupted"):
        assert code in " ".join(done.out.split())


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory, site_at: Any) -> Any:
    """A site with two runs: a quarantine and an accept, newest last."""
    site = site_at("gated", tmp_path_factory.mktemp("gated"))
    site.write("in/b.parquet", site.copies(site.rows(200, 6), 30))
    site.write("in/a.parquet", site.rows(200, 5))
    assert site.call("gate", "in/b.parquet").code == 10
    assert site.call("gate", "in/a.parquet").code == 0
    return site


def quarantined(site: Any) -> str:
    """The id of the run that set rows aside."""
    return str(site.visible("runs")[0].name)


def test_all_outputs_of_one_run(site: Any) -> None:
    site.write("in/b.parquet", site.copies(site.rows(200, 6), 30))
    forms = ("json", "html", "md", "sarif", "junit", "text", "github")
    outputs = [f"-o{form}=out.{form}" for form in forms]
    done = site.call("gate", "in/b.parquet", "-q", "--format", "json", *outputs)
    assert done.code == 10
    said = json.loads(done.out)
    Draft202012Validator(json.loads(SCHEMA.read_bytes())).validate(said)
    assert said["verdict"] == "QUARANTINE"
    written = {form: (site.root / f"out.{form}").read_text(encoding="utf-8") for form in forms}
    assert json.loads(written["json"]) == said == site.report()
    assert json.loads(written["sarif"])["version"] == "2.1.0"
    assert written["html"].lower().startswith("<!doctype html>")
    assert "QUARANTINE" in written["md"]
    assert ElementTree.fromstring(written["junit"]).tag == "testsuites"
    assert written["github"].startswith("::warning title=AUD-D001")
    assert written["text"].rstrip().splitlines()[-1].startswith("auditor: QUARANTINE 30/230")
    run = site.visible("runs")[0]
    names = {path.name for path in run.iterdir()}
    assert names == {
        *("report.json", "report.html", "report.md", "findings.sarif", "junit.xml"),
        *("findings.parquet", "suspects.parquet", "quarantine.csv", "attestation.dsse.json"),
        *(
            "history.json",
            "history_keys.parquet",
            *("history_sample.parquet", "history_aside.parquet"),
            "history_subjects.parquet",
        ),
        "proof.tlog",
    }
    suspects = pq.read_table(run / "suspects.parquet")
    assert suspects["quarantined"].to_pylist()[:30] == [True] * 30
    assert set(suspects["id"].to_pylist()[:30]) == {f"copy-{number}" for number in range(30)}


@pytest.mark.parametrize(
    ("form", "first"),
    [("rich", "QUARANTINE"), ("plain", "QUARANTINE"), ("github", "::warning title=AUD-D001")],
)
def test_what_stdout_carries(gated: Any, form: str, first: str) -> None:
    done = gated.call("audit", "in/b.parquet", "--profile", "quick", "--format", form)
    assert done.code == 0
    assert done.out.startswith(first)
    assert done.last.startswith("auditor: QUARANTINE 30/230 rows (13.04 %) rules=AUD-D001 run=")
    assert "auditor: deciding" in done.err
    assert gated.call("audit", "in/b.parquet", "--profile", "quick", "-q").err == ""


def test_report_in_every_format(gated: Any) -> None:
    run = quarantined(gated)
    kept = gated.root / ".auditor" / "runs" / run
    for form, name in [("html", "report.html"), ("md", "report.md"), ("sarif", "findings.sarif")]:
        done = gated.call("report", run, "--format", form)
        assert done.code == 0
        assert done.out == (kept / name).read_text(encoding="utf-8"), form
    done = gated.call("report", run[:20], "--format", "json", "-o", "again.json")
    assert (done.code, done.out) == (0, "")
    assert (gated.root / "again.json").read_bytes() == (kept / "report.json").read_bytes()
    newest = gated.visible("runs")[-1].name
    assert gated.call("report").last.endswith(f"run={newest}")
    done = gated.call("report", run, "--format", "pdf")
    assert done.code == 2
    assert "unknown report format 'pdf'" in done.err
    done = gated.call("report", run, "-o", "no/x.txt")
    assert done.code == 2
    assert "no/x.txt" in done.err


def test_explain(gated: Any) -> None:
    done = gated.call("explain", "AUD-D001")
    assert done.code == 0
    for words in ("Exact duplicates", "Misses", "Reference:", "policy.effects.AUD-D001"):
        assert words in done.out
    done = gated.call("explain", "NO_MANIFEST")
    assert "What to do: Ask the supplier" in done.out
    run = quarantined(gated)
    done = gated.call("explain", run, "200")
    assert done.code == 0
    assert "row 200: b.parquet, row 200 in it" in done.out
    assert "AUD-D001 Exact duplicates -> quarantine" in done.out
    assert "no rule has a finding about it" in gated.call("explain", run, "3").out
    done = gated.call("explain", run, "230")
    assert done.code == 2
    assert "the batch has rows 0 to 229" in done.err


def test_explain_knows_every_rule_that_is_listed(gated: Any) -> None:
    listed = gated.call("rules").out.splitlines()
    assert len(listed) >= 13
    for line in listed:
        assert gated.call("explain", line.split()[0]).code == 0


def test_history(gated: Any) -> None:
    done = gated.call("history", "-n", "4")
    assert len(done.out.splitlines()) == 4
    full = gated.call("history", "-n", "1000").out
    assert full.startswith(done.out)
    # The site is shared, and tests run in any order: others add entries that are no verdicts.
    verdicts = [line for line in full.splitlines() if line.split()[2] == "verdict"]
    assert gated.visible("runs")[-1].name in verdicts[0]
    assert "quarantine.created" in full
    assert full.rstrip().splitlines()[-1].split()[2] == "baseline.promoted"


def test_history_of_nothing(bare: Any) -> None:
    assert bare.call("history").out == "nothing yet\n"
    assert bare.call("quarantine", "list").out == "nothing is set aside\n"


def test_schemas(bare: Any) -> None:
    shipped = json.loads(SCHEMA.read_bytes())
    assert json.loads(bare.call("schema", "report").out) == shipped
    config = json.loads(bare.call("schema").out)
    Draft202012Validator.check_schema(config)
    assert {"gate", "policy", "outputs"} <= set(config["properties"])


def test_doctor(site: Any) -> None:
    done = site.call("doctor")
    assert "pyarrow" in done.out
    for line in done.out.splitlines():
        assert line.startswith(("ok  ", "BAD ", "     mend: "))
    assert done.code == (1 if "BAD " in done.out else 0)


def test_quarantine(gated: Any) -> None:
    run = quarantined(gated)
    digest = gated.visible("quarantine")[0].name
    assert gated.call("quarantine", "list").out == f"{run}        30 rows  {digest}  QUARANTINED\n"
    done = gated.call("quarantine", "show", run, "-n", "3")
    assert done.code == 0
    assert len(re.findall(r"^b\.parquet:2\d\d  0\.9", done.out, re.MULTILINE)) == 3
    assert f"27 more; `auditor quarantine export {run} -o FILE`" in done.out
    for name in ("rows.parquet", "rows.csv"):
        assert gated.call("quarantine", "export", run, "-o", name).out == f"{name}\n"
        assert (gated.root / name).stat().st_mode & 0o777 == 0o600, "rows that nobody released"
    assert pq.read_table(gated.root / "rows.parquet").num_rows == 30
    assert len((gated.root / "rows.csv").read_text().splitlines()) == 31
    done = gated.call("quarantine", "export", run, "-o", "rows.xlsx")
    assert done.code == 2
    assert "name a .parquet or .csv file" in done.err
    done = gated.call("quarantine", "show", "latest")
    assert done.code == 2
    assert "this run set no rows aside" in done.err


def test_keys_and_manifest(bare: Any) -> None:
    data = bare.write("in/a.csv", "id,who,label\nr1,ann,a\nr2,bob,b\n")
    done = bare.call("keys", "generate", "vendor")
    assert done.code == 0
    assert "vendor.key  keep it secret" in done.out
    assert (bare.root / "vendor.key").stat().st_mode & 0o777 == 0o600
    assert bare.call("keys", "generate", "vendor").code == 2
    source = ("--source", "v/a")
    done = bare.call("manifest", "create", "in", *source, "--batch-id", "1", "--contributor", "who")
    assert done.code == 0
    assert "not signed yet: auditor manifest sign in.manifest.dsse.json --key KEY" in done.out
    assert "2 contributors" in done.out
    verify = ("manifest", "verify", "in", "--key", "vendor.pub", *source, "--contributor", "who")
    done = bare.call(*verify)
    assert done.code == 11
    assert "UNSIGNED" in done.out
    signed = bare.call("manifest", "sign", "in.manifest.dsse.json", "--key", "vendor.key")
    assert "signed for v/a@1" in signed.out
    assert bare.call(*verify).out == "verified: 1 file(s), 2 rows\n"
    data.write_text("id,who,label\nr1,ann,a\nr2,eve,b\n")
    done = bare.call(*verify)
    assert done.code == 11
    assert "FILE_DIGEST" in done.out
    assert "a.csv" in done.out
    assert "auditor: not verified" in done.err


def test_the_manifest_of_the_folder_that_one_is_in(bare: Any) -> None:
    bare.write("in/a.csv", "id,who,label\nr1,ann,a\nr2,bob,b\n")
    inside = type(bare)(bare.root / "in")
    assert inside.call("keys", "generate", "../vendor").code == 0
    made = inside.call("manifest", "create", ".", "--source", "v/a", "--batch-id", "1")
    assert made.code == 0, made.err
    manifest = bare.root / "in.manifest.dsse.json"
    assert inside.call("manifest", "sign", manifest, "--key", "../vendor.key").code == 0
    done = inside.call("manifest", "verify", ".", "--key", "../vendor.pub", "--source", "v/a")
    assert (done.code, done.out) == (0, "verified: 1 file(s), 2 rows\n")
    done = inside.call("manifest", "create", "/", "--source", "v/a", "--batch-id", "1")
    assert done.code == 2
    assert "say where with --output" in done.err


def test_baseline(gated: Any) -> None:
    done = gated.call("baseline", "show", "baseline")
    assert done.code == 0
    assert "800 rows in 1 part(s)" in done.out
    assert "clean batches of the baseline" in done.out
    assert gated.call("baseline", "diff", "baseline", "baseline").out == "no difference\n"
    done = gated.call("baseline", "build", "trusted.parquet", "-o", "baseline", "--power", "skip")
    assert done.code == 2
    assert "baselines are immutable, name another folder" in done.err


def test_show_takes_the_baseline_of_the_settings(gated: Any) -> None:
    done = gated.call("baseline", "show")
    assert done.code == 0, done.err
    assert f"in {gated.root / 'baseline'}\n" in done.out
    assert "not calibrated, switched off: AUD-L001, AUD-F001" in done.out
    gated.configure(baseline="nowhere")
    done = gated.call("baseline", "show")
    gated.configure(baseline="baseline")  # the site is shared, and tests run in any order
    assert done.code == 2
    assert "nowhere/baseline.json: no such file" in done.err


def test_diff_names_drift_labels_and_rates(gated: Any) -> None:
    rows = gated.rows(400, 9)
    far = pa.array(rows["x"].to_numpy() + 50)
    rows = rows.set_column(1, "x", far).append_column("extra\x1b", pa.array([1] * 400))
    gated.write("other.parquet", rows)
    built = gated.call("baseline", "build", "other.parquet", "-o", "other", "-q", "--power", "skip")
    assert built.code == 0, built.err
    done = gated.call("baseline", "diff", "baseline", "other")
    table = [line.split() for line in done.out.splitlines()]
    assert next(line for line in table if line[:1] == ["x"])[1] == "same"
    for title in (["columns"], ["label", "shares"], ["on", "clean", "batches"]):
        assert title in table
    as_json = gated.call("baseline", "diff", "baseline", "other", "--json")
    found = json.loads(as_json.out)
    assert (found["old_rows"], found["new_rows"]) == (800, 400)
    columns = {c["column"]: c for c in found["columns"]}
    assert columns["x"]["psi"] > 1 > columns["y"]["psi"]
    assert columns["id"]["psi"] is None
    assert columns["extra\x1b"]["change"] == "added"
    assert {c["label"] for c in found["labels"]} == {"up", "down"}


@pytest.mark.slow
def test_a_baseline_from_a_reviewed_run(gated: Any) -> None:
    run = quarantined(gated)
    reviewed = ("--reviewed-by", "ann", "--reason", "looked at every row")
    done = gated.call(
        "baseline", "build", "--from-run", run, *reviewed, "-o", "second", "-q", "--power", "skip"
    )
    assert done.code == 0, done.err
    assert "200 rows" in done.out
    diff = gated.call("baseline", "diff", "baseline", "second")
    assert diff.code == 0
    assert "800" in diff.out
    assert (gated.root / "second" / "reason.txt").read_text() == "looked at every row\n"
    assert "baseline.promoted" in gated.events()


def test_init_writes_what_gate_reads(bare: Any) -> None:
    table = bare.rows(300, 1)
    bare.write("trusted.parquet", table)
    done = bare.call("init", "trusted.parquet", "--name", "stones", "-q")
    assert done.code == 0, done.err
    for words in ("label", "it is called id", "wrote auditor.yaml", "next: auditor baseline build"):
        assert words in done.out
    suite = json.loads((bare.root / "expectations" / "stones.json").read_bytes())
    assert suite["expectations"]
    snippet = (bare.root / "auditor-ci.txt").read_text()
    assert "auditor gate" in snippet
    done = bare.call("init", "trusted.parquet", "--name", "stones", "-q")
    assert done.code == 2
    assert "auditor.yaml exists already; --force overwrites it" in done.err
    assert bare.call("init", "trusted.parquet", "--name", "stones", "--force").code == 0
    # A baseline is named before it is built, so that it cannot be forgotten.
    done = bare.call("audit", "trusted.parquet", "--profile", "quick", "-q")
    assert done.code == 2
    assert "baseline: no such file" in done.err
    assert "auditor baseline build" in done.err


def test_init_says_that_no_label_was_found(bare: Any) -> None:
    table = bare.rows(300, 1).rename_columns({"label": "direction", "y": "width"})
    bare.write("trusted.parquet", table)
    done = bare.call("init", "trusted.parquet", "--name", "stones", "-q")
    assert "no label was found: rules about labels will not run" in done.out
    assert "# label: COLUMN" in (bare.root / "auditor.yaml").read_text()
    named = ("--label", "direction", "--force", "-q")
    done = bare.call("init", "trusted.parquet", "--name", "stones", *named)
    assert "no label" not in done.out
    assert "label: [direction]" in (bare.root / "auditor.yaml").read_text()


@pytest.mark.slow
def test_init_baseline_and_gate_with_everything_on(bare: Any) -> None:
    bare.write("trusted.parquet", bare.rows(600, 1))
    assert bare.call("init", "trusted.parquet", "--name", "stones", "-q").code == 0
    assert bare.call("baseline", "build", "trusted.parquet", "-q", "--power", "skip").code == 0
    path = bare.root / "auditor.yaml"
    assert "unsigned: note" in path.read_text()
    bare.write("in/a.parquet", bare.rows(200, 5))
    done = bare.auditor("gate", "in/a.parquet", "-q")
    assert done.code == 0, done.out
    skipped = {r["id"]: r["reason"] for r in bare.report()["rules"] if r["status"] != "ran"}
    unsent = {"AUD-D004", "AUD-C001", "AUD-C003", "AUD-C004"}  # nobody is named as a sender
    unlisted = {"AUD-I004", "AUD-Q003"}
    unsigned = {"AUD-P002", "AUD-P003", "AUD-P004"}
    first = {"AUD-D006", "AUD-T002"}  # no batch came before
    assert set(skipped) == {"AUD-L003"} | unsigned | unsent | unlisted | first, skipped


@pytest.mark.slow
def test_demo(bare: Any) -> None:
    done = bare.auditor("demo", "--directory", "demo", "-q", "--attack", "exact-copy")
    assert done.code == 0, done.out
    assert "exact-copy" in done.out
    assert done.last.startswith("auditor: QUARANTINE")
    report = re.search(r"^Report +(.*)$", done.out, re.MULTILINE)
    assert report
    assert Path(report[1]).is_file()


def test_the_grep_line_names_a_run_that_report_finds(gated: Any) -> None:
    done = gated.call("audit", "in/a.parquet", "--profile", "quick", "-q")
    run = done.last.rsplit("run=", 1)[1]
    assert json.loads(gated.call("report", run, "--format", "json").out)["run"] == run
    assert hashlib.sha256(b"").hexdigest() not in done.out
    assert Verdict.ACCEPT in done.last
