"""What `pipelines/team` starts: the proxy for TLS as it is, the rest of it without Docker."""

from __future__ import annotations

import os
import re
import shutil
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from team.conftest import PATIENCE, Team, free_port, run, stopped, waiting

pytestmark = pytest.mark.team
FOLDER = Path(__file__).parents[2] / "pipelines" / "team"


@dataclass(frozen=True)
class Proxy:
    """Caddy before the team's server, with an authority of its own."""

    http: int
    https: int
    authority: Path

    @property
    def uri(self) -> str:
        return f"https://localhost:{self.https}"


@pytest.fixture
def proxy(team: Team, tmp_path: Path) -> Iterator[Proxy]:
    if shutil.which("caddy") is None:
        pytest.skip("caddy is not installed")
    there = Proxy(free_port(), free_port(), tmp_path / "caddy/pki/authorities/local/root.crt")
    # ports that anyone may open, and no change of the machine's certificates
    config = tmp_path / "Caddyfile"
    config.write_text(
        f"{{\n\tadmin off\n\thttp_port {there.http}\n\thttps_port {there.https}\n"
        f"\tskip_install_trust\n}}\nimport {FOLDER / 'Caddyfile'}\n",
        encoding="utf-8",
    )
    own = {"XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "HOME": str(tmp_path)}
    names = {"SERVER_NAME": "localhost", "TRACKING_SERVER": f"127.0.0.1:{team.port}"}
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            ["caddy", "run", "--adapter", "caddyfile", "--config", config],
            env={**os.environ, **own, **names},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        end = time.monotonic() + PATIENCE
        while not (there.authority.is_file() and asked(f"{there.uri}/health", there.authority)):
            assert server.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < end, (tmp_path / "log").read_text()
            time.sleep(0.3)
        yield there
    finally:
        stopped(server)


def asked(url: str, authority: Path) -> bool:
    """Whether a server answers whose certificate is the authority's."""
    trusting = ssl.create_default_context(cafile=str(authority))
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trusting)
    )
    try:
        opener.open(url, timeout=20).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def test_a_run_is_sent_through_the_proxy_with_tls(team, proxy, unsent, tmp_path):
    queue = waiting(unsent, tmp_path)
    member = {
        **team.environment,
        "MLFLOW_TRACKING_URI": proxy.uri,
        "NO_PROXY": "127.0.0.1,localhost",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    }

    code, text = run("runs", "sync", queue, folder=tmp_path, env=member)
    assert code == 14, text  # nobody vouches for the certificate
    assert "Traceback" not in text
    assert text.startswith(f"Tracking: The MLflow store {proxy.uri} cannot be used: ")
    assert "certificate" in text.lower()

    trusting = {**member, "MLFLOW_TRACKING_SERVER_CERT_PATH": str(proxy.authority)}
    code, text = run("runs", "sync", queue, folder=tmp_path, env=trusting)
    assert (code, text) == (0, "1 run sent.\n")


def test_plain_http_is_sent_on_to_https(proxy):
    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: object) -> None:
            return None

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), Stay)
    with pytest.raises(urllib.error.HTTPError) as answer:
        opener.open(f"http://localhost:{proxy.http}/health", timeout=30)
    assert answer.value.code == 308
    assert answer.value.headers["Location"].startswith("https://localhost")
    answer.value.close()


def test_the_compose_file_names_what_is_there():
    """Its files lie beside it, and env.example has each of its variables; Docker is not needed."""
    text = (FOLDER / "compose.yaml").read_text(encoding="utf-8")
    services = yaml.safe_load(text)["services"]

    assert set(services) == {"database", "tracking", "proxy"}
    sources = [v.split(":")[0] for s in services.values() for v in s.get("volumes", [])]
    beside = [source for source in sources if source.startswith("./")]
    assert beside
    assert all((FOLDER / source).is_file() for source in beside)
    asked_for = set(re.findall(r"\$\{(\w+)", text))
    lines = (FOLDER / "env.example").read_text(encoding="utf-8").splitlines()
    assert asked_for == {line.partition("=")[0] for line in lines if "=" in line}
    assert "ports" not in services["database"]  # only the proxy is seen from outside
    assert "ports" not in services["tracking"]


def test_the_compose_file_is_valid(tmp_path):
    program = shutil.which("docker-compose")
    if program is None:
        pytest.skip("docker-compose is not installed")
    folder = tmp_path / "team"
    shutil.copytree(FOLDER, folder)
    lines = (folder / "env.example").read_text(encoding="utf-8").splitlines()
    filled = [f"{line}a1" if line.endswith("=") else line for line in lines]
    (folder / ".env").write_text("\n".join(filled) + "\n", encoding="utf-8")
    command = [program, "-f", "compose.yaml", "config", "--quiet"]

    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    (folder / ".env").write_text("SERVER_NAME=a\n", encoding="utf-8")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "set it in .env" in done.stderr


def test_the_start_script_writes_the_passwords_to_a_file_of_its_own(tmp_path):
    """The script of the container, with a stand-in for `mlflow` that tells how it was called."""
    (tmp_path / "mlflow").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n', encoding="utf-8")
    (tmp_path / "mlflow").chmod(0o755)
    config = tmp_path / "basic_auth.ini"
    environment = {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "POSTGRES_PASSWORD": "abc123",
        "SERVER_NAME": "mlflow.example.org",
        "MLFLOW_AUTH_CONFIG_PATH": str(config),
    }

    told = subprocess.run(
        ["sh", FOLDER / "start.sh"], env=environment, capture_output=True, text=True, check=True
    ).stdout.splitlines()

    assert told[:3] == ["server", "--app-name", "basic-auth"]
    options = dict(zip(told[3::2], told[4::2], strict=True))
    assert options["--allowed-hosts"] == "mlflow.example.org"
    assert (
        options["--backend-store-uri"] == "postgresql+psycopg://mlflow:abc123@database:5432/mlflow"
    )
    assert config.stat().st_mode & 0o077 == 0
    text = config.read_text(encoding="utf-8")
    assert "database_uri = postgresql+psycopg://mlflow:abc123@database:5432/mlflow_auth\n" in text
    assert "default_permission = READ\n" in text
