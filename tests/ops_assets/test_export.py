"""`divan-obs assets`: the files after an export, after a change, and after another export."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from divan_obs_asgi.cli import main as cli
from divan_obs_asgi.ops_assets import differences as differences_module
from divan_obs_asgi.ops_assets import export as export_module
from divan_obs_asgi.ops_assets.files import exported
from divan_obs_asgi.ops_assets.folder import Folder
from divan_obs_asgi.ops_assets.parameters import Parameters

RULES = "prometheus/rules-phase8.yml"
K6 = "k6/chat_send_load.js"
MANIFEST = ".divan-obs.json"


def run(*arguments: str | Path) -> tuple[int, str, str]:
    done = CliRunner().invoke(cli.main, ["assets", *map(str, arguments)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


def output_of(*arguments: str | Path, status: int = 0) -> str:
    code, out, error = run(*arguments)
    assert code == status, (out, error)
    return out


def state(folder: Path) -> dict[str, tuple[int, str]]:
    """Return the modification time and the content of each file."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_text("latin-1")) for path in files}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of exported files."""
    output_of("export", tmp_path / "ops")
    return tmp_path / "ops"


@pytest.fixture
def next_version(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str | None]], None]:
    """Make the library generate other texts; None for a file that it no longer generates."""

    def release(changed: dict[str, str | None]) -> None:
        def texts(parameters: Parameters) -> dict[str, str]:
            return {path: text for path, text in {**exported(parameters), **changed}.items() if text is not None}

        for module in (export_module, differences_module):
            monkeypatch.setattr(module, "exported", texts)

    return release


def test_an_export_writes_every_file_and_a_manifest(folder: Path) -> None:
    """The manifest has the version, the parameters and a hash of each file."""
    texts = exported(Parameters())
    assert {path: text for path, (_, text) in state(folder).items() if path != MANIFEST} == texts
    manifest = json.loads((folder / MANIFEST).read_text())
    assert manifest["files"] == {path: hashlib.sha256(text.encode()).hexdigest() for path, text in texts.items()}
    assert manifest["parameters"]["objective"] == 99.9
    assert {RULES, K6} <= set(texts)


def test_files_can_be_read_by_others(tmp_path: Path) -> None:
    """Prometheus in a container can read them; the umask is respected."""
    before = os.umask(0o027)
    try:
        output_of("export", tmp_path / "ops")
    finally:
        os.umask(before)
    assert (tmp_path / "ops" / RULES).stat().st_mode & 0o777 == 0o640


def test_a_second_export_writes_nothing(folder: Path) -> None:
    """Files are not rewritten with the same content."""
    before = state(folder)
    assert output_of("export", folder) == f"{len(before) - 1} files are up to date.\n"
    assert state(folder) == before


def test_the_options_of_an_export_are_remembered(tmp_path: Path) -> None:
    """An update needs no options; a given option overrides the last one."""
    output_of(
        "export", tmp_path, "--namespace", "acme", "--job", "shop", "--objective", "99.5", "--latency-threshold", "0.3"
    )
    assert (tmp_path / RULES).read_text() == exported(Parameters("acme", "shop", 99.5, 99.0, 0.3))[RULES]
    before = state(tmp_path)
    output_of("export", tmp_path)
    assert state(tmp_path) == before
    assert f"updated  {RULES}" in output_of("export", tmp_path, "--job", "other")
    assert (tmp_path / RULES).read_text() == exported(Parameters("acme", "other", 99.5, 99.0, 0.3))[RULES]


def test_a_changed_file_is_kept_and_the_new_version_is_next_to_it(folder: Path) -> None:
    """This holds for every further export."""
    text = (folder / RULES).read_text()
    (folder / RULES).write_text(text + "# ours\n")
    line = f"kept     {RULES}: you changed it; the new version is {RULES}.new\n"
    assert line in output_of("export", folder)
    assert (folder / RULES).read_text() == text + "# ours\n"
    assert (folder / f"{RULES}.new").read_text() == text
    before = state(folder)
    assert line in output_of("export", folder)
    assert state(folder) == before
    (folder / RULES).write_text(text)
    assert f"removed  {RULES}.new: you have merged it" in output_of("export", folder)
    assert not (folder / f"{RULES}.new").exists()


