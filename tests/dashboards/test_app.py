"""The live app answers readers on this machine only, with what is new, and never starts torch."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from run_views import full_run, searching_run
from starlette.testclient import TestClient

from netwright.core.errors import ConfigurationError, RunError
from netwright.dashboards.app import create_app, serve
from netwright.runs.view import RunView


def client(
    open_view: Callable[[], RunView] = full_run, *, base: str = "http://127.0.0.1:8600", **more: str
) -> TestClient:
    return TestClient(create_app(open_view, refresh_s=0, **more), base_url=base)


def test_page_and_its_parts_are_served_with_a_strict_policy() -> None:
    reader = client()
    page = reader.get("/")
    assert "digits" in page.text
    assert "'unsafe-eval'" not in page.headers["content-security-policy"]
    for name in ("style.css", "app.js", "plotly.js"):
        answer = reader.get(f"/assets/{name}")
        assert answer.status_code == 200
        assert len(answer.text) > 1000
    assert reader.get("/assets/..%2Fapp.py").status_code == 404
    assert reader.get("/assets/app.py").status_code == 404


def test_run_is_sent_once_and_then_only_what_is_new() -> None:
    counts = [8]
    reader = client(lambda: searching_run(counts[0]))
    page = reader.get("/api/run").json()
    assert page["full"]
    nothing = reader.get("/api/run?since=8").json()
    assert (nothing["full"], nothing["sequence"], nothing["panels"]) == (False, 8, {})
    counts[0] = 9
    deadline = time.monotonic() + 120
    while (news := reader.get("/api/run?since=8").json())["sequence"] == 8:
        assert time.monotonic() < deadline
    assert not news["full"]
    assert [place for place, _ in news["panels"]["trials"]["set"]] == [8]


def test_trial_has_measurements_curve_decisions_drawing_and_command() -> None:
    number = full_run().winner["trial"]
    trial = client().get(f"/api/trials/{number}").json()
    assert {m["metric"] for m in trial["measurements"]} == {"accuracy", "latency", "parameters"}
    assert len(trial["curve"]) == 4
    assert trial["command"] == f"netwright export runs/digits --trial {number} --format onnx"
    drawing = client().get(f"/api/trials/{number}/drawing.svg")
    assert drawing.headers["content-type"].startswith("image/svg+xml")
    assert "<svg" in drawing.text


@pytest.mark.parametrize("state", ["stopped", "failed", "infeasible", "running"])
def test_a_trial_without_weights_has_no_command_to_export_it(state: str) -> None:
    trial = next(trial for trial in full_run().trials if trial.state == state)
    assert client().get(f"/api/trials/{trial.number}").json()["command"] == ""


def test_unknown_trial_is_not_found_with_a_sentence() -> None:
    answer = client().get("/api/trials/999")
    assert answer.status_code == 404
    assert "no trial is called '999'" in answer.json()["error"]


def test_run_that_cannot_be_read_is_told_to_the_page() -> None:
    def broken() -> RunView:
        raise RunError("runs/digits is damaged; restore it from a copy")

    answer = client(broken).get("/api/run")
    assert answer.status_code == 503
    assert "restore it from a copy" in answer.json()["error"]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8600", "127.0.0.1.evil.example", "10.0.0.7", ""])
def test_a_foreign_host_name_is_refused(host: str) -> None:
    assert client().get("/api/run", headers={"host": host}).status_code == 403


@pytest.mark.parametrize("host", ["localhost:8600", "127.0.0.1:1", "[::1]:8600"])
def test_this_machines_own_names_are_answered(host: str) -> None:
    assert client().get("/api/run", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_but_reading_is_possible(method: str) -> None:
    assert client().request(method, "/api/run").status_code == 405


def test_with_a_token_every_reader_needs_it() -> None:
    reader = client(token="s3cret", base="http://lab-server:8600")
    assert reader.get("/").status_code == 401
    assert reader.get("/?token=wrong").status_code == 401
    assert reader.get("/api/run", headers={"authorization": "Bearer s3cret"}).status_code == 200
    assert reader.get("/?token=s3cret").status_code == 200
    assert reader.get("/api/run").status_code == 200, "the cookie carries the token on"


def test_serving_other_machines_without_a_token_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="give a token"):
        serve(Path("runs/none"), host="0.0.0.0", port=0)


def test_serving_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError):
        serve(tmp_path, port=0)


def test_dashboards_start_without_torch() -> None:
    program = (
        "import sys; from run_views import full_run; from netwright.dashboards.app import create_app;"
        "from netwright.dashboards.report import report_page; create_app(full_run); report_page(full_run());"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parent, capture_output=True, text=True,
                          env={"PYTHONPATH": f"{Path(__file__).parents[2]}:{Path(__file__).parent}"})  # fmt: skip
    assert done.returncode == 0, done.stderr
