"""The README and every page of the documentation: their snippets run, and say what they print."""

from pathlib import Path

import pytest
from pytest_examples import CodeExample, EvalExample, find_examples

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("example", list(find_examples(*PAGES)), ids=str)
def test_snippets(example: CodeExample, eval_example: EvalExample, tmp_path, monkeypatch):
    if example.prefix not in ("python", "py"):
        pytest.skip("no Python")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "notes.txt").write_text("nothing medical")
    monkeypatch.chdir(tmp_path)
    eval_example.set_config(line_length=110)
    eval_example.run_print_check(example)
