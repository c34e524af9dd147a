import subprocess
from pathlib import Path

from triscope.version import __version__, code_version


def checked_in(folder: Path) -> None:
    """Make a checkout of a folder, with all its files in one commit."""
    who = ("-c", "user.name=test", "-c", "user.email=test@example.com")
    for command in (("init", "-q"), ("add", "."), (*who, "commit", "-qm", "all")):
        subprocess.run(["git", *command], cwd=folder, check=True)


def test_code_outside_git_is_told_by_its_files(tmp_path):
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "model.py").write_text("width = 1")
    before = code_version(package)
    assert before.keys() == {"version", "files"} and before["version"] == __version__
    (package / "model.py").write_text("width = 2")
    assert code_version(package)["files"] != before["files"]


def test_code_in_a_checkout_is_told_by_its_commit_and_whether_it_differs(tmp_path):
    (tmp_path / "__init__.py").write_text("")
    checked_in(tmp_path)
    clean = code_version(tmp_path)
    (tmp_path / "__init__.py").write_text("width = 1")
    assert code_version(tmp_path)["commit"] == f"{clean['commit']}-dirty"


def test_an_installed_package_does_not_pass_for_the_checkout_that_it_lies_in(tmp_path):
    (tmp_path / ".gitignore").write_text("site-packages")
    checked_in(tmp_path)
    package = tmp_path / "site-packages" / "package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    assert "commit" not in code_version(package)
