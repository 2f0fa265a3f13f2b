"""Who may ask, and where the service listens: keys, TLS, loopback; what is refused at the start."""

import contextlib
import socket
import ssl
import subprocess
from typing import TYPE_CHECKING

import pytest

from model.errors import WrongUsage
from runtime.access import given_key, hash_of, is_known, is_loopback, new_key, require_protection

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import CommandLine
    from tests.serving.conftest import Started

    Start = Callable[..., Started]

EVENT = {"id": "F1", "distance": 500.0, "hour": 7, "origin": "JFK", "late": True,
         "weather": {"temp": 12.5}}  # fmt: skip


def test_keys(serve_with: "Start") -> None:
    """Given two keys: both are taken, by either header; others and none are told 401.

    Probes and the page stay open, whose requests take the key. No key is in a log or an error.
    """
    (old, old_hash), (new, new_hash) = new_key(), new_key()
    service = serve_with(api_keys=f"{old_hash},{new_hash}")
    for headers in (
        {"authorization": f"Bearer {old}"},
        {"authorization": f"bearer  {new}"},
        {"x-api-key": new},
    ):
        assert service.client.post("/predict", json=EVENT, headers=headers).status_code == 200
    wrong = f"{old[:-1]}~"
    for headers in (
        {},
        {"authorization": f"Bearer {wrong}"},
        {"authorization": f"Basic {old}"},
        {"authorization": old},
        {"authorization": "Bearer"},
        {"x-api-key": old_hash},
        {"x-api-key": ""},
    ):
        for method, path in (("POST", "/predict"), ("GET", "/metrics"), ("GET", "/openapi.json"),
                             ("POST", "/invocations"), ("GET", "/models"), ("GET", "/nope"),
                             ("GET", "/v2"), ("GET", "/livez/")):  # fmt: skip
            answer = service.client.request(method, path, headers=headers)
            assert answer.status_code == 401, path
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert "X-API-Key" in answer.json()["error"]
            assert not any(key in answer.text for key in (old, new, wrong, old_hash))
    for path in ("/livez", "/readyz", "/v2/health/live", "/v2/health/ready", "/ping", "/docs"):
        assert service.client.get(path).status_code == 200, path
    assert service.client.post("/predict", json=EVENT).status_code == 401
    said = service.log.read_text()
    assert not any(key in said for key in (old, new, wrong))
    assert '"api_keys": 2' in said


def test_no_other_site_may_ask(serve_with: "Start") -> None:
    """CORS is off: no answer lets a page of another origin read it."""
    service = serve_with()
    for method in ("OPTIONS", "POST"):
        headers = {"origin": "https://other.example", "access-control-request-method": "POST"}
        answer = service.client.request(method, "/predict", json=EVENT, headers=headers)
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_it_listens_on_the_loopback_alone(serve_with: "Start") -> None:
    """Unless told otherwise."""
    assert serve_with().url.startswith("http://127.0.0.1:")


def test_beyond_this_machine_only_with_keys(streamscore: "CommandLine", task_store: "Path") -> None:
    """Given no key: it does not start, and says how to mend that; wrong usage."""
    flags = ("--model", "delay:1", "--store", str(task_store), "--port", "0")
    done = streamscore("serve", *flags, "--host", "0.0.0.0")  # noqa: S104 - it is refused
    assert done.returncode == 2
    assert "no API key is set" in done.stderr
    assert "serve-key" in done.stderr
    assert "--insecure" in done.stderr


@pytest.mark.parametrize("flags", [("--insecure",), ()])
def test_beyond_this_machine(flags: tuple[str, ...], serve_with: "Start") -> None:
    """With keys, or where told to: it listens everywhere."""
    settings = {} if flags else {"api_keys": new_key()[1]}
    everywhere = "0.0.0.0"  # noqa: S104 - of a test, for a moment
    service = serve_with("--host", everywhere, *flags, **settings)
    assert service.url.startswith(f"http://{everywhere}:")


def test_serve_key(streamscore: "CommandLine") -> None:
    """Prints a new key with the hash that the settings take."""
    shown = [streamscore("serve-key").stdout for _ in range(2)]
    key, kept = (line.split(": ")[1].strip() for line in shown[0].splitlines()[:2])
    assert hash_of(key.encode()) == kept
    assert "STREAMSCORE_SERVING__API_KEYS" in shown[0]
    assert shown[0] != shown[1]