def test_a_file_that_was_there_before_the_first_export_is_kept(tmp_path: Path) -> None:
    """It belongs to the team."""
    (tmp_path / "k6").mkdir()
    (tmp_path / K6).write_text("theirs")
    assert f"kept     {K6}: it was not exported; the new version is {K6}.new\n" in output_of("export", tmp_path)
    assert (tmp_path / K6).read_text() == "theirs"


def test_line_endings_do_not_count_as_a_change(folder: Path) -> None:
    """A checkout on Windows has other line endings."""
    text = (folder / RULES).read_bytes()
    (folder / RULES).write_bytes(text.replace(b"\n", b"\r\n"))
    assert output_of("diff", folder) == ""
    assert "kept" not in output_of("export", folder)


def test_a_deleted_file_stays_deleted_until_it_is_named(folder: Path) -> None:
    """A deleted load test does not return with each release."""
    (folder / K6).unlink()
    assert f"skipped  {K6}: you deleted it; use --only {K6} to restore it\n" in output_of("export", folder)
    assert f"# {K6}: you deleted it\n" in output_of("diff", folder, status=1)
    assert not (folder / K6).exists()
    assert f"wrote    {K6}\n" in output_of("export", folder, "--only", K6)
    assert (folder / K6).exists()


def test_some_files_only(tmp_path: Path) -> None:
    """Files that no pattern matches are not written; later exports add to the selection."""
    output_of("export", tmp_path, "--only", "k6/chat*", "--only", "k6/lib.js")
    assert set(state(tmp_path)) == {K6, "k6/lib.js", MANIFEST}
    assert output_of("diff", tmp_path) == ""
    output_of("export", tmp_path)
    assert set(state(tmp_path)) == {K6, "k6/lib.js", MANIFEST}
    output_of("export", tmp_path, "--only", "prometheus/rules*")
    assert set(state(tmp_path)) == {K6, "k6/lib.js", RULES, MANIFEST}
    output_of("export", tmp_path, "--only", "*")
    assert set(state(tmp_path)) == {*exported(Parameters()), MANIFEST}


def test_an_update_of_some_files_leaves_the_others(folder: Path) -> None:
    """A narrower selection does not remove the other files."""
    before = set(state(folder))
    output_of("export", folder, "--only", "k6/*")
    assert set(state(folder)) == before
    assert output_of("diff", folder) == ""


def test_a_file_that_is_no_longer_generated_is_removed_unless_changed(
    folder: Path, next_version: Callable[[dict[str, str | None]], None]
) -> None:
    """Both cases are reported."""
    (folder / K6).write_text("theirs")
    next_version({K6: None, "k6/lib.js": None})
    out = output_of("export", folder)
    assert f"kept     {K6}: it is no longer generated, but you changed it\n" in out
    assert "removed  k6/lib.js: it is no longer generated\n" in out
    assert (folder / K6).read_text() == "theirs"
    assert not (folder / "k6/lib.js").exists()
    assert output_of("export", folder).count("\n") == 1


def test_diff_shows_the_changes_of_the_team(folder: Path) -> None:
    """A unified diff with one removed and one added line."""
    path = folder / RULES
    path.write_text(path.read_text().replace("> 0.05", "> 0.07", 1))
    out = output_of("diff", folder, status=1)
    assert out.startswith(f"# {RULES}: you changed it\n--- exported/{RULES}\n+++ yours/{RULES}\n@@ ")
    changed = [line for line in out.splitlines()[3:] if line[0] in "+-"]
    assert [line[0] for line in changed] == ["-", "+"]
    assert changed[0][1:].replace("> 0.05", "> 0.07") == changed[1][1:]


def test_diff_shows_the_changes_of_a_new_version(
    folder: Path, next_version: Callable[[dict[str, str | None]], None]
) -> None:
    """It also shows files that both changed, new files and removed files."""
    texts = exported(Parameters())
    (folder / K6).write_text("theirs\n")
    next_version({K6: "ours\n", "k6/lib.js": texts["k6/lib.js"] + "// More.\n", "k6/more.js": "more", RULES: None})
    out = output_of("diff", folder, status=1)
    for part in (
        f"# {K6}: you changed it, and an export has a new version\n--- yours/{K6}\n",
        "-theirs\n+ours\n",
        "# k6/lib.js: an export would change it\n--- exported/k6/lib.js\n",
        "+// More.\n",
        "# k6/more.js: an export would add it\n--- /dev/null\n",
        "+more\n\\ No newline at end of file\n",
        f"# {RULES}: an export would remove it\n--- exported/{RULES}\n+++ /dev/null\n",
    ):
        assert part in out


