"""The page about the architecture: what it names is there, and what is there is named."""

from __future__ import annotations

import re
from collections.abc import Iterator

import attrs
from twisted.trial.unittest import SynchronousTestCase

from tests.docs.blocks import ROOT

PAGE = ROOT / "docs" / "architecture.md"
NAME = re.compile(r"`([\w.-][\w./-]*(?:\.py|/))`")
"""A file of Python, or a folder. What begins with a slash is a path of the HTTP API."""
ROOMS = {
    "A Kafka session": "lfsproxy/relay",
    "A Produce request": "lfsproxy/relay/produce",
    "A Fetch answer with blobs": "lfsproxy/relay/fetch",
}
"""The folder of a section whose files are named without it."""


@attrs.frozen
class Named:
    """A name on the page. ``folders`` are those in which it may be."""

    section: str
    name: str
    folders: tuple[str, ...]

    @property
    def exists(self) -> bool:
        return any((ROOT / folder / self.name).exists() for folder in self.folders)


def named_on(page: str) -> Iterator[Named]:
    """Every file and folder in backticks, outside drawings.

    A folder that a line names holds for the names behind it on that line.
    """
    section = ""
    for line in re.sub(r"```.*?```", "", page, flags=re.DOTALL).splitlines():
        if line.startswith("#"):
            section = line.lstrip("# ")
        folders = ["", "lfsproxy", *([ROOMS[section]] if section in ROOMS else [])]
        for name in NAME.findall(line):
            yield Named(section, name, tuple(folders))
            if name.endswith("/"):
                folders += [name, f"lfsproxy/{name}"]


class NamedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.named = list(named_on(PAGE.read_text(encoding="utf-8")))

    def names_of(self, section: str) -> set[str]:
        return {each.name for each in self.named if each.section == section}

    def test_each_file_and_folder_that_is_named_exists(self) -> None:
        self.assertGreater(len(self.named), 100)
        missing = [f"{each.name} in {each.section}" for each in self.named if not each.exists]
        self.assertEqual(missing, [])

    def test_a_name_that_does_not_exist_is_found(self) -> None:
        page = ("# A Kafka session", "`line.py`, `tests/docs/` and `shell.py`", "`shell.py`, `/v1/`, `no/`")
        found = [(each.name, each.exists) for each in named_on("\n".join(page))]
        self.assertEqual(
            found,
            [
                ("line.py", True),
                ("tests/docs/", True),
                ("shell.py", True),
                ("shell.py", False),
                ("no/", False),
            ],
        )

    def test_the_map_has_each_file_by_itself_or_by_its_folder(self) -> None:
        package, names = ROOT / "lfsproxy", self.names_of("File map")
        files = [path.relative_to(package) for path in package.rglob("*.py") if path.name != "__init__.py"]
        self.assertGreater(len(files), 100)
        missing = [
            str(file)
            for file in files
            if str(file) not in names and not {f"{folder}/" for folder in file.parents} & names
        ]
        self.assertEqual(missing, [])

    def test_the_table_of_a_session_has_each_file_of_its_room(self) -> None:
        files = {path.name for path in (ROOT / "lfsproxy" / "relay").glob("[a-z]*.py")}
        self.assertEqual(files - self.names_of("A Kafka session"), set())
