"""What `auditor serve` says where it cannot serve, and what is fixed in a deployment. No server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import auditor_flows
from auditor.config import Settings, load
from auditor.errors import ConfigError, TrustError
from auditor_flows.quiet import SETTINGS
from auditor_flows.site import CONFIG, may_train, open_site, training_of


def serve(made, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "auditor", "serve", "--config", str(made.config)],
        env=made.environment(**variables),
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_server_that_does_not_answer_is_named(make_site) -> None:
    done = serve(make_site(), PREFECT_API_URL="http://127.0.0.1:9/api")
    assert done.returncode == 2
    assert "no Prefect server answers at http://127.0.0.1:9/api" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_prefect_is_named_with_its_extra(make_site, tmp_path) -> None:
    made = make_site()
    code = (
        "import sys\n"
        "from importlib.machinery import PathFinder\n"
        "find = PathFinder.find_spec\n"
        "PathFinder.find_spec = lambda n, *a, **k: None if n == 'prefect' else find(n, *a, **k)\n"
        f"sys.argv = ['auditor', 'serve', '--config', {str(made.config)!r}]\n"
        "from auditor.cli import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=made.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "pip install 'auditor[flows]'" in done.stderr


def test_settings_without_an_inbox_are_refused(make_site) -> None:
    made = make_site()
    made.config.write_text("name: x\n", encoding="utf-8")
    done = serve(made)
    assert done.returncode == 2
    assert "flows.inbox" in done.stderr


def test_a_deployment_without_settings_refuses() -> None:
    with pytest.raises(ConfigError, match=CONFIG):
        open_site({})


def test_settings_that_others_may_write_are_refused(make_site) -> None:
    made = make_site()
    made.config.chmod(0o622)
    with pytest.raises(TrustError):
        made.open()


def test_results_never_lie_in_the_inbox(make_site) -> None:
    made = make_site()
    text = made.config.read_text(encoding="utf-8")
    made.config.write_text(
        text.replace("outputs:\n", "outputs:\n  publish_to: inbox/out\n"), encoding="utf-8"
    )
    with pytest.raises(ConfigError, match="lies in flows"):
        made.open()


@pytest.mark.parametrize(
    ("verdict", "strict", "lenient"),
    [
        ("ACCEPT", True, True),
        ("QUARANTINE", False, True),
        ("REJECT", False, False),
        ("HOLD", False, False),
        (None, False, False),
        ("accept", False, False),
    ],
)
def test_what_may_be_trained_on(verdict: str | None, strict: bool, lenient: bool) -> None:
    settings = load(None, {}, strict_permissions=False)
    gate = settings.gate.model_copy(update={"fail_on": "reject"})
    assert may_train(verdict, settings) is strict
    assert may_train(verdict, settings.model_copy(update={"gate": gate})) is lenient


def _training(named: str | None) -> Settings:
    settings = load(None, {}, strict_permissions=False)
    flows = settings.flows.model_copy(update={"training": named})
    return settings.model_copy(update={"flows": flows})


@pytest.mark.parametrize("named", [None, "no_such_module:fit", "json:no_such", "json:__doc__"])
def test_a_training_that_cannot_be_called_is_a_mistake_of_the_settings(named: str | None) -> None:
    with pytest.raises(ConfigError, match=r"flows\.training"):
        training_of(_training(named))


EXPIRE = """
import json
from auditor_flows.expire_quarantine import expire_quarantine

state = expire_quarantine.fn()
print(json.dumps([state.type.value, state.name, state.message]))
"""


def expire(made) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", EXPIRE],
        env=made.environment(PREFECT_HOME=str(made.folder / "prefect")),
        cwd=made.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.slow
def test_rows_that_nobody_decided_about_expire_by_the_settings(make_site) -> None:
    made = make_site(more="quarantine: {undecided_days: 0, retention_days: 3650}\n")
    batch = made.drop("poisoned", "poisoned.parquet")
    gate = [sys.executable, "-m", "auditor", "gate", str(batch), "--config", str(made.config), "-q"]
    done = subprocess.run(gate, env=made.environment(), cwd=made.folder, check=False)
    assert done.returncode == 10
    (rows,) = (made.folder / ".auditor/quarantine").glob("*/rows.parquet")
    state, name, message = expire(made)
    assert (state, name, message.endswith(": expired")) == ("COMPLETED", "Done", True)
    assert rows.exists()
    assert expire(made)[:2] == ["COMPLETED", "Nothing due"]
    text = made.config.read_text(encoding="utf-8").replace("3650", "0")
    made.config.write_text(text, encoding="utf-8")
    assert expire(made)[2].endswith(": purged")
    assert not rows.exists()
    (report,) = (made.folder / ".auditor/runs").glob("[0-9A-Z]*/report.json")
    report.write_text("{}", encoding="utf-8")
    assert expire(made)[:2] == ["FAILED", "Some failed"]
    assert [e.name for e in made.entries("expired") + made.entries("purged")] == [
        "expired",
        "purged",
    ]


def test_prefect_yaml_deploys_the_flows_that_there_are() -> None:
    root = Path(auditor_flows.__file__).parents[2]
    said = yaml.safe_load((root / "prefect.yaml").read_text(encoding="utf-8"))
    entries = [one["entrypoint"].rsplit(".", 1) for one in said["deployments"]]
    for module, flow in entries:
        source = root / "flows" / f"{module.replace('.', '/')}.py"
        assert f"\ndef {flow}(" in source.read_text(encoding="utf-8")
    for one in said["deployments"]:
        variables = one["work_pool"]["job_variables"]["env"]
        assert variables[CONFIG] == "{{ $AUDITOR_CONFIG }}"
        assert variables.items() >= {"DO_NOT_TRACK": SETTINGS["DO_NOT_TRACK"]}.items()
        assert "parameters" not in one
