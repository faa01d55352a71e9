"""
Hooks of MkDocs for the pages of docs/, which are read on GitHub too.

They point relative links out of docs/ at the repository. They warn about each name of a module's `__all__` that is
missing on the module's page; a warning fails the build.
"""

from __future__ import annotations

import ast
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

# Of MkDocs, which counts the warnings below it.
log = logging.getLogger("mkdocs.plugins.docs_hooks")

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"\]\((\.\./[^)#\s]+)")
DIRECTIVE = re.compile(r"^::: ([\w.]+)$", re.MULTILINE)


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point relative links that leave docs/ at the repository; MkDocs warns about every other broken link."""
    folder = Path(page.file.abs_src_path or "").parent

    def absolute(link: re.Match[str]) -> str:
        target = (folder / link[1]).resolve()
        if target.is_relative_to(config.docs_dir) or not target.exists():
            return link[0]
        kind = "tree" if target.is_dir() else "blob"
        return f"]({config.repo_url}/{kind}/main/{target.relative_to(ROOT)}"

    return LINK.sub(absolute, markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> None:
    """Warn about public names without an entry."""
    modules = DIRECTIVE.findall(page.markdown or "")
    for module in modules:
        for name in exported(module):
            if f'id="{module}.{name}"' not in html:
                log.warning("%s: %s.%s has no entry", page.file.src_path, module, name)


def exported(module: str) -> list[str]:
    """Return the `__all__` of a module, which is read and not imported; submodules have entries of their own."""
    path = ROOT.joinpath(*module.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    for statement in ast.parse(file.read_text()).body:
        match statement:
            case ast.Assign(targets=[ast.Name(id="__all__")]):
                names: list[str] = ast.literal_eval(statement.value)
                return [name for name in names if not (path / name).is_dir()]
    return []
