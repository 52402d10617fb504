"""A parsing child that was broken into may say anything: the parent believes what fits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from auditor.readers import Ingest, Limits, launch
from auditor.readers.limits import MIB

Read = Callable[..., Ingest]
Refusal = Callable[[Ingest], tuple[object, str]]

#: A child that takes the job as the real one does, and then says what it likes.
LIAR = """
import json, os, sys
job = json.loads(sys.stdin.buffer.read())
out = os.fdopen(1, "wb", buffering=0)
{lie}
os._exit(0)
"""


@pytest.fixture
def lying(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """A batch of one good file, and a child that lies in the given words of Python."""

    def start(lie: str) -> Path:
        pq.write_table(pa.table({"a": [1, 2, 3]}), folder / "a.parquet")
        script = tmp_path / "liar.py"
        script.write_text(LIAR.format(lie=lie))
        monkeypatch.setattr(launch.sandbox, "__file__", str(script))
        return folder

    return start


def test_an_honest_batch_of_as_many_columns_as_may_be_is_read(folder: Path, read: Read) -> None:
    names = [f"{'column':_>200}{number}" for number in range(Limits().columns)]
    pq.write_table(pa.table({name: [1] for name in names}), folder / "a.parquet")
    result = read(folder)
    assert result.batch is not None, result.findings
    assert result.batch.schema.names == names


@pytest.mark.parametrize("broken", ["reject", "set_aside"])
def test_a_line_without_end_is_refused_and_not_kept(
    lying: Callable[[str], Path], read: Read, refusal: Refusal, tmp_path: Path, broken: str
) -> None:
    taken = tmp_path / "taken"
    lie = f"""
told = open({str(taken)!r}, "wb", buffering=0)
while True: told.write(b"." * out.write(b"x" * 65536))
"""
    result = read(lying(lie), broken=broken)
    code, message = refusal(result)
    assert code == "LIMIT"
    assert "longer than 16,777,216 bytes" in message
    assert 16 * MIB <= taken.stat().st_size < 17 * MIB, "what the parent took, with the pipe's own"
    assert result.files[0].sha256, "the file was received all the same"


ANSWER = {"schema": None, "rows": [], "formats": [], "notes": [], "refused": []}


@pytest.mark.parametrize(
    "said",
    [
        b"not JSON",
        b"[1]",
        b'"answer"',
        b"[" * 100_000,
        b'{"event": "open", "index": 7}',
        b'{"event": "file", "index": 1e999, "step": "rows"}',
        b'{"event": "failed", "errno": 99999999999999999999}',
        json.dumps({"event": "answer", **ANSWER, "schema": "no hex"}).encode(),
        json.dumps({"event": "answer", **ANSWER, "schema": "00"}).encode(),
        json.dumps({"event": "answer", **ANSWER, "rows": [[0, -1]]}).encode(),
        json.dumps({"event": "answer", **ANSWER, "rows": [[7, 3]]}).encode(),
        json.dumps({"event": "answer", **ANSWER, "rows": 5}).encode(),
        json.dumps({"event": "answer"}).encode(),
    ],
)
def test_nonsense_is_no_answer(lying: Callable[[str], Path], read: Read, said: bytes) -> None:
    with pytest.raises(RuntimeError, match="no reader"):
        read(lying(f"out.write({said!r} + b'\\n')"))


@pytest.mark.parametrize("said", [b"", b'{"event": "answ'])
def test_a_child_that_stops_in_the_middle_is_no_answer(
    lying: Callable[[str], Path], read: Read, said: bytes
) -> None:
    with pytest.raises(RuntimeError, match="the parsing process ended with 0"):
        read(lying(f"out.write({said!r})"))


def test_a_long_log_is_looked_at_from_its_end(lying: Callable[[str], Path], read: Read) -> None:
    lie = "os.write(2, b'x' * (1 << 26)); os.write(2, b'\\nthe last words\\n'); os._exit(1)"
    with pytest.raises(RuntimeError, match="ended with 1: the last words"):
        read(lying(lie))


def test_a_gate_with_a_lying_child_holds(
    lying: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from auditor.config import Settings
    from auditor.model import Mode, Verdict
    from auditor.pipeline import audit
    from auditor.readers import resolve
    from auditor.run import Job

    def verdict(lie: str) -> Any:
        data = lying(lie)
        monkeypatch.chdir(tmp_path)
        return audit(Job(settings=Settings(), mode=Mode.GATE, sources=resolve([str(data)]))).verdict

    assert verdict("out.write(b'x' * (1 << 25))") == Verdict.REJECT
    assert verdict("out.write(b'nonsense\\n')") == Verdict.HOLD
    assert not (tmp_path / ".auditor" / "published").exists()