def test_diff_of_a_binary_file(folder: Path) -> None:
    """Its bytes are printed unchanged."""
    (folder / K6).write_bytes(b"\xff\xfe\n")
    done = CliRunner().invoke(cli.main, ["assets", "diff", str(folder)])
    assert (done.exit_code, b"+\xff\xfe\n" in done.stdout_bytes) == (1, True)
    assert f"kept     {K6}" in output_of("export", folder)


def test_list_shows_every_file() -> None:
    """With its path, its size in bytes and a description."""
    lines = output_of("list").splitlines()
    texts = exported(Parameters())
    assert [(path, int(size)) for path, size in (line.split()[:2] for line in lines)] == [
        (path, len(text.encode())) for path, text in texts.items()
    ]
    assert all(line.endswith(".") for line in lines)
    assert len(output_of("list", "--only", "k6/*").splitlines()) == 5


def test_a_warning_for_an_alert_that_cannot_fire(tmp_path: Path) -> None:
    """It is printed on standard error, and the export continues."""
    code, _, error = run("export", tmp_path, "--objective", "90")
    assert code == 0
    assert error.startswith("Warning: ErrorBudgetBurn over 1h is left out")


def broken(**changed: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        manifest = json.loads((folder / MANIFEST).read_text())
        (folder / MANIFEST).write_text(json.dumps(manifest | changed))

    return change


def link(path: str, goal: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        place = folder / path
        if place.is_dir():
            for inner in place.iterdir():
                inner.unlink()
            place.rmdir()
        else:
            place.unlink(missing_ok=True)
        place.symlink_to(goal)

    return change


def replaced(path: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / path).unlink()
        (folder / path).mkdir()

    return change


MISTAKES: list[tuple[Callable[[Path], object], str]] = [
    (lambda folder: (folder / MANIFEST).write_text("{"), "is invalid (JSONDecodeError: "),
    (lambda folder: (folder / MANIFEST).write_text("[]"), "is invalid (TypeError: "),
    (lambda folder: (folder / MANIFEST).write_text("[" * 100_000), "is invalid (RecursionError: "),
    (lambda folder: (folder / MANIFEST).write_bytes(b"\xff"), "is invalid ("),
    (broken(version=2), "is invalid (TypeError: "),
    (broken(version="99.0.0"), "is from divan-obs-asgi 99.0.0, but this is "),
    (broken(version="99.0.0", parameters={"colour": "red"}), "is from divan-obs-asgi 99.0.0, but this is "),
    (broken(parameters={"colour": "red"}), "is invalid (KeyError: 'colour')"),
    (broken(parameters={"objective": "99"}), "is invalid (TypeError: objective is '99')"),
    (broken(parameters={"objective": True}), "is invalid (TypeError: objective is True)"),
    (broken(parameters={"objective": float("nan")}), "is invalid (objective is nan; expected"),
    (broken(parameters=None), "is invalid (AttributeError: "),
    (broken(files={"../x": "0" * 64}), "is invalid (ValueError: '../x' is not inside the folder)"),
    (broken(files={"/etc/x": "0" * 64}), "is invalid (ValueError: '/etc/x' is not inside the folder)"),
    (broken(files={"k6/lib.js": "0"}), "is invalid (ValueError: the hash of k6/lib.js is '0')"),
    (broken(files={"k6/lib.js": None}), "is invalid (TypeError: "),
    (broken(only=None), "is invalid (TypeError: "),
    (broken(only=[1]), "is invalid (TypeError: "),
    (link("k6", ".."), "leads out of"),
    (link(RULES, "/etc/passwd"), "leads out of"),
    (link(RULES, "rules-phase8.yml"), "symbolic link"),
    (replaced(RULES), "is a folder, not a file."),
    (link("k6", "prometheus/rules-phase8.yml"), "is not a folder."),
]


@pytest.mark.parametrize(("change", "message"), MISTAKES)
@pytest.mark.parametrize("command", ["export", "diff"])
def test_an_invalid_folder(folder: Path, change: Callable[[Path], object], message: str, command: str) -> None:
    """One line and status 2; nothing is written inside or outside the folder."""
    change(folder)
    before = state(folder.parent)
    options = ["--job", "other"] if command == "export" else []
    code, out, error = run(command, folder, *options)
    assert (code, out, error.count("\n")) == (2, "", 1), (out, error)
    assert error.startswith("Error: ")
    assert message in error
    assert state(folder.parent) == before


WRONG = [
    (["--objective", "100"], "--objective is 100; expected a percentage between 0 and 100, like 99.9."),
    (["--objective", "0"], "--objective is 0; expected a percentage"),
    (["--objective", "nan"], "--objective is nan; expected a percentage"),
    (["--latency-objective", "inf"], "--latency-objective is inf; expected a percentage"),
    (["--latency-threshold", "0.35"], "expected an edge of the latency histogram: 0.01, 0.025,"),
    (["--objective", "many"], "--objective is 'many'; expected a number."),
    (["--job-max-age", "1.5"], "--job-max-age is '1.5'; expected a whole number."),
    (["--trace-url", "x"], "--trace-url is 'x'; expected an address"),
    (["--runbook-url", "\udcff"], "--runbook-url is '\\udcff'; expected an address"),
    (["--namespace", "9"], "--namespace is '9'; expected"),
    (["--job", ""], "--job is ''; expected"),
    (["--job-max-age", "0"], "--job-max-age is 0; expected"),
    (["--only", "nothing*"], "--only 'nothing*' does not match any file"),
]


@pytest.mark.parametrize(("options", "message"), WRONG)
def test_an_invalid_option(tmp_path: Path, options: list[str], message: str) -> None:
    """One line and status 2; no folder is created."""
    for command in (["export", str(tmp_path / "ops")], ["list"]):
        code, out, error = run(*command, *options)
        assert (code, out, error.count("\n")) == (2, "", 1)
        assert message in error
    assert not (tmp_path / "ops").exists()


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    """The path, or a parent of it, is a file."""
    (tmp_path / "file").touch()
    assert run("export", tmp_path / "file") == (2, "", f"Error: {tmp_path / 'file'} is not a folder.\n")
    assert run("diff", tmp_path / "file") == (2, "", f"Error: {tmp_path / 'file'} is not a folder.\n")
    assert run("export", "") == (2, "", "Error: DIR is empty; expected a folder.\n")
    code, out, error = run("export", tmp_path / "file" / "x")
    assert (code, out, error.count("\n")) == (2, "", 1)


def test_a_folder_that_cannot_be_created() -> None:
    """The parent is not writable, not even by root."""
    code, out, error = run("export", "/proc/nothing/ops")
    assert (code, out, error.count("\n")) == (2, "", 1)


def test_diff_of_a_folder_without_an_export(tmp_path: Path) -> None:
    """The error message has the command for an export."""
    code, out, error = run("diff", tmp_path)
    assert (code, out) == (2, "")
    assert error == f"Error: {tmp_path} has no .divan-obs.json. Run `divan-obs assets export {tmp_path}` first.\n"


def test_nothing_is_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the last file cannot be written, none is, and no new folder remains."""
    open_ = open

    def full(file: Any, *arguments: Any, **more: Any) -> Any:
        if list(tmp_path.rglob(".rules*")):
            raise OSError(28, "No space left on device")
        return open_(file, *arguments, **more)

    monkeypatch.setattr("divan_obs_asgi.ops_assets.folder.open", full, raising=False)
    code, _, error = run("export", tmp_path / "a" / "ops")
    assert code == 2
    assert error.endswith(": No space left on device.\n")
    assert list(tmp_path.iterdir()) == []


def test_a_link_within_the_folder_is_followed(folder: Path) -> None:
    """It stays a link, and the file behind it is written."""
    (folder / "shared").mkdir()
    (folder / K6).replace(folder / "shared" / "load.js")
    (folder / K6).symlink_to("../shared/load.js")
    (folder / "shared" / "load.js").write_text("old")
    Folder(folder).change({K6: "text"})
    assert (folder / K6).is_symlink()
    assert (folder / "shared" / "load.js").read_text() == "text"