def test_a_key_instead_of_its_hash_is_refused(
    streamscore: "CommandLine", task_store: "Path"
) -> None:
    """Settings take hashes alone; the error does not repeat what may be a key."""
    key, _ = new_key()
    env = {"STREAMSCORE_SERVING__API_KEYS": key}
    done = streamscore("serve", "--model", "delay:1", "--store", str(task_store), env=env)
    assert done.returncode == 2
    assert "api_keys" in done.stderr
    assert key not in done.stderr + done.stdout


@pytest.fixture
def certificate(tmp_path: "Path") -> tuple["Path", "Path"]:
    """A certificate for 127.0.0.1, signed by itself, and its key."""
    files = tmp_path / "certificate.pem", tmp_path / "key.pem"
    command = [
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
        *("-nodes", "-days", "2", "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"),
        *("-out", str(files[0]), "-keyout", str(files[1])),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    return files


def test_https(serve_with: "Start", certificate: tuple["Path", "Path"]) -> None:
    """Given a certificate: clients that trust it are answered; plain HTTP and old TLS are not."""
    trusted = ssl.create_default_context(cafile=str(certificate[0]))
    tls = ("--tls-certificate", str(certificate[0]), "--tls-key", str(certificate[1]))
    service = serve_with(*tls, verify=trusted)
    assert service.url.startswith("https://127.0.0.1:")
    assert service.client.post("/predict", json=EVENT).status_code == 200
    with socket.create_connection(("127.0.0.1", service.port), 10) as plain:
        plain.sendall(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert b"200" not in plain.recv(1000)
    assert service.client.get("/livez").status_code == 200


@pytest.mark.parametrize("wrong", ["missing", "text", "other key", "no key"])
def test_a_wrong_certificate(
    wrong: str,
    streamscore: "CommandLine",
    task_store: "Path",
    certificate: tuple["Path", "Path"],
    tmp_path: "Path",
) -> None:
    """It does not start, and says which file, and what it takes; wrong settings."""
    cert, key = certificate
    if wrong == "missing":
        cert = tmp_path / "nowhere.pem"
    elif wrong == "text":
        cert.write_text("not a certificate")
    elif wrong == "other key":
        other = ["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(key)]
        subprocess.run(other, check=True, capture_output=True, timeout=30)
    flags = ["--model", "delay:1", "--store", str(task_store), "--tls-certificate", str(cert)]
    done = streamscore("serve", *flags, *([] if wrong == "no key" else ["--tls-key", str(key)]))
    assert done.returncode == 2
    assert ("belong together" if wrong == "no key" else str(cert)) in done.stderr.replace("\n", "")
    assert "Traceback" not in done.stderr


def test_a_port_in_use(streamscore: "CommandLine", task_store: "Path") -> None:
    """It does not start, and says which port."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        flags = ("--model", "delay:1", "--store", str(task_store), "--port", port)
        done = streamscore("serve", *flags)
    assert done.returncode == 2
    assert f"127.0.0.1:{port}" in done.stderr
    assert "--port" in done.stderr


def test_a_host_that_is_none(streamscore: "CommandLine", task_store: "Path") -> None:
    """It does not start, and says which."""
    flags = ("--model", "delay:1", "--store", str(task_store), "--host", "256.0.0.1", "--insecure")
    done = streamscore("serve", *flags)
    assert done.returncode == 2
    assert "256.0.0.1" in done.stderr


def test_what_is_loopback() -> None:
    """Every address of this machine's own; nothing else, and no other name."""
    assert all(map(is_loopback, ("127.0.0.1", "127.8.8.8", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "example.org", "")))  # noqa: S104
    with pytest.raises(WrongUsage, match="can be reached"):
        require_protection("::", keys=(), insecure=False, what="serving")
    require_protection("::", keys=(hash_of(b"x"),), insecure=False, what="serving")


def test_a_key_among_headers() -> None:
    """Bearer goes before X-API-Key; another scheme has none."""
    assert given_key(b"Bearer a", b"b") == b"a"
    assert given_key(None, b"b") == b"b"
    assert given_key(b"Basic a", b"b") is None
    assert given_key(None, None) is None
    assert is_known(b"k", (hash_of(b"x"), hash_of(b"k")))
    assert not is_known(b"k", ())
