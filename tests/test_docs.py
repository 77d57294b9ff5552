"""The README and every page of the documentation: their snippets run, and print what they say they print."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "README.zh.md", *sorted((ROOT / "docs").glob("*.md"))]
SNIPPETS = [
    pytest.param(match[1], id=f"{page.name}:{page.read_text()[: match.start()].count(chr(10)) + 1}")
    for page in PAGES
    for match in re.finditer(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
]


@pytest.mark.slow
@pytest.mark.parametrize("code", SNIPPETS)
def test_snippets(code, tmp_path):
    """Each runs in a folder of its own, in a process of its own, with warnings as errors."""
    (tmp_path / "snippet.py").write_text(code)
    command = [sys.executable, "-W", "error", "snippet.py"]
    done = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    promised = re.findall(r"^ *#> (.*)$", code, re.MULTILINE)
    assert done.stdout.splitlines() == promised


def test_links_inside_the_repository_lead_somewhere():
    for page in [*PAGES, ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md"]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_two_readmes_show_the_same_commands():
    def commands(name):
        blocks = re.findall(r"```\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)
        return [line.split("#")[0].split()[0:2] for b in blocks for line in b.splitlines() if line]

    assert commands("README.md") == commands("README.zh.md")


def test_changelog_and_version_agree():
    import carna

    assert f'version = "{carna.__version__}"' in (ROOT / "pyproject.toml").read_text()
