"""The client library as an application installs it, and that its two clients are one."""

import inspect
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

from strongroom_client import AsyncClient, Client
from strongroom_client.admin import Admin
from strongroom_client.aio_admin import AsyncAdmin

REPOSITORY = Path(__file__).parents[2]
PROGRAM = """
import importlib.util, sys
sys.path[:0] = sys.argv[1:3]
sys.modules |= dict.fromkeys(sys.argv[3:])
for absent in ("strongroom", "main_api", "processing_fn", "cli"):
    assert importlib.util.find_spec(absent) is None, absent
from strongroom_client import Client, ClientCredentials, ConfigurationError
for url in ("https://db.example", "grpc://db.example"):
    try:
        Client(url, ClientCredentials("me", "secret")).close()
        print(url)
    except ConfigurationError as error:
        print(error.detail)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The distribution, unpacked."""
    built = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(built)]
    subprocess.run(command, cwd=REPOSITORY / "client", check=True, capture_output=True, timeout=60)  # noqa: S603 - our own
    (archive,) = built.glob("strongroom_client-*.whl")
    with zipfile.ZipFile(archive) as content:
        content.extractall(built / "unpacked")
    return built / "unpacked"


def _run(wheel: Path, *missing: str) -> list[str]:
    """Run a program that has the wheel and third parties on its path, and nothing of this tree."""
    third_parties = sysconfig.get_path("purelib")
    done = subprocess.run(  # noqa: S603 - the program above
        [sys.executable, "-S", "-I", "-c", PROGRAM, str(wheel), third_parties, *missing],
        cwd=wheel,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout.splitlines()


def test_it_needs_nothing_of_a_deployment(wheel: Path) -> None:
    """An application that uses the client has to install the server."""
    assert _run(wheel) == ["https://db.example", "grpc://db.example"]


def test_rest_needs_no_grpc(wheel: Path) -> None:
    """Whoever uses REST alone has to install gRPC; whoever lacks it is not told."""
    told = _run(wheel, "grpc", "google.protobuf", "google")
    assert told[0] == "https://db.example"
    assert "strongroom-client[grpc]" in told[1]


def test_its_types_are_told(wheel: Path) -> None:
    """A type checker takes everything for Any."""
    assert (wheel / "strongroom_client" / "py.typed").exists()
    top = {path.name for path in wheel.iterdir() if not path.name.endswith(".dist-info")}
    assert top == {"strongroom_client", "strongroom_pb"}


def test_its_version_is_the_servers() -> None:
    """It cannot be told which client goes with which server."""
    versions = {
        tomllib.loads(path.read_text())["project"]["version"]
        for path in (REPOSITORY / "pyproject.toml", REPOSITORY / "client" / "pyproject.toml")
    }
    assert len(versions) == 1


def _surface(of: type) -> dict[str, list[tuple[str, object]]]:
    names = {"__aenter__": "__enter__", "__aexit__": "__exit__"}
    members = inspect.getmembers(of, inspect.isroutine)
    own = [(name, one) for name, one in members if name in of.__dict__ and name[:1] != "_"]
    return {
        names.get(name, name): [
            (parameter.name, parameter.default)
            for parameter in inspect.signature(one).parameters.values()
        ]
        for name, one in own
    }


def test_both_clients_are_asked_in_the_same_way() -> None:
    """A program that becomes asynchronous has to learn another interface."""
    assert _surface(Client) == _surface(AsyncClient)
    assert _surface(Admin) == _surface(AsyncAdmin)
    assert len(_surface(Admin)) == 47
    assert len(_surface(Client)) >= 18
