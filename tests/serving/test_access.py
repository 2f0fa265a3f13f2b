"""Who may ask: nobody from elsewhere without a key, unless someone says so."""

import json
import re
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.errors import WrongUsage
from runtime.access import given_key, hash_of, is_known, new_key, require_protection
from serving.openapi_paths import OPEN_PATHS

if TYPE_CHECKING:
    from tests.conftest import CommandLine

EVENT = {"distance": 500.0, "hour": 7, "origin": "JFK", "late": True, "weather": {"temp": 12.5}}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1, signed by itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    files = folder / "certificate.pem", folder / "key.pem"
    subject = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
    made = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
    out = ("-nodes", "-days", "2", "-out", str(files[0]), "-keyout", str(files[1]))
    subprocess.run([*made, *out, *subject], check=True, capture_output=True, timeout=60)
    return files


class TestKeys:
    def test_a_key_made_on_the_command_line(self, streamscore: "CommandLine") -> None:
        """`serve-key` shows a key and the hash that lets it in, another one each time."""
        keys = set()
        for _ in range(2):
            done = streamscore("serve-key")
            key, kept = re.findall(r"^(?:key|hash): +(\S+)$", done.stdout, re.MULTILINE)
            assert is_known(key.encode(), [kept])
            keys.add(key)
        assert len(keys) == 2

    def test_only_those_with_a_key_are_answered(self, start_serving: Callable[..., Any]) -> None:
        """Given two keys, both let in, by either header; anything else is told what to send."""
        (first, one), (second, two) = new_key(), new_key()
        stranger, _ = new_key()
        with start_serving(
            *("--model", "delay:1", "--host", "0.0.0.0"),  # noqa: S104 - that is what is tested
            STREAMSCORE_SERVING__API_KEYS=f"{one},{two}",
        ) as started:
            for headers in (
                {"authorization": f"Bearer {first}"},
                {"authorization": f"bearer {second}"},
                {"x-api-key": second},
            ):
                answer = started.client.post("/predict", json=EVENT, headers=headers)
                assert answer.status_code == 200
            refused: list[dict[str, str]] = [
                *({}, {"authorization": f"Bearer {stranger}"}, {"authorization": f"Basic {first}"}),
                *({"x-api-key": one}, {"x-api-key": first + "x"}, {"authorization": first}),
            ]
            for headers in refused:
                answer = started.client.post("/predict", json=EVENT, headers=headers)
                assert (answer.status_code, answer.headers["content-type"]) == (
                    401,
                    "application/problem+json",
                )
                assert answer.headers["www-authenticate"].startswith("Bearer")
                assert not {first, second, stranger} & set(answer.text.split('"'))
            for path in ("/metrics", "/models", "/openapi.json", "/v2", "/nowhere"):
                assert started.client.get(path).status_code == 401
            for path in OPEN_PATHS - {"/"}:
                assert started.client.get(path).status_code == 200
            process = started.process
        said = "".join(process.communicate(timeout=30))
        assert all(key not in said for key in (first, second, stranger))

    def test_settings_take_hashes_alone(self, streamscore: "CommandLine") -> None:
        """Given a key where its hash belongs, then it is refused, and not shown."""
        key, _ = new_key()
        env = {"STREAMSCORE_SERVING__API_KEYS": key}
        done = streamscore("serve", "--model", "delay", env=env)
        assert done.returncode == 2
        assert "serving.api_keys" in done.stderr
        assert key not in done.stderr + done.stdout

    @given(st.binary(max_size=60), st.lists(st.binary(max_size=60), max_size=4))
    def test_what_is_known(self, key: bytes, others: list[bytes]) -> None:
        """A key is known by its own hash alone."""
        assert is_known(key, [hash_of(other) for other in others]) == (key in others)
        assert given_key(b"Bearer " + key.strip(), None) == key.strip()
        assert given_key(None, key) == key
        assert given_key(b"Basic " + key, key) is None


class TestWhereItListens:
    @pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
    def test_this_machine_alone_needs_no_keys(self, host: str) -> None:
        """Nobody from elsewhere comes here."""
        require_protection(host, keys=(), insecure=False, what="serving")

    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", ""])  # noqa: S104 - as above
    def test_anywhere_else_does(self, host: str) -> None:
        """Keys, or somebody who says that strangers are kept out otherwise."""
        with pytest.raises(WrongUsage, match="no API key is set"):
            require_protection(host, keys=(), insecure=False, what="serving")
        require_protection(host, keys=("a",), insecure=False, what="serving")
        require_protection(host, keys=(), insecure=True, what="serving")

    def test_it_is_said_before_anything_is_loaded(self, streamscore: "CommandLine") -> None:
        """Given a host that others reach and no key: wrong usage, with both ways out."""
        done = streamscore("serve", "--model", "nothing", "--host", "0.0.0.0")  # noqa: S104 - as above
        assert done.returncode == 2
        assert "serve-key" in done.stderr
        assert "--insecure" in done.stderr

    def test_a_port_that_is_taken(
        self, serving: Callable[[str], Any], streamscore: "CommandLine"
    ) -> None:
        """Given another service on the port, then that is said, without a traceback."""
        port = str(httpx.URL(serving("delay:1").url).port)
        done = streamscore("serve", "--model", "delay", "--port", port)
        assert done.returncode == 2
        assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in done.stderr
        assert "Traceback" not in done.stderr


class TestCertificates:
    def test_https(self, start_serving: Callable[..., Any], certificate: tuple[Path, Path]) -> None:
        """Given a certificate and its key, then the service speaks HTTPS alone."""
        trusted = ssl.create_default_context(cafile=certificate[0])
        flags = ("--tls-certificate", str(certificate[0]), "--tls-key", str(certificate[1]))
        with start_serving("--model", "delay:1", *flags, verify=trusted) as started:
            answer = started.client.post("/predict", json=EVENT)
            plain = started.url.replace("https", "http")
            with pytest.raises(httpx.TransportError):
                httpx.get(f"{plain}/livez", timeout=10, trust_env=False)
        assert answer.status_code == 200
        assert json.loads(answer.content)["model"] == "delay"

    @pytest.mark.parametrize("wrong", ["missing", "empty", "swapped", "alone"])
    def test_files_that_cannot_be_used(
        self,
        wrong: str,
        streamscore: "CommandLine",
        certificate: tuple[Path, Path],
        tmp_path: Path,
    ) -> None:
        """Given files that are no certificate and key, then they are named, before it listens."""
        empty = tmp_path / "empty.pem"
        empty.touch()
        first, second = certificate
        files = {
            "missing": (tmp_path / "none.pem", second),
            "empty": (empty, second),
            "swapped": (second, first),
            "alone": (first, None),
        }[wrong]
        flags = ["--tls-certificate", str(files[0])]
        flags += ["--tls-key", str(files[1])] if files[1] else []
        done = streamscore("serve", "--model", "delay", "--port", "0", *flags)
        assert done.returncode == 2
        assert "tls" in done.stderr or str(files[0]) in done.stderr
        assert "Traceback" not in done.stderr
