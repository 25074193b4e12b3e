"""What the outputs of the auditing tools mean: above all, that silence is not taken for safety."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stdout

from twisted.trial.unittest import SynchronousTestCase

from tests.audit import (
    AUDITS,
    Audit,
    Ran,
    Seen,
    main,
    read_govulncheck,
    read_npm,
    read_osv,
    read_pip_audit,
)

WEAK = {"name": "a", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"]}]}
GOOD = {"name": "b", "version": "2.0", "vulns": []}
SKIPPED = {"name": "c", "skip_reason": "Dependency not found on PyPI and could not be audited: c (3.0)"}
FAR = "Get https://vuln.go.dev/index/modules.json.gz: dial tcp: no such host"


def pip_audit(*packages: object, code: int = 0) -> Seen:
    return read_pip_audit(Ran(code, json.dumps({"dependencies": packages, "fixes": []}), "No known\n"))


class ReadTests(SynchronousTestCase):
    def test_pip_audit(self) -> None:
        self.assertEqual(pip_audit(GOOD), Seen())
        self.assertEqual(pip_audit(GOOD, WEAK, code=1), Seen(("a 1.0: PYSEC-1, fixed in 1.1",)))
        self.assertEqual(
            read_pip_audit(Ran(1, "", "Traceback\n  x\nNameResolutionError\n\n")).unseen,
            "NameResolutionError",
        )

    def test_packages_that_pip_audit_skips_are_no_good_ones_though_its_status_is_0(self) -> None:
        self.assertEqual(pip_audit(GOOD, SKIPPED).unseen, f"1 of 2 packages: {SKIPPED['skip_reason']}")
        seen = pip_audit(WEAK, SKIPPED, code=1)
        self.assertTrue(seen.found and seen.unseen)
        self.assertEqual(pip_audit().unseen, "it was given no packages")

    def test_npm(self) -> None:
        self.assertEqual(read_npm(Ran(0, '{"auditReportVersion": 2, "vulnerabilities": {}}')), Seen())
        weak = {"vulnerabilities": {"left": {"severity": "high"}}}
        self.assertEqual(read_npm(Ran(1, json.dumps(weak))), Seen(("left: high",)))
        no = {"message": "405 Method Not Allowed", "statusCode": 405}
        self.assertEqual(read_npm(Ran(1, json.dumps(no))), Seen(unseen="405 Method Not Allowed"))
        self.assertEqual(read_npm(Ran(1, "", "npm error x\n")).unseen, "npm error x")

    def test_govulncheck(self) -> None:
        self.assertEqual(read_govulncheck(Ran(0, "No vulnerabilities found.\n")), Seen())
        text = "=== Symbol Results ===\n\nVulnerability #1: GO-2026-1\n    More\n"
        self.assertEqual(read_govulncheck(Ran(3, text)), Seen(("Vulnerability #1: GO-2026-1",)))
        self.assertTrue(read_govulncheck(Ran(3)).found)
        self.assertEqual(read_govulncheck(Ran(1, "", f"govulncheck: {FAR}\n")).unseen, f"govulncheck: {FAR}")

    def test_osv_scanner(self) -> None:
        self.assertEqual(read_osv(Ran(0, '{"results": []}')), Seen())
        package = {"package": {"name": "g:a", "version": "1"}, "vulnerabilities": [{"id": "GHSA-1"}]}
        self.assertEqual(
            read_osv(Ran(1, json.dumps({"results": [{"packages": [package]}]}))).found, ("g:a 1: GHSA-1",)
        )
        self.assertEqual(read_osv(Ran(127, "", "no such host\n")).unseen, "no such host")


class MainTests(SynchronousTestCase):
    def run_main(self, *rans: Ran) -> tuple[int, str]:
        ready = iter(rans)
        audits = [Audit(f"part {number}", ".", ["x"], read_govulncheck) for number in range(len(rans))]
        with redirect_stdout(io.StringIO()) as out:
            return main(audits, lambda audit: next(ready)), out.getvalue()

    def test_the_status_and_a_line_for_each(self) -> None:
        good, weak, far, absent = Ran(0), Ran(3), Ran(1, "", FAR), Ran(None, err="x is not on PATH")
        self.assertEqual(self.run_main(good, good), (0, "ok: part 0\nok: part 1\n"))
        status, said = self.run_main(good, far, absent)
        self.assertEqual(status, 2)
        self.assertEqual(
            said, f"ok: part 0\nNOT AUDITED: part 1: {FAR}\nNOT AUDITED: part 2: x is not on PATH\n"
        )
        for order in ((weak, far), (far, weak, good)):
            status, said = self.run_main(*order)
            self.assertEqual(status, 1)
            self.assertIn("FOUND in part", said)

    def test_a_tool_that_is_not_there_is_told(self) -> None:
        with redirect_stdout(io.StringIO()) as out:
            self.assertEqual(main([Audit("it", ".", ["no-such-program"], read_osv)]), 2)
        self.assertEqual(out.getvalue(), "NOT AUDITED: it: no-such-program is not on PATH\n")

    def test_every_language_has_one(self) -> None:
        self.assertEqual([each.folder for each in AUDITS], [".", "sdk/js", "sdk/go", "sdk/java"])
