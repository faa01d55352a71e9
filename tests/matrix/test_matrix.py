"""Every framework under every server, as real commands, but for what the table of deviations names."""

from __future__ import annotations

import re

import pytest

from tests.matrix.checks import CHECKS
from tests.matrix.deviations import BEGIN, DEVIATIONS, DOCUMENT, END, as_markdown, of_cell
from tests.matrix.servers import APPS, SERVERS, interrupted
from tests.matrix.visit import visit


@pytest.mark.slow
@pytest.mark.parametrize("app", APPS)
@pytest.mark.parametrize("server", SERVERS)
def test_a_cell_keeps_its_promises(server: str, app: str) -> None:
    """An application is observed in the same way whichever server serves it, but for what the table names."""
    deviations = of_cell(server, app)
    seen = visit(SERVERS[server], app)
    names = list(CHECKS)
    if not seen.served:
        names = ["serves"]
    elif any(one.only for one in deviations.values()):
        names = [name for name in names if name in deviations or name == "no secret"]
    if not interrupted(server, app):
        names = [name for name in names if name != "Ctrl-C"]
    wrong = []
    for name in names:
        declared = deviations.get(name)
        try:
            CHECKS[name](seen)
        except AssertionError as exc:
            told = str(exc).partition("\nassert ")[0]
            if declared is None:
                wrong.append(f"{name}: {told}")
            elif not re.search(declared.fails, told):
                wrong.append(f"{name} fails in another way than declared ({declared.fails!r}): {told}")
        else:
            if declared is not None:
                wrong.append(f"{name} now holds, take it out of the table in tests/matrix/deviations.py")
    assert not wrong, f"{app} under {server}:\n" + "\n".join(wrong)


def test_the_deviations_name_cells_and_checks_that_exist() -> None:
    """A renamed server, application or check does not leave a row behind that nobody looks at."""
    for one in DEVIATIONS:
        assert set(one.servers) <= set(SERVERS), one
        assert set(one.apps) <= set(APPS), one
        assert one.check in CHECKS, one


def test_ctrl_c_is_tried_with_each_server_and_each_application() -> None:
    """With two at least of the other kind, and where a row of the table says what does not hold at Ctrl-C."""
    for server in SERVERS:
        assert sum(interrupted(server, app) for app in APPS) >= 2, server
    for app in APPS:
        assert sum(interrupted(server, app) for server in SERVERS) >= 2, app
    for one in DEVIATIONS:
        if one.check == "Ctrl-C":
            assert all(interrupted(server, app) for server in one.servers for app in one.apps), one


def test_the_docs_show_the_table_of_deviations() -> None:
    """Who reads docs/servers.md knows what the matrix knows; `python -m tests.matrix` writes it."""
    assert BEGIN + as_markdown() + END in DOCUMENT.read_text()
