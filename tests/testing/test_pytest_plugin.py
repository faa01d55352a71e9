"""pytest as a team runs it on its own tests, with the plugin that comes with the package."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

pytest_plugins = ["pytester"]
# Each is a whole run of pytest.
pytestmark = pytest.mark.slow

SHOP = """
import logging
import divan_obs_asgi as obs
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

logger = logging.getLogger("shop")

async def user(request):
    logger.warning("looking up %s", request.path_params["id"])
    return PlainTextResponse("hello")

app = Starlette(routes=[Route("/users/{id}", user)])
obs.init(app, obs.Observability.from_env({"OBS_TRACING_ENABLED": "false", "OBS_SERVICE_NAME": "shop"}))
"""
CALL = """
import anyio
from divan_obs_asgi.testing import converse, http_scope
from shop import app

def get(path):
    return anyio.run(converse, app, http_scope(path))
"""
# What `pytester` runs has the settings of this run's command line, and none of its file.
QUIET = ("-p", "no:cacheprovider", "-p", "no:schemathesis", "-p", "no:faker")
# The plugins that these tests need, by name: all that are installed together take seconds of every process.
PLUGINS = ("-p", "pytest_divan_obs", "-p", "anyio", "-p", "xdist", *QUIET)


@pytest.fixture
def team(pytester: pytest.Pytester) -> pytest.Pytester:
    """A team's checkout, with all plugins that are installed."""
    pytester.makepyfile(shop=SHOP, calls=CALL)
    return pytester


@pytest.fixture
def small_team(team: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """The same, with the plugins that the command line names."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return team


def test_the_fixture_is_there_without_any_setup(team: pytest.Pytester) -> None:
    """`pip install` is enough; the application was made when the module was imported."""
    team.makepyfile(
        """
        from calls import get

        def test_one(telemetry):
            get("/users/7")
            assert telemetry.requests.one(route="/users/{id}").status == 200
            assert telemetry.lines.one(level="WARNING")["msg"] == "looking up 7"

        def test_another(telemetry):
            assert telemetry.requests == []
        """
    )
    team.runpytest_subprocess(*QUIET).assert_outcomes(passed=2)


def test_the_workers_of_xdist(small_team: pytest.Pytester) -> None:
    """Each test sees what it has caused, in whichever process."""
    small_team.makepyfile(
        """
        import pytest
        from calls import get

        @pytest.mark.parametrize("times", range(6))
        def test_times(telemetry, times):
            for _ in range(times):
                get("/users/7")
            assert len(telemetry.requests) == times
            assert telemetry.metrics.value("divan_http_requests_total") == times
        """
    )
    small_team.runpytest_subprocess(*PLUGINS, "-n", "2").assert_outcomes(passed=6)


def test_tests_that_are_coroutines(small_team: pytest.Pytester) -> None:
    """By anyio's plugin, on both of its event loops."""
    small_team.makepyfile(
        """
        import pytest
        from divan_obs_asgi.testing import converse, http_scope
        from shop import app

        pytestmark = pytest.mark.anyio

        async def test_in_its_own_loop(telemetry):
            await converse(app, http_scope("/users/7"))
            assert telemetry.requests.values("route", "outcome") == [("/users/{id}", "ok")]
        """
    )
    small_team.runpytest_subprocess(*PLUGINS, "-n", "0").assert_outcomes(passed=2)


def test_a_failure_says_what_there_was(small_team: pytest.Pytester) -> None:
    """One item a line, and no object's address."""
    small_team.makepyfile(
        """
        from calls import get

        def test_equal(telemetry):
            get("/users/7")
            assert telemetry.requests == []

        def test_one(telemetry):
            get("/users/7")
            telemetry.requests.one(status=404)

        def test_find(telemetry):
            get("/users/7")
            assert telemetry.requests.find(status=404)

        def test_spans(telemetry):
            get("/users/7")
            telemetry.spans.one(route="/users/{id}")
        """
    )
    result = small_team.runpytest_subprocess(*PLUGINS)
    result.assert_outcomes(failed=4)
    result.stdout.fnmatch_lines(
        [
            "E         requests: 1 in all.",
            "E           <GET /users/{id} 200 ok>",
            "E       AssertionError: requests with status=404: expected one, found 0.",
            "E       There were 1 others:",
            "E         <GET /users/{id} 200 ok>",
            "E       assert <no requests with status=404; there were [[]<GET /users/{id} 200 ok>[]]>",
            "E       Tracing is off in every application: install divan-obs-asgi[[]tracing] and set *",
        ]
    )
    assert "testing/collected.py" not in result.stdout.str()


@pytest.mark.parametrize("processes", ["0", "2"])
def test_no_test_of_a_run_lets_a_secret_out(small_team: pytest.Pytester, processes: str) -> None:
    """Also one that does not ask for the fixture; and what pytest shows has no secret either."""
    secret = "zq7plain-of-ada"
    small_team.makefile(".txt", secrets=f"{secret}\n\nanother/secret\n")
    small_team.makepyfile(
        """
        from calls import get

        def test_leaks():
            assert get("/users/zq7plain-of-ada").status == 200

        def test_leaks_encoded(telemetry):
            get("/users/another%252Fsecret")
            assert telemetry.requests.one().status == 200

        def test_does_not():
            assert get("/users/7").status == 200
        """
    )
    result = small_team.runpytest_subprocess(*PLUGINS, "-n", processes, "--obs-secrets", "secrets.txt")
    result.assert_outcomes(failed=2, passed=1)
    told = result.stdout.str()
    assert re.search(r"line 1 of secrets\.txt \(zq\.\.\., 15 characters\) in log line \d of \d", told)
    assert "[removed: line 1 of secrets.txt" in told
    assert secret not in told


def test_a_run_looks_for_no_secrets_unless_it_is_told_to(small_team: pytest.Pytester) -> None:
    """The file that lies there is not enough."""
    small_team.makefile(".txt", secrets="zq7plain-of-ada\n")
    small_team.makepyfile(
        """
        from calls import get

        def test_leaks():
            assert get("/users/zq7plain-of-ada").status == 200
        """
    )
    small_team.runpytest_subprocess(*PLUGINS, "-n", "0").assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("content", "wrong"), [(None, "cannot be read: FileNotFoundError"), ("\n", "contains no secrets")]
)
def test_a_file_without_secrets_is_refused(small_team: pytest.Pytester, content: str | None, wrong: str) -> None:
    """A run that looks for nothing must not pass."""
    if content is not None:
        small_team.makefile(".txt", secrets=content)
    result = small_team.runpytest_subprocess(*PLUGINS, "--obs-secrets=secrets.txt")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert wrong in result.stderr.str()


def test_a_run_without_the_fixture_imports_nothing() -> None:
    """pytest loads the plugin at every start: what that costs, all pay who have the package."""
    code = (
        "import sys, pytest_divan_obs; "
        "print([name for name in sys.modules if name.partition('.')[0] in ('divan_obs_asgi', 'starlette', 'anyio')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_plugin_can_be_switched_off(team: pytest.Pytester) -> None:
    """By pytest's own means."""
    team.makepyfile("def test_one(telemetry):\n    pass\n")
    result = team.runpytest_subprocess(*QUIET, "-p", "no:pytest_divan_obs")
    result.assert_outcomes(errors=1)
