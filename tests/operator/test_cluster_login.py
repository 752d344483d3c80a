"""Where the cluster is, who may come in, and one line for whatever cannot be read."""

from __future__ import annotations

import base64
import json
import sys
from typing import TYPE_CHECKING, Any

import kopf
import pytest

from tests.certificates import homemade
from thv.errors import ThvError
from thv.operator.attach.attach_target import ApiServer
from thv.operator.cluster_login import login
from thv.operator.kubernetes_api import Cluster

if TYPE_CHECKING:
    from pathlib import Path

STRICT = sys.version_info >= (3, 13)


def kubeconfig(server: str, **cluster: Any) -> dict[str, Any]:
    return {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": server, **cluster}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "kubeconfig.yaml"
    monkeypatch.setenv("KUBECONFIG", str(path))
    return path


async def ask(config: Path) -> Any:
    async with Cluster(login) as cluster:
        return await cluster.list(("v1", "Pod"), "default")


def test_an_authority_that_is_not_rfc_5280_to_the_letter_is_trusted_for_the_api_server(
    tmp_path: Path, config: Path
) -> None:
    import asyncio

    made = homemade(tmp_path)
    with made.serving() as port:
        data = base64.b64encode(made.authority.read_bytes()).decode()
        for trust in ({"certificate-authority": str(made.authority)}, {"certificate-authority-data": data}):
            config.write_text(json.dumps(kubeconfig(f"https://127.0.0.1:{port}", **trust)))
            with pytest.raises(ThvError, match="cannot be read: is there something between"):  # it answered: TLS held
                asyncio.run(ask(config))


def test_the_attached_server_trusts_the_same_authority(tmp_path: Path) -> None:
    import http.client

    made = homemade(tmp_path)
    (tmp_path / "ca.crt").write_bytes(made.authority.read_bytes())
    with made.serving() as port:
        context = ApiServer("https://unused", tmp_path).trust()
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=30)
        connection.request("GET", "/")
        assert connection.getresponse().status == 200
        connection.close()


@pytest.mark.skipif(not STRICT, reason="Python is strict by default since 3.13")
def test_without_our_connection_python_would_refuse_it(tmp_path: Path) -> None:
    import http.client
    import ssl

    made = homemade(tmp_path)
    context = kopf.ConnectionInfo(server="https://unused", ca_path=str(made.authority)).as_ssl_context()
    with made.serving() as port:
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=30)
        with pytest.raises(ssl.SSLCertVerificationError):
            connection.request("GET", "/")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("clusters: [", "not valid YAML"),
        ("just words", "not a kubeconfig"),
        ("- a list", "not a kubeconfig"),
        ("current-context: nowhere\n", "it refers to 'nowhere', which it does not define"),
        ("{}", "Current context is not set"),
        (json.dumps({**kubeconfig("x"), "users": []}), "it refers to 'u'"),
        (json.dumps(kubeconfig("https://x", **{"certificate-authority": "/not/there.pem"})), "/not/there.pem"),
        (json.dumps(kubeconfig("https://x", **{"certificate-authority-data": "bm9uZQ=="})), ""),
        (json.dumps({**kubeconfig("x"), "clusters": [{"name": "c", "cluster": {}}]}), "names no server"),
        (json.dumps(kubeconfig("127.0.0.1:6443")), "'127.0.0.1:6443' is no URL such as https://HOST:6443"),
        (json.dumps(kubeconfig("")), "is no URL"),
        (json.dumps(kubeconfig("https://a..b")), "is no URL"),
        (json.dumps(kubeconfig("https://x:99999")), "is no URL"),
        (json.dumps(kubeconfig("unix:///run/api.sock")), "is no URL"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_is_one_line_with_the_file(config: Path, text: str, complaint: str) -> None:
    config.write_text(text)
    with pytest.raises(ThvError) as caught:
        login()
    said = str(caught.value)
    assert said.startswith(f"{config}: ")
    assert complaint in said
    assert "\n" not in said


def test_a_kubeconfig_that_is_not_there_is_one_line_with_the_file(config: Path) -> None:
    with pytest.raises(ThvError, match=rf"^{config}: No such file or directory$"):
        login()


def test_without_any_of_them_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    with pytest.raises(ThvError, match="set KUBECONFIG"):
        login()


@pytest.mark.parametrize(
    ("host", "port", "server"),
    [
        ("10.96.0.1", "443", "https://10.96.0.1:443"),
        ("fd00::1", "6443", "https://[fd00::1]:6443"),
        ("10.96.0.1", "", "https://10.96.0.1:443"),
        ("", "", "https://kubernetes.default.svc"),
    ],
)
def test_in_a_pod_the_address_of_the_environment_comes_before_a_name_that_must_be_looked_up(
    host: str, port: str, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = kopf.ConnectionInfo(server="https://kubernetes.default.svc", token="t")
    monkeypatch.setattr(kopf, "login_with_service_account", lambda **_: account)
    found = login({"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port})
    assert (found.server, found.token) == (server, "t")
