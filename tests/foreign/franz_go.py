"""franz-go's own tests of its package kgo, as the Go module has them (github.com/twmb/franz-go).

Of all tests those are run that speak to a broker: the functions that use one of the helpers of
``pkg/kgo/helpers_test.go`` which do. That file also has the variables (KGO_*).
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Final

import attrs

from tests.foreign.programs import output_of, run
from tests.foreign.results import of_go
from tests.foreign.servers import PASSWORD, USER, Addresses

VERSION: Final = "v1.22.3"
_MODULE: Final = "github.com/twmb/franz-go"
_FUNCTION: Final = re.compile(r"^func (Test\w+)\(.*?^}", re.MULTILINE | re.DOTALL)
_BROKER: Final = re.compile(
    r"\b(adm\(\)|newTestClient|getSeedBrokers|tmp\w*(Topic|Group)|internalTopic|scramSeeds|oauthSeeds)"
)


def speak_to_a_broker(source: str) -> list[str]:
    """The names of the test functions in a file of Go that use a broker."""
    return [found[1] for found in _FUNCTION.finditer(source) if _BROKER.search(found[0])]


@attrs.frozen
class FranzGo:
    """The package's files in Go's cache of modules. ``records`` is KGO_TEST_RECORDS."""

    package: Path
    records: int
    seconds: int

    @classmethod
    def fetch(cls, folder: Path, version: str, records: int, seconds: int) -> FranzGo:
        """Have Go download the module. Raises ClickException."""
        (folder / "go.mod").write_text("module foreign\n")
        module = json.loads(output_of(["go", "mod", "download", "-json", f"{_MODULE}@{version}"], folder))
        return cls(Path(module["Dir"], "pkg", "kgo"), records, seconds)

    def run(self, addresses: Addresses, output: Path, only: str) -> dict[str, str]:
        """The tests and subtests with their states; what they wrote goes to ``output``."""
        names = [
            name for file in self.package.glob("*_test.go") for name in speak_to_a_broker(file.read_text())
        ]
        command = ["go", "test", "-json", "-vet=off", "-count=1", f"-timeout={self.seconds}s"]
        environment = {
            **os.environ,
            "KGO_SEEDS": addresses.plain,
            "KGO_TEST_SCRAM_SEEDS": addresses.signed_in,
            "KGO_TEST_OAUTH_SEEDS": addresses.signed_in,
            "KGO_TEST_SCRAM": f"{USER}:{PASSWORD}",
            "KGO_TEST_RF": "1",
            "KGO_TEST_RECORDS": str(self.records),
        }
        chosen = only or f"^({'|'.join(sorted(names))})$"
        run([*command, "-run", chosen, "."], self.package, output, environment, self.seconds + 300)
        return of_go(output.read_text(errors="replace").splitlines())
